//! Identity: prefix, group, name, labels.

use super::Problems;
use crate::{
    definition::{Definition, Spec},
    key::ReplicaKey,
    kind::Kind,
    parser::field_path,
};

/// Longest group or name.
const LONGEST: usize = 63;
/// Longest host name label (RFC 1035).
const LONGEST_HOST: usize = 63;
/// Names under which engines refuse to make a network.
const PREDEFINED: [&str; 4] = ["bridge", "default", "host", "none"];

pub(super) fn identity(definition: &Definition, problems: &mut Problems) {
    prefix(&definition.prefix, "prefix", problems);
    let strict = definition.kind() == Kind::Containers;
    let meta = &definition.meta;
    let before = problems.0.len();
    name(&meta.group, "meta.group", strict, problems);
    name(&meta.name, "meta.name", strict, problems);
    if let (Spec::Containers(spec, _), true) = (&definition.spec, problems.0.len() == before) {
        let host = ReplicaKey::new(&meta.group, &meta.name, spec.replica_count().max(1));
        let length = host.generated_name().len();
        if length > LONGEST_HOST {
            problems.error(
                "meta.name",
                format!("host name `{}` has {length} characters", host.generated_name()),
                "group, name and replica number together may have 63",
            );
        }
    }
    if definition.kind() == Kind::Network && PREDEFINED.contains(&meta.name.as_str()) {
        let message = format!("`{}` is a network of the engine's own", meta.name);
        problems.error("meta.name", message, "choose another name");
    }
    if definition.kind() == Kind::Volume {
        let engine = meta.group.len() + 1 + meta.name.len();
        if engine > 128 {
            problems.error("meta.name", "volume name is longer than 128 characters", "");
        }
    }
    labels(&meta.labels, "meta.labels", problems);
}

/// A prefix and version with one `/`.
pub(super) fn prefix(text: &str, path: &str, problems: &mut Problems) {
    let element = |e: &str| {
        !e.is_empty()
            && e.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    let valid = text.split_once('/').is_some_and(|(prefix, version)| {
        element(prefix) && element(version) && !version.contains('/')
    });
    if !valid {
        problems.error(
            path,
            format!("`{text}` is not a prefix and version"),
            "write for example `simplecontainer.io/v1`, with exactly one `/`",
        );
    }
}

/// A group or name. Strict ones become part of host names, so they have no `.` and no `_`.
pub(super) fn name(text: &str, path: &str, strict: bool, problems: &mut Problems) {
    if text.is_empty() {
        problems.error(path, "is empty", "");
        return;
    }
    if text.len() > LONGEST {
        let message = format!("has {} characters", text.len());
        problems.error(path, message, "at most 63 are allowed");
        return;
    }
    let inner = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || (!strict && matches!(c, '.' | '_'))
    };
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let valid = text.chars().all(|c| inner(c) || c == '-')
        && text.starts_with(edge)
        && text.ends_with(edge);
    if valid {
        return;
    }
    let hint = match text.chars().any(|c| c.is_ascii_uppercase()) {
        true => format!("use lower case: `{}`", text.to_ascii_lowercase()),
        false if strict => {
            "allowed: lower-case letters, digits and `-`, beginning and ending with a letter or digit"
                .to_owned()
        }
        false => "allowed: lower-case letters, digits, `-`, `.` and `_`, beginning and ending with \
                  a letter or digit"
            .to_owned(),
    };
    problems.error(path, format!("`{text}` is not a valid name"), &hint);
}

/// Labels: any key but those that mark ownership.
pub(super) fn labels(
    labels: &std::collections::BTreeMap<String, String>,
    path: &str,
    problems: &mut Problems,
) {
    for key in labels.keys() {
        let path = field_path(path, key);
        if key.is_empty() {
            problems.error(path, "a label needs a key", "");
        } else if key == "managed" || key.starts_with("smr.") {
            problems.error(
                path,
                format!("label `{key}` is reserved"),
                "`managed` and labels beginning with `smr.` mark which containers smr owns",
            );
        }
    }
}
