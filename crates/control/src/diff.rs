//! What differs between two definitions, in the envelope's shape.

use smr_model::{ChangeOp, Definition};
use smr_wire::FieldChange;

/// The changes from `old` to `new`, in the order of the fields; confidential values are masked.
pub(crate) fn changes(old: &Definition, new: &Definition) -> Vec<FieldChange> {
    let change = |change: smr_model::Change| FieldChange {
        op: match change.op {
            ChangeOp::Add => "add",
            ChangeOp::Remove => "remove",
            ChangeOp::Replace => "replace",
        }
        .to_owned(),
        path: dotted(&change.path),
        old: change.old,
        new: change.new,
    };
    smr_model::diff(old, new).into_iter().map(change).collect()
}

/// A JSON pointer as people write paths: `/spec/ports/2/host` is `spec.ports[2].host`.
fn dotted(pointer: &str) -> String {
    let mut path = String::with_capacity(pointer.len());
    for element in pointer.split('/').skip(1) {
        if !element.is_empty() && element.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{element}]"));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&element.replace("~1", "/").replace("~0", "~"));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_become_paths() {
        assert_eq!(dotted("/spec/ports/2/host"), "spec.ports[2].host");
        assert_eq!(dotted("/spec/data/a~1b.conf"), "spec.data.a/b.conf");
        assert_eq!(dotted(""), "");
    }
}
