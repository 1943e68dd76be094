//! The functions of the language, by group. The piped value is the last argument.

mod convert;
mod format;
mod layout;
mod lists;
mod logic;
mod paths;
mod regexes;
mod strings;
mod times;

use gotmpl::Value;

/// Largest value that one call may build, in bytes.
pub(crate) const MAX_VALUE: usize = 8 << 20;

/// Most items that one call may split a string into.
const MAX_ITEMS: usize = 1 << 18;

/// Why a function has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments are wrong. The message must not contain their values.
    Argument(String),
    /// The result would be larger than [`MAX_VALUE`].
    TooLarge,
}

/// Result of a function.
pub(crate) type Outcome = Result<Value, Failure>;

/// What functions see besides their arguments.
pub(crate) struct Environment {
    /// The time of the rendering.
    pub(crate) now: jiff::Timestamp,
}

/// A function of the language.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    /// Name in templates.
    pub(crate) name: &'static str,
    /// Fewest arguments.
    pub(crate) least: usize,
    /// Most arguments.
    pub(crate) most: usize,
    /// Whether the work grows with the square of the longest argument instead of its length.
    pub(crate) quadratic: bool,
    /// The implementation; the number of arguments was checked.
    pub(crate) run: fn(&Environment, &[Value]) -> Outcome,
}

const fn exactly(
    name: &'static str,
    count: usize,
    run: fn(&Environment, &[Value]) -> Outcome,
) -> Function {
    Function { name, least: count, most: count, quadratic: false, run }
}

const fn at_least(
    name: &'static str,
    least: usize,
    run: fn(&Environment, &[Value]) -> Outcome,
) -> Function {
    Function { name, least, most: usize::MAX, quadratic: false, run }
}

/// Every function except those of Go's template engine and `lookup`.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    [
        strings::FUNCTIONS,
        format::FUNCTIONS,
        convert::FUNCTIONS,
        lists::FUNCTIONS,
        logic::FUNCTIONS,
        paths::FUNCTIONS,
        regexes::FUNCTIONS,
        times::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

fn argument(message: impl Into<String>) -> Failure {
    Failure::Argument(message.into())
}

/// Argument `index` as a string.
fn text(arguments: &[Value], index: usize) -> Result<&str, Failure> {
    match &arguments[index] {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(index, "a string", other)),
    }
}

/// Argument `index` as a whole number.
fn whole(arguments: &[Value], index: usize) -> Result<i64, Failure> {
    match &arguments[index] {
        Value::Int(number) => Ok(*number),
        Value::Uint(number) => {
            i64::try_from(*number).map_err(|_| wrong_type(index, "an int", &arguments[index]))
        }
        other => Err(wrong_type(index, "an int", other)),
    }
}

fn wrong_type(index: usize, expected: &str, found: &Value) -> Failure {
    argument(format!("argument {} must be {expected}, not {}", index + 1, found.type_name()))
}

/// A list of strings, unless there are more than [`MAX_ITEMS`].
fn strings<'a>(parts: impl Iterator<Item = &'a str>) -> Outcome {
    let parts: Vec<Value> = parts.take(MAX_ITEMS + 1).map(Value::from).collect();
    if parts.len() > MAX_ITEMS {
        return Err(Failure::TooLarge);
    }
    Ok(Value::from(parts))
}

fn string(text: impl Into<String>) -> Outcome {
    Ok(Value::from(text.into()))
}

/// Text under construction that refuses to exceed [`MAX_VALUE`].
#[derive(Default)]
struct Text(String);

impl Text {
    fn push(&mut self, part: &str) -> Result<(), Failure> {
        if self.0.len() + part.len() > MAX_VALUE {
            return Err(Failure::TooLarge);
        }
        self.0.push_str(part);
        Ok(())
    }

    fn finish(self) -> Outcome {
        string(self.0)
    }
}
