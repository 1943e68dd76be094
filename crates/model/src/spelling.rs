//! Spellings that published material uses and the types do not have.

use serde_json::Value;

/// Fields users write for another one: type, written, meant.
const MEANT: &[(&str, &str, &str)] = &[
    ("Meta", "label", "labels"),
    ("ContainersSpec", "command", "entrypoint"),
    ("ContainersSpec", "cmd", "args"),
    ("ContainersSpec", "environment", "envs"),
    ("ContainersSpec", "depends_on", "dependencies"),
    ("ContainersSpec", "cap_add", "capabilities"),
    ("ContainersSpec", "restartPolicy", "restart"),
    ("ContainersSpec", "imagePullPolicy", "pullPolicy"),
    ("ContainersSpec", "mem_limit", "memory"),
    ("ContainersSpec", "hosts", "extraHosts"),
    ("ContainersSpec", "resource", "resources"),
    ("Volume", "source", "hostPath"),
    ("Volume", "target", "mountPoint"),
    ("Volume", "mountPath", "mountPoint"),
    ("ResourceMount", "mountPath", "mountPoint"),
    ("Permissions", "mode", "permissions"),
    ("Permissions", "uid", "owner"),
    ("Permissions", "gid", "group"),
    ("Port", "containerPort", "container"),
    ("Port", "hostPort", "host"),
    ("Probe", "http", "url"),
    ("GitopsSpec", "url", "repoURL"),
    ("GitopsSpec", "branch", "revision"),
    ("GitopsSpec", "path", "directoryPath"),
    ("NetworkSpec", "subnet", "ipv4AddressPool"),
    ("HttpauthSpec", "user", "username"),
];

/// Fields the server of older versions added on output; they say nothing to us.
const SERVER_OWNED: &[(&str, &str)] =
    &[("GitopsSpec", "API"), ("GitopsSpec", "context"), ("Meta", "runtime"), ("Meta", "owner")];

/// The field a user means who writes `written` in an object of type `title`.
pub(crate) fn meant(title: &str, written: &str) -> Option<&'static str> {
    MEANT
        .iter()
        .find(|(t, w, _)| *t == title && w.eq_ignore_ascii_case(written))
        .map(|(_, _, meant)| *meant)
}

/// Whether the field is one of the server's own, accepted without a word.
pub(crate) fn is_silently_ignored(title: &str, written: &str) -> bool {
    SERVER_OWNED.iter().any(|(t, w)| *t == title && w.eq_ignore_ascii_case(written))
}

/// Whether the field is known but does nothing with this value.
pub(crate) fn is_unused(title: &str, field: &str, value: &Value) -> bool {
    match (title, field) {
        ("Volume", "subPath") => !matches!(value.as_str(), Some("" | "/")),
        ("Volume", "fileInfo") => true,
        ("ContainersSpec", "nodes") => value.as_array().is_some_and(|nodes| !nodes.is_empty()),
        _ => false,
    }
}

/// Other spellings of a word of a choice.
pub(crate) fn choice(word: &str) -> &'static [&'static str] {
    match word {
        "bind" => &["hostPath"],
        "always" => &["unless-stopped"],
        "never" => &["no"],
        _ => &[],
    }
}

/// The prefix under which an object is stored that names this one: empty means the default, and a
/// plural that published documentation uses by mistake means the singular.
pub(crate) fn prefix(written: &str) -> String {
    match written.trim() {
        "" => crate::key::DEFAULT_PREFIX.to_owned(),
        "simplecontainers.io/v1" => crate::key::DEFAULT_PREFIX.to_owned(),
        other => other.to_owned(),
    }
}
