//! What differs between two definitions, field by field.

use serde_json::Value;
use smr_wire::FieldChange;

use crate::record::mask;

/// The changes from `old` to `new`, in the order of the fields. With `confidential`, values
/// under `spec` are masked.
pub(crate) fn changes(old: &Value, new: &Value, confidential: bool) -> Vec<FieldChange> {
    let mut found = Vec::new();
    walk(Some(old), Some(new), "", &mut found);
    if confidential {
        for change in found.iter_mut().filter(|change| change.path.starts_with("spec")) {
            mask(change.old.as_mut());
            mask(change.new.as_mut());
        }
    }
    found
}

fn walk(old: Option<&Value>, new: Option<&Value>, path: &str, found: &mut Vec<FieldChange>) {
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (name, value) in old {
                walk(Some(value), new.get(name), &join(path, name), found);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                walk(None, Some(value), &join(path, name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                walk(old.get(index), new.get(index), &format!("{path}[{index}]"), found);
            }
        }
        (old, new) => {
            let op = match (old, new) {
                (None, _) => "add",
                (_, None) => "remove",
                _ => "replace",
            };
            found.push(FieldChange {
                op: op.to_owned(),
                path: path.to_owned(),
                old: old.cloned(),
                new: new.cloned(),
            });
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_name_the_smallest_field() {
        let old = json!({"spec": {"tag": "1", "ports": [{"host": "80"}, {"host": "81"}], "a": 1}});
        let new = json!({"spec": {"tag": "2", "ports": [{"host": "82"}], "b": {"c": 1}}});
        let found: Vec<String> = changes(&old, &new, false)
            .into_iter()
            .map(|change| format!("{} {}", change.op, change.path))
            .collect();
        assert_eq!(
            found,
            [
                "replace spec.tag",
                "replace spec.ports[0].host",
                "remove spec.ports[1]",
                "remove spec.a",
                "add spec.b"
            ]
        );
    }

    #[test]
    fn confidential_values_are_masked_on_both_sides() {
        let old = json!({"meta": {"labels": {"a": "b"}}, "spec": {"data": {"k": "secret"}}});
        let new =
            json!({"meta": {"labels": {"a": "c"}}, "spec": {"data": {"k": "other", "l": "x"}}});
        let text = serde_json::to_string(&changes(&old, &new, true)).unwrap();
        assert!(!text.contains("secret") && !text.contains("other") && !text.contains("\"x\""));
        assert!(text.contains("spec.data.k") && text.contains("spec.data.l"));
        assert!(text.contains("\"c\""), "labels are not confidential: {text}");
    }
}
