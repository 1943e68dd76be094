//! The object template language: Go `text/template` with the product's functions.
//!
//! Two renderers share the language. Objects are rendered on the node with `((` `))`, flat
//! variables and [`Lookup`]; packs are rendered by the client with `{{` `}}`, nested variables and
//! no lookup. Text without the delimiter is returned unchanged without being parsed.
//!
//! Differences from Go, all on purpose:
//!
//! * **`$((` is shell arithmetic**: on the object side `$((` and everything up to its balanced
//!   `))` is literal text (without a balanced end only the three characters are). Write a dollar
//!   before a value as `(( "$" ))(( .value ))`, and any other literal delimiter as `(( "((" ))`.
//! * **Nested parentheses may touch the closing delimiter**: `((upper (lower .x)))` works.
//! * **Unknown functions, undeclared variables and missing `end`s are found by [`check`]**, before
//!   anything is executed.
//! * **Whole numbers of `fromJson` are integers**, so `1000000` is not printed as `1e+06`.
//! * **Every template has a budget** of output, memory and work, see [`MAX_OUTPUT`].
//! * **Strings are UTF-8 text**: `base64decode` of anything else is an error, and `\w`, `\d` and
//!   `\b` of regular expressions are Unicode-aware.
//! * **A function that panics, and every budget that is exceeded, is an error** with the position
//!   of the expression.
//!
//! The crate reads no clock, the time is part of the [`Context`]; and no file, except that
//! `dateInZone` with the name of a zone reads the host's zone database.
//!
//! ```
//! use std::collections::BTreeMap;
//! use smr_template::{Context, Delimiters, render};
//!
//! let variables = BTreeMap::from([("name".to_owned(), "web-1".to_owned())]);
//! let now = jiff::Timestamp::UNIX_EPOCH;
//! let context = Context { variables: (&variables).into(), lookup: None, now };
//! let rendered = render("host=(( .name | upper )) $((1+1))", Delimiters::Object, &context)?;
//! assert_eq!(rendered.text, "host=WEB-1 $((1+1))");
//! # Ok::<(), smr_template::Error>(())
//! ```

mod engine;
mod error;
mod functions;
mod reference;
mod scan;
mod tree;
mod value;

use std::collections::{BTreeMap, BTreeSet};

pub use engine::{MAX_LOOKUPS, MAX_OUTPUT};
pub use error::{Error, ErrorKind, LookupError};
pub use reference::{DEFAULT_PREFIX, ObjectKind, Reference};

/// Which pair of delimiters starts and ends an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiters {
    /// `((` and `))`: objects, rendered on the node.
    Object,
    /// `{{` and `}}`: packs, rendered by the client.
    Pack,
}

/// The root value (`.`) of a template.
#[derive(Clone, Copy)]
pub enum Variables<'a> {
    /// Runtime variables of a container.
    Flat(&'a BTreeMap<String, String>),
    /// Pack variables.
    Nested(&'a serde_json::Map<String, serde_json::Value>),
}

impl<'a> From<&'a BTreeMap<String, String>> for Variables<'a> {
    fn from(variables: &'a BTreeMap<String, String>) -> Self {
        Self::Flat(variables)
    }
}

impl<'a> From<&'a serde_json::Map<String, serde_json::Value>> for Variables<'a> {
    fn from(variables: &'a serde_json::Map<String, serde_json::Value>) -> Self {
        Self::Nested(variables)
    }
}

/// Everything an expression can see.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The root value.
    pub variables: Variables<'a>,
    /// Answers `lookup`; without it `lookup` is an unknown function.
    pub lookup: Option<&'a dyn Lookup>,
    /// What `now` returns.
    pub now: jiff::Timestamp,
}

/// Answers `lookup "secret/mysql/password:password"`.
pub trait Lookup {
    /// The value behind `reference`, which is always a [`Reference::Object`]: runtime references
    /// are answered from [`Context::variables`].
    ///
    /// May be called for literal references of branches that are not taken; an error is reported
    /// only when the template needs the value. A configuration value that
    /// [is a template](is_template) is rendered by the implementation, which also decides how deep
    /// that may nest ([`LookupError::TooDeep`], [`LookupError::Inner`]).
    fn lookup(&self, reference: &Reference) -> Result<String, LookupError>;
}

/// The result of [`render`].
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text with every expression replaced by its value.
    pub text: String,
    /// Objects whose values the text depends on: the replica follows their changes.
    pub lookups: BTreeSet<Reference>,
}

/// Without the text: it may hold decoded secrets.
impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered").field("lookups", &self.lookups).finish_non_exhaustive()
    }
}

/// The result of [`check`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Objects that literal `lookup` calls name, whether or not their branch will be taken.
    pub lookups: BTreeSet<Reference>,
    /// First path element of every `.name` outside of `range`, `with` and `define`: variables
    /// that the text uses. Useful to order values that depend on one another.
    pub variables: BTreeSet<String>,
}

/// Renders `text`.
///
/// # Errors
///
/// The first problem in execution order; see [`ErrorKind`].
pub fn render(
    text: &str,
    delimiters: Delimiters,
    context: &Context<'_>,
) -> Result<Rendered, Error> {
    match scan::scan(text, delimiters)? {
        None => Ok(Rendered { text: text.to_owned(), lookups: BTreeSet::new() }),
        Some(scanned) => engine::render(text, &scanned, context),
    }
}

/// Validates `text` without executing it: syntax, function names, literal lookups.
///
/// # Errors
///
/// The first problem in text order; see [`ErrorKind`].
pub fn check(text: &str, delimiters: Delimiters, lookup_allowed: bool) -> Result<Checked, Error> {
    match scan::scan(text, delimiters)? {
        None => Ok(Checked::default()),
        Some(scanned) => Ok(engine::parse(text, &scanned, lookup_allowed)?.checked),
    }
}

/// Whether [`render`] would parse `text`: it has an opening delimiter that is not shell arithmetic.
pub fn is_template(text: &str, delimiters: Delimiters) -> bool {
    !matches!(scan::scan(text, delimiters), Ok(None))
}
