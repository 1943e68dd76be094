//! What is different between two definitions, for people and for deciding what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::{Definition, Spec};

/// What happened to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeOp {
    /// It was not there before.
    Add,
    /// It is gone.
    Remove,
    /// It has another value.
    Replace,
}

/// One difference, as in RFC 6902, with the value before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// JSON pointer (RFC 6901) in the canonical form, for example `/spec/ports/0/host`.
    pub path: String,
    /// What happened.
    pub op: ChangeOp,
    /// The value before; absent for [`ChangeOp::Add`]. Confidential values are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// The value after; absent for [`ChangeOp::Remove`]. Confidential values are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// The differences from `old` to `new`, in the order of the canonical form. Empty exactly when
/// the two are equal.
pub fn diff(old: &Definition, new: &Definition) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", &canonical(old), &canonical(new), &mut changes);
    let confidential = old.kind().is_confidential() || new.kind().is_confidential();
    for change in &mut changes {
        let secret = (confidential && change.path.starts_with("/spec"))
            || change.path.ends_with("/registryAuth")
            || change.path == "/initContainer";
        if secret {
            let hide = |value: &mut Value| mask(value, confidential);
            change.old.iter_mut().for_each(hide);
            change.new.iter_mut().for_each(hide);
        }
    }
    changes
}

/// Whether the number of replicas is all that differs, so that the replicas that stay need not be
/// touched.
pub fn is_scale_only(old: &Definition, new: &Definition) -> bool {
    let scale = |definition: &Definition| {
        let mut definition = definition.clone();
        match &mut definition.spec {
            Spec::Containers(spec, _) => {
                let count = spec.replica_count();
                spec.replicas = None;
                Some((count, definition))
            }
            _ => None,
        }
    };
    match (scale(old), scale(new)) {
        (Some((from, old)), Some((to, new))) => from != to && old == new,
        _ => false,
    }
}

fn canonical(definition: &Definition) -> Value {
    serde_json::to_value(definition).expect("a definition is plain data with string keys")
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let path = format!("{path}/{}", escape(key));
                match after.get(key) {
                    Some(other) => compare(&path, value, other, changes),
                    None => changes.push(change(path, Some(value), None)),
                }
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                changes.push(change(format!("{path}/{}", escape(key)), None, Some(value)));
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, value) in before.iter().enumerate() {
                let path = format!("{path}/{index}");
                match after.get(index) {
                    Some(other) => compare(&path, value, other, changes),
                    None => changes.push(change(path, Some(value), None)),
                }
            }
            for (index, value) in after.iter().enumerate().skip(before.len()) {
                changes.push(change(format!("{path}/{index}"), None, Some(value)));
            }
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(change(path.to_owned(), Some(before), Some(after))),
    }
}

fn change(path: String, old: Option<&Value>, new: Option<&Value>) -> Change {
    let op = match (old, new) {
        (None, _) => ChangeOp::Add,
        (_, None) => ChangeOp::Remove,
        _ => ChangeOp::Replace,
    };
    Change { path, op, old: old.cloned(), new: new.cloned() }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Masks all texts, or within an init container only credentials.
fn mask(value: &mut Value, all: bool) {
    match value {
        Value::Object(map) if all => map.values_mut().for_each(|v| mask(v, all)),
        Value::Object(map) => {
            if let Some(auth) = map.get_mut("registryAuth") {
                mask(auth, true);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| mask(v, all)),
        other => *other = Value::String(crate::redact::MASK.to_owned()),
    }
}
