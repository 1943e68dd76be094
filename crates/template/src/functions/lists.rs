//! Functions on lists and dicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gotmpl::Value;

use super::{
    Environment, Failure, Function, Outcome, argument, at_least, exactly, text, wrong_type,
};

type Dict = BTreeMap<Arc<str>, Value>;

pub(super) const FUNCTIONS: &[Function] = &[
    at_least("list", 0, |_, a| Ok(made(a.to_vec()))),
    exactly("append", 2, |_, a| {
        let mut items = list(a, 0)?.to_vec();
        items.push(a[1].clone());
        Ok(made(items))
    }),
    exactly("prepend", 2, |_, a| {
        let mut items = vec![a[1].clone()];
        items.extend_from_slice(list(a, 0)?);
        Ok(made(items))
    }),
    exactly("first", 1, |_, a| Ok(list(a, 0)?.first().cloned().unwrap_or(Value::Nil))),
    exactly("last", 1, |_, a| Ok(list(a, 0)?.last().cloned().unwrap_or(Value::Nil))),
    exactly("rest", 1, |_, a| {
        Ok(made(list(a, 0)?.split_first().map(|(_, rest)| rest.to_vec()).unwrap_or_default()))
    }),
    exactly("initial", 1, |_, a| {
        Ok(made(list(a, 0)?.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default()))
    }),
    exactly("reverse", 1, |_, a| Ok(made(list(a, 0)?.iter().rev().cloned().collect()))),
    exactly("uniq", 1, |_, a| {
        let mut seen = BTreeSet::new();
        let items = list(a, 0)?.iter();
        // The debug form tells types apart, as equality does.
        Ok(made(items.filter(|item| seen.insert(format!("{item:?}"))).cloned().collect()))
    }),
    exactly("compact", 1, |_, a| {
        Ok(made(list(a, 0)?.iter().filter(|item| !super::logic::blank(item)).cloned().collect()))
    }),
    at_least("dict", 0, new_dict),
    exactly("get", 2, |_, a| Ok(dict(a)?.get(text(a, 1)?).cloned().unwrap_or(Value::Nil))),
    exactly("set", 3, |_, a| {
        let mut entries = dict(a)?.clone();
        entries.insert(Arc::from(text(a, 1)?), a[2].clone());
        Ok(Value::from(entries))
    }),
    exactly("unset", 2, |_, a| {
        let mut entries = dict(a)?.clone();
        entries.remove(text(a, 1)?);
        Ok(Value::from(entries))
    }),
    exactly("hasKey", 2, |_, a| Ok(Value::Bool(dict(a)?.contains_key(text(a, 1)?)))),
    exactly("keys", 1, |_, a| Ok(made(dict(a)?.keys().cloned().map(Value::from).collect()))),
    exactly("values", 1, |_, a| Ok(made(dict(a)?.values().cloned().collect()))),
];

fn made(items: Vec<Value>) -> Value {
    Value::from(items)
}

fn list(arguments: &[Value], index: usize) -> Result<&[Value], Failure> {
    match &arguments[index] {
        Value::List(items) => Ok(items),
        other => Err(wrong_type(index, "a list", other)),
    }
}

fn dict(arguments: &[Value]) -> Result<&Dict, Failure> {
    match &arguments[0] {
        Value::Map(entries) => Ok(entries),
        other => Err(wrong_type(0, "a dict", other)),
    }
}

fn new_dict(_: &Environment, arguments: &[Value]) -> Outcome {
    if !arguments.len().is_multiple_of(2) {
        return Err(argument("takes pairs of key and value, the last key has no value"));
    }
    let mut entries = Dict::new();
    for (pair, item) in arguments.chunks_exact(2).enumerate() {
        entries.insert(Arc::from(text(arguments, pair * 2)?), item[1].clone());
    }
    Ok(Value::from(entries))
}
