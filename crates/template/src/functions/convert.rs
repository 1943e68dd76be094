//! Conversions, JSON and encodings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gotmpl::Value;
use serde_json::Value as Json;

use super::{
    Environment, Failure, Function, MAX_ITEMS, Outcome, argument, exactly, string, text, wrong_type,
};
use crate::value::{from_json, to_json};

pub(super) const FUNCTIONS: &[Function] = &[
    exactly("toString", 1, |_, a| string(a[0].to_string())),
    exactly("toStrings", 1, to_strings),
    exactly("toInt", 1, to_int),
    exactly("toInt64", 1, to_int),
    exactly("toFloat64", 1, to_float),
    exactly("toJson", 1, |_, a| Ok(Value::from(encode(&a[0], false)?))),
    exactly("toPrettyJson", 1, |_, a| Ok(Value::from(encode(&a[0], true)?))),
    exactly("fromJson", 1, from_json_text),
    exactly("base64encode", 1, |_, a| string(STANDARD.encode(text(a, 0)?))),
    exactly("base64decode", 1, decode),
    exactly("b64enc", 1, |_, a| string(STANDARD.encode(text(a, 0)?))),
    exactly("b64dec", 1, decode),
    exactly("urlquery", 1, |_, a| string(text(a, 0)?.replace(' ', "%20"))),
];

fn to_strings(_: &Environment, arguments: &[Value]) -> Outcome {
    let Value::List(items) = &arguments[0] else {
        return Err(wrong_type(0, "a list", &arguments[0]));
    };
    Ok(Value::List(items.iter().map(|item| Value::from(item.to_string())).collect()))
}

fn to_int(_: &Environment, arguments: &[Value]) -> Outcome {
    match &arguments[0] {
        Value::Int(number) => Ok(Value::Int(*number)),
        Value::Uint(number) => {
            i64::try_from(*number).map(Value::Int).map_err(|_| argument("the number is too large"))
        }
        Value::Float(number) => Ok(Value::Int(*number as i64)),
        Value::String(digits) => {
            digits.parse().map(Value::Int).map_err(|_| argument("the string is not a whole number"))
        }
        other => Err(wrong_type(0, "an int, a float64 or a string", other)),
    }
}

fn to_float(_: &Environment, arguments: &[Value]) -> Outcome {
    match &arguments[0] {
        Value::String(digits) => {
            digits.parse().map(Value::Float).map_err(|_| argument("the string is not a number"))
        }
        other => other
            .as_float()
            .map(Value::Float)
            .ok_or_else(|| wrong_type(0, "an int, a float64 or a string", other)),
    }
}

/// Go's `json.Marshal`: keys sorted, and `<`, `>`, `&` escaped so that the text can stand in HTML.
fn encode(value: &Value, pretty: bool) -> Result<String, Failure> {
    let json = to_json(value).ok_or_else(|| argument("the value has no JSON form"))?;
    let encoded =
        if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
    let encoded = encoded.map_err(|_| argument("the value has no JSON form"))?;
    if !encoded.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return Ok(encoded);
    }
    // These characters occur inside of JSON strings only.
    let mut escaped = String::with_capacity(encoded.len() + 64);
    for character in encoded.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

fn from_json_text(_: &Environment, arguments: &[Value]) -> Outcome {
    let encoded = text(arguments, 0)?;
    // Every item but the last is followed by a comma.
    if encoded.bytes().filter(|byte| *byte == b',').count() > MAX_ITEMS {
        return Err(Failure::TooLarge);
    }
    let json: Json = serde_json::from_str(encoded).map_err(|error| {
        // The error's own text can quote the input.
        argument(format!("invalid JSON at line {}, column {}", error.line(), error.column()))
    })?;
    Ok(from_json(&json))
}

fn decode(_: &Environment, arguments: &[Value]) -> Outcome {
    let mut encoded = text(arguments, 0)?.to_owned();
    encoded.retain(|character| !matches!(character, '\r' | '\n'));
    let bytes =
        STANDARD.decode(encoded).map_err(|_| argument("the argument is not valid base64"))?;
    String::from_utf8(bytes)
        .map(Value::from)
        .map_err(|_| argument("the decoded bytes are not UTF-8 text"))
}
