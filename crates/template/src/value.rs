//! Values between JSON, the variables and the template engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;
use serde_json::Value as Json;

use crate::Variables;

/// Deepest nesting of lists and dicts inside of one value.
const MAX_DEPTH: usize = 64;

/// The root value of a template.
pub(crate) fn root(variables: Variables<'_>) -> Value {
    let entries: BTreeMap<Arc<str>, Value> = match variables {
        Variables::Flat(flat) => flat
            .iter()
            .map(|(key, value)| (Arc::from(key.as_str()), Value::from(value.as_str())))
            .collect(),
        Variables::Nested(nested) => {
            nested.iter().map(|(key, value)| (Arc::from(key.as_str()), from_json(value))).collect()
        }
    };
    Value::Map(Arc::new(entries))
}

/// Converts JSON; whole numbers stay whole.
pub(crate) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => number
            .as_i64()
            .map(Value::Int)
            .or_else(|| number.as_u64().map(Value::Uint))
            .unwrap_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN))),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::List(items.iter().map(from_json).collect()),
        Json::Object(entries) => Value::Map(Arc::new(
            entries
                .iter()
                .map(|(key, value)| (Arc::from(key.as_str()), from_json(value)))
                .collect(),
        )),
    }
}

/// Converts to JSON; `None` for what JSON cannot hold (functions, infinite numbers).
pub(crate) fn to_json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Nil => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Uint(number) => Json::from(*number),
        Value::Float(number) => Json::Number(serde_json::Number::from_f64(*number)?),
        Value::String(text) => Json::String(text.to_string()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| Some((key.to_string(), to_json(value)?)))
                .collect::<Option<_>>()?,
        ),
        Value::Function(_) => return None,
    })
}

/// Approximate size of `value` when printed, or `None` when it exceeds `limit` or nests too deep.
///
/// Shared parts count as often as they would be printed, which is what makes a small value
/// expensive.
pub(crate) fn size(value: &Value, limit: u64) -> Option<u64> {
    fn add(value: &Value, left: &mut u64, depth: usize) -> Option<()> {
        let own = match value {
            Value::String(text) => text.len() as u64 + 1,
            _ => 8,
        };
        *left = left.checked_sub(own)?;
        if depth == 0 {
            return None;
        }
        match value {
            Value::List(items) => items.iter().try_for_each(|item| add(item, left, depth - 1)),
            Value::Map(entries) => entries.iter().try_for_each(|(key, item)| {
                *left = left.checked_sub(key.len() as u64)?;
                add(item, left, depth - 1)
            }),
            _ => Some(()),
        }
    }
    let mut left = limit;
    add(value, &mut left, MAX_DEPTH)?;
    Some(limit - left)
}
