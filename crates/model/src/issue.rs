//! What is wrong with something a user wrote, and where.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a text came from, as shown in front of messages: a file name, an address, `<stdin>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(String);

impl SourceName {
    /// A name for a source.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SourceName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How bad an issue is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object cannot be used.
    Error,
    /// The object can be used, but something in it has no effect or a surprising one.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One thing that is wrong with an object, without saying where in a file.
///
/// Never carries a value of a confidential kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Field, for example `spec.ports[2].host`.
    pub path: String,
    /// What is wrong, with the bad value.
    pub message: String,
    /// What is allowed or what to do; empty when the message says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_parts(f, &self.path, &self.message, &self.hint)
    }
}

/// One thing that is wrong with a text, and where.
///
/// Displays in one line: `file.yaml:12:5 (document 2): spec.ports[2].host: message; hint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// Name of the source.
    pub file: String,
    /// Number of the document within the source, counted from 1.
    pub document: usize,
    /// Line, counted from 1; 0 when unknown (JSON requests have no lines).
    pub line: usize,
    /// Column, counted from 1; 0 when unknown.
    pub column: usize,
    /// Field, for example `spec.ports[2].host`; empty for the document itself.
    pub path: String,
    /// What is wrong, with the bad value unless it is confidential.
    pub message: String,
    /// What is allowed or what to do; empty when the message says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Issue {
    /// Whether the object cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if self.document > 1 {
            write!(f, " (document {})", self.document)?;
        }
        f.write_str(": ")?;
        write_parts(f, &self.path, &self.message, &self.hint)
    }
}

fn write_parts(f: &mut fmt::Formatter<'_>, path: &str, message: &str, hint: &str) -> fmt::Result {
    if !path.is_empty() {
        write!(f, "{path}: ")?;
    }
    f.write_str(message)?;
    if !hint.is_empty() {
        write!(f, "; {hint}")?;
    }
    Ok(())
}
