//! What can go wrong with a template, and where.
//!
//! Messages name functions, keys and references but never a value: a template can hold a decoded
//! secret at any point of its evaluation.

use std::fmt;

use crate::reference::Reference;

/// A template that could not be parsed or rendered, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    line: usize,
    column: usize,
    kind: Box<ErrorKind>,
}

impl Error {
    pub(crate) fn new(line: usize, column: usize, kind: impl Into<Box<ErrorKind>>) -> Self {
        Self { line, column, kind: kind.into() }
    }

    /// Line within the text, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column within the line in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The reference of the object that has to exist first, if that is what is missing: the replica
    /// waits instead of failing.
    pub fn missing_object(&self) -> Option<&Reference> {
        match self.kind() {
            ErrorKind::Lookup(error) => error.missing_object(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.kind.as_ref())
    }
}

/// The reasons a template fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not a template: unclosed action, missing `end`, unknown token.
    #[error("{message}")]
    Syntax {
        /// What was found and what was expected.
        message: String,
    },
    /// A function that the language does not have, or not here (`lookup` in a pack).
    #[error("unknown function `{name}`{hint}")]
    UnknownFunction {
        /// The name as written.
        name: String,
        /// Empty, or a sentence fragment that says what to write instead.
        hint: String,
    },
    /// A `.name` that no variable defines.
    #[error("no value for `.{key}`: define the variable or correct its name")]
    MissingKey {
        /// The key without its leading dot.
        key: String,
    },
    /// A `$name` that was never declared.
    #[error("undeclared template variable `{name}`")]
    UndeclaredVariable {
        /// The name with its `$`.
        name: String,
    },
    /// A `template "name"` that no `define` declares.
    #[error("no template named `{name}` is defined in this text")]
    UndefinedTemplate {
        /// The name as written.
        name: String,
    },
    /// A function was called with arguments that it cannot take.
    #[error("`{function}`: {message}")]
    BadArgument {
        /// The function as written.
        function: String,
        /// What is wrong with the arguments; never contains their values.
        message: String,
    },
    /// A `lookup` failed.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The template asks for more work, memory or output than one template may.
    #[error("template is too expensive: {message}")]
    Budget {
        /// Which limit was exceeded.
        message: String,
    },
    /// An operation on a value of the wrong type outside of any function.
    #[error("cannot evaluate: {message}")]
    Evaluation {
        /// What was attempted; never contains values.
        message: String,
    },
}

/// Why `lookup "..."` has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The object does not exist (yet). Callers wait for it.
    #[error("lookup: object `{}` does not exist", .reference.object_path())]
    MissingObject {
        /// What was looked up.
        reference: Reference,
    },
    /// The object exists, but not this key of its data.
    #[error("lookup: missing field `{}` in `{}`", .reference.key(), .reference.object_path())]
    MissingKey {
        /// What was looked up.
        reference: Reference,
    },
    /// A kind that cannot be looked up.
    #[error(
        "unsupported lookup `{text}`: use `secret/<group>/<name>:<key>`, \
         `configuration/<group>/<name>:<key>` or `runtime/container/configuration:<key>`"
    )]
    Unsupported {
        /// The reference as written.
        text: String,
    },
    /// Text that is not a reference.
    #[error("invalid lookup `{text}`: {reason}")]
    Invalid {
        /// The reference as written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A configuration value that looks up a value that looks up a value.
    #[error(
        "lookup of `{reference}` nests too deep: a looked up value may itself look up only plain values"
    )]
    TooDeep {
        /// The reference at which the limit was reached.
        reference: Reference,
    },
    /// The looked up value is itself a template, and that one failed.
    #[error("lookup: value of `{reference}` is itself a template that fails")]
    Inner {
        /// What was looked up.
        reference: Reference,
        /// The failure inside of the looked up value.
        source: Box<Error>,
    },
    /// The store cannot answer now; the caller may try again.
    #[error("lookup: `{reference}` cannot be read now: {reason}")]
    Unavailable {
        /// What was looked up.
        reference: Reference,
        /// Why; must not contain values.
        reason: Box<str>,
    },
}

impl LookupError {
    /// The object to wait for, also when it is missing inside of a looked up value.
    pub fn missing_object(&self) -> Option<&Reference> {
        match self {
            Self::MissingObject { reference } => Some(reference),
            Self::Inner { source, .. } => source.missing_object(),
            _ => None,
        }
    }
}
