//! Functions on strings.

use gotmpl::Value;

use super::{
    Environment, Failure, Function, Outcome, Text, argument, exactly, string, strings, text, whole,
};

pub(super) const FUNCTIONS: &[Function] = &[
    exactly("upper", 1, |_, a| string(text(a, 0)?.to_uppercase())),
    exactly("lower", 1, |_, a| string(text(a, 0)?.to_lowercase())),
    exactly("title", 1, |_, a| string(title(text(a, 0)?))),
    exactly("trim", 1, |_, a| string(text(a, 0)?.trim())),
    exactly("trimSuffix", 2, |_, a| {
        let subject = text(a, 0)?;
        string(subject.strip_suffix(text(a, 1)?).unwrap_or(subject))
    }),
    exactly("trimPrefix", 2, |_, a| {
        let subject = text(a, 0)?;
        string(subject.strip_prefix(text(a, 1)?).unwrap_or(subject))
    }),
    exactly("contains", 2, |_, a| Ok(Value::Bool(text(a, 0)?.contains(text(a, 1)?)))),
    exactly("hasPrefix", 2, |_, a| Ok(Value::Bool(text(a, 0)?.starts_with(text(a, 1)?)))),
    exactly("hasSuffix", 2, |_, a| Ok(Value::Bool(text(a, 0)?.ends_with(text(a, 1)?)))),
    exactly("split", 2, split),
    exactly("join", 2, join),
    exactly("replace", 4, |_, a| replace(text(a, 3)?, text(a, 0)?, text(a, 1)?, whole(a, 2)?)),
    exactly("replaceAll", 3, |_, a| replace(text(a, 2)?, text(a, 0)?, text(a, 1)?, -1)),
    exactly("quote", 1, |_, a| string(quote(text(a, 0)?))),
    exactly("squote", 1, |_, a| string(format!("'{}'", text(a, 0)?))),
    exactly("substr", 3, substr),
    exactly("indent", 2, |_, a| indent("", a)),
    exactly("nindent", 2, |_, a| indent("\n", a)),
];

/// Upper-cases the first letter of every word.
fn title(subject: &str) -> String {
    let mut result = String::with_capacity(subject.len());
    let mut inside_word = false;
    for character in subject.chars() {
        if inside_word {
            result.push(character);
        } else {
            result.extend(character.to_uppercase());
        }
        inside_word = character.is_alphanumeric() || matches!(character, '_' | '\'');
    }
    result
}

fn split(_: &Environment, arguments: &[Value]) -> Outcome {
    let (separator, subject) = (text(arguments, 0)?, text(arguments, 1)?);
    if separator.is_empty() {
        let ends = subject.char_indices().map(|(start, character)| start + character.len_utf8());
        let starts = subject.char_indices().map(|(start, _)| start);
        return strings(starts.zip(ends).map(|(start, end)| &subject[start..end]));
    }
    strings(subject.split(separator))
}

fn join(_: &Environment, arguments: &[Value]) -> Outcome {
    let separator = text(arguments, 0)?;
    let Value::List(items) = &arguments[1] else {
        return Err(super::wrong_type(1, "a list of strings", &arguments[1]));
    };
    let mut joined = Text::default();
    for (index, item) in items.iter().enumerate() {
        let Value::String(item) = item else {
            return Err(argument(format!(
                "item {index} of the list must be a string, not {}: use `toStrings` first",
                item.type_name()
            )));
        };
        if index > 0 {
            joined.push(separator)?;
        }
        joined.push(item)?;
    }
    joined.finish()
}

/// Replaces the first `count` occurrences, all if negative. Empty `old` matches before every
/// character and at the end.
fn replace(subject: &str, old: &str, new: &str, count: i64) -> Outcome {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let mut replaced = Text::default();
    let mut copied = 0;
    for (start, found) in subject.match_indices(old).take(limit) {
        replaced.push(&subject[copied..start])?;
        replaced.push(new)?;
        copied = start + found.len();
    }
    replaced.push(&subject[copied..])?;
    replaced.finish()
}

/// A Go string literal in double quotes.
pub(super) fn quote(subject: &str) -> String {
    let mut quoted = String::with_capacity(subject.len() + 2);
    quoted.push('"');
    for character in subject.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            control if control.is_ascii_control() => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn substr(_: &Environment, arguments: &[Value]) -> Outcome {
    let (start, length) = (whole(arguments, 0)?, whole(arguments, 1)?);
    let subject = text(arguments, 2)?;
    let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(length)) else {
        return string("");
    };
    if start >= subject.len() {
        return string("");
    }
    let end = start.saturating_add(length).min(subject.len());
    subject
        .get(start..end)
        .map(Value::from)
        .ok_or_else(|| argument("the offsets, which count bytes, split a character"))
}

fn indent(before: &str, arguments: &[Value]) -> Outcome {
    let width = whole(arguments, 0)?;
    let subject = text(arguments, 1)?;
    let width = usize::try_from(width).map_err(|_| argument("the indent is negative"))?;
    if width > 4096 {
        return Err(Failure::TooLarge);
    }
    let padding = " ".repeat(width);
    let mut indented = Text::default();
    indented.push(before)?;
    for (index, line) in subject.split('\n').enumerate() {
        if index > 0 {
            indented.push("\n")?;
        }
        indented.push(&padding)?;
        indented.push(line)?;
    }
    indented.finish()
}
