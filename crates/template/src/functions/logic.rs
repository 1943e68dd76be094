//! Whole numbers, defaults and choices.

use gotmpl::Value;

use super::{Environment, Function, Outcome, at_least, exactly, whole, wrong_type};

pub(super) const FUNCTIONS: &[Function] = &[
    exactly("add", 2, |_, a| Ok(Value::Int(whole(a, 0)?.wrapping_add(whole(a, 1)?)))),
    exactly("sub", 2, |_, a| Ok(Value::Int(whole(a, 0)?.wrapping_sub(whole(a, 1)?)))),
    exactly("mul", 2, |_, a| Ok(Value::Int(whole(a, 0)?.wrapping_mul(whole(a, 1)?)))),
    exactly("div", 2, |_, a| {
        let (left, right) = (whole(a, 0)?, whole(a, 1)?);
        Ok(Value::Int(if right == 0 { 0 } else { left.wrapping_div(right) }))
    }),
    exactly("mod", 2, |_, a| {
        let (left, right) = (whole(a, 0)?, whole(a, 1)?);
        Ok(Value::Int(if right == 0 { 0 } else { left.wrapping_rem(right) }))
    }),
    exactly("max", 2, |_, a| Ok(Value::Int(whole(a, 0)?.max(whole(a, 1)?)))),
    exactly("min", 2, |_, a| Ok(Value::Int(whole(a, 0)?.min(whole(a, 1)?)))),
    exactly("default", 2, |_, a| Ok(if blank(&a[1]) { a[0].clone() } else { a[1].clone() })),
    exactly("empty", 1, |_, a| Ok(Value::Bool(!a[0].is_truthy()))),
    at_least("coalesce", 0, |_, a| {
        Ok(a.iter().find(|value| !blank(value)).cloned().unwrap_or(Value::Nil))
    }),
    exactly("ternary", 3, ternary),
];

/// What `default`, `coalesce` and `compact` skip.
pub(super) fn blank(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn ternary(_: &Environment, arguments: &[Value]) -> Outcome {
    match arguments[0] {
        Value::Bool(true) => Ok(arguments[1].clone()),
        Value::Bool(false) => Ok(arguments[2].clone()),
        ref other => Err(wrong_type(0, "a bool", other)),
    }
}
