//! `printf`, which the engine implements but does not bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{Template, TemplateError, Value};

use super::{Environment, Failure, Function, MAX_VALUE, Outcome, argument, at_least, string, text};
use crate::value::size;

pub(super) const FUNCTIONS: &[Function] = &[at_least("printf", 1, printf)];

/// Widest field the engine pads to.
const MAX_WIDTH: usize = u16::MAX as usize;
/// More than any number prints without a width.
const NUMBER: usize = 512;

/// Formats through a template of one expression, after estimating the size of the result: widths,
/// and `%[1]s` in a row, multiply it.
fn printf(_: &Environment, arguments: &[Value]) -> Outcome {
    let format = text(arguments, 0)?;
    let verbs = format.bytes().filter(|byte| *byte == b'%').count();
    let largest = arguments[1..]
        .iter()
        .map(|value| size(value, u64::MAX).map_or(usize::MAX, |size| size as usize))
        .max()
        .unwrap_or_default();
    let each = largest.saturating_mul(4).saturating_add(width(format, arguments) + NUMBER);
    if verbs.saturating_mul(each).saturating_add(format.len()) > MAX_VALUE * 8 {
        return Err(Failure::TooLarge);
    }
    let mut source = String::from("{{printf");
    let mut values: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for (index, value) in arguments.iter().enumerate() {
        source.push_str(&format!(" .a{index}"));
        values.insert(Arc::from(format!("a{index}")), value.clone());
    }
    source.push_str("}}");
    let formatted = Template::new("printf")
        .parse(&source)
        .and_then(|template| template.execute_to_string(&Value::from(values)))
        .map_err(|_: TemplateError| argument("the format does not fit its arguments"))?;
    if formatted.len() > MAX_VALUE {
        return Err(Failure::TooLarge);
    }
    string(formatted)
}

/// The widest field that the format can ask for.
fn width(format: &str, arguments: &[Value]) -> usize {
    let written = format
        .split(|character: char| !character.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(MAX_WIDTH));
    let starred = arguments[1..].iter().filter(|_| format.contains('*')).filter_map(|value| {
        value.as_int().map(|number| usize::try_from(number.unsigned_abs()).unwrap_or(MAX_WIDTH))
    });
    // Width and precision both pad.
    written.chain(starred).max().unwrap_or_default().min(MAX_WIDTH) * 2
}
