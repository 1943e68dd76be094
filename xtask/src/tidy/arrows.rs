//! Which crate may depend on which, and on what from outside.

use serde_json::Value;

/// A crate of ours: its level, and the crates of the same level it may use.
struct Crate {
    name: &'static str,
    level: u8,
    beside: &'static [&'static str],
}

const fn on(level: u8, name: &'static str, beside: &'static [&'static str]) -> Crate {
    Crate { name, level, beside }
}

/// ARCHITECTURE.md, "Crates". Arrows go to lower levels, and inside a level only where listed.
const CRATES: &[Crate] = &[
    on(0, "smr-model", &[]),
    on(0, "smr-wire", &["smr-model"]),
    on(0, "smr-config", &["smr-model"]),
    on(1, "smr-state", &[]),
    on(1, "smr-template", &[]),
    on(1, "smr-scheduler", &[]),
    on(1, "smr-reconcile", &["smr-template"]),
    on(1, "smr-membership", &[]),
    on(2, "smr-store", &[]),
    on(2, "smr-pki", &[]),
    on(2, "smr-engine", &[]),
    on(3, "smr-control", &[]),
    on(3, "smr-client", &[]),
    on(3, "smr-agent", &["smr-control"]),
    on(3, "smr-server", &["smr-control"]),
    on(3, "smr-peer", &[]),
    on(3, "smr-leader", &["smr-control"]),
    on(3, "smr-cli", &["smr-client"]),
    on(
        3,
        "smr-node",
        &[
            "smr-control",
            "smr-client",
            "smr-agent",
            "smr-server",
            "smr-peer",
            "smr-leader",
            "smr-cli",
        ],
    ),
    on(4, "smr", &[]),
];

/// Packages that are not part of the product; nothing in the product may use them.
const BESIDE: &[&str] = &["xtask", "smr-integration", "smr-bench", "smr-testkit", "smr-sim"];

/// Libraries that only some crates may see, so that they can be exchanged in one place.
const RESERVED: &[(&str, &[&str])] = &[
    ("openraft", &["smr-store"]),
    ("sled", &["smr-store"]),
    ("bollard", &["smr-engine"]),
    ("rcgen", &["smr-pki"]),
    ("axum", &["smr-server"]),
    ("utoipa-axum", &["smr-server"]),
    ("clap", &["smr-cli", "smr"]),
    ("clap_complete", &["smr-cli", "smr"]),
    ("clap_mangen", &["smr-cli", "smr"]),
    ("anyhow", &["smr-node", "smr", "smr-cli"]),
];

/// What levels 0 and 1 may not have: runtimes, sockets, disks, randomness.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "tokio-stream",
    "tokio-rustls",
    "tokio-tungstenite",
    "axum",
    "hyper",
    "hyper-util",
    "reqwest",
    "bollard",
    "openraft",
    "sled",
    "rustls",
    "ring",
    "rcgen",
    "notify",
    "tower",
    "tower-http",
    "rand",
    "fs2",
    "rustix",
    "tempfile",
    "tun",
    "git2",
    "crossterm",
];

/// Arrows that point the wrong way. Only direct dependencies of the product count, not those of tests.
pub(super) fn problems(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if BESIDE.contains(&name) {
            continue;
        }
        let Some(own) = find(name) else {
            problems.push(format!(
                "crate `{name}` has no level; add it to xtask/src/tidy/arrows.rs and ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // A normal dependency has no kind; the others are `dev` and `build`.
            if dependency["kind"].is_null() {
                let other = dependency["name"].as_str().unwrap_or_default();
                problems.extend(complaint(own, other).map(|why| {
                    format!("crate `{name}` (level {}) depends on `{other}`: {why}", own.level)
                }));
            }
        }
    }
    problems
}

fn complaint(own: &Crate, other: &str) -> Option<String> {
    if BESIDE.contains(&other) {
        return Some("that is a development tool".to_owned());
    }
    if let Some(target) = find(other) {
        let allowed =
            target.level < own.level || (target.level == own.level && own.beside.contains(&other));
        return (!allowed).then(|| {
            format!("that is level {}; arrows go down, or sideways where listed", target.level)
        });
    }
    if own.level <= 1 && IMPURE.contains(&other) {
        return Some("levels 0 and 1 do no I/O, have no clock and no runtime".to_owned());
    }
    let (_, holders) = RESERVED.iter().find(|(library, _)| *library == other)?;
    (!holders.contains(&own.name)).then(|| format!("only {} may use it", holders.join(", ")))
}

fn find(name: &str) -> Option<&'static Crate> {
    CRATES.iter().find(|it| it.name == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(name: &str, dependency: &str, kind: Option<&str>, complains: bool) {
        let metadata = json!({"packages": [
            {"name": name, "dependencies": [{"name": dependency, "kind": kind}]}
        ]});
        let found = problems(&metadata);
        assert_eq!(!found.is_empty(), complains, "{name} -> {dependency}: {found:?}");
    }

    #[test]
    fn arrows_go_down() {
        check("smr-store", "smr-state", None, false);
        check("smr-state", "smr-store", None, true);
        check("smr-engine", "smr-store", None, true);
        check("smr-agent", "smr-control", None, false);
        check("smr-control", "smr-agent", None, true);
        check("smr-node", "smr-integration", None, true);
    }

    #[test]
    fn libraries_stay_where_they_belong() {
        check("smr-engine", "bollard", None, false);
        check("smr-agent", "bollard", None, true);
        check("smr-reconcile", "tokio", None, true);
        check("smr-agent", "tokio", None, false);
    }

    #[test]
    fn tests_may_use_anything() {
        check("smr-reconcile", "tokio", Some("dev"), false);
    }

    #[test]
    fn a_new_crate_needs_a_level() {
        check("smr-new", "serde", None, true);
    }
}
