//! Every source file: not too long, begins by saying what it is; tests wait for events.

use std::{fs, path::Path};

use super::{rust_files, scrub, shown};

/// Longest file; aim at 80 to 300 lines.
const LINES: usize = 700;

/// Longer files, with the reason. Empty is best.
const LONG: &[(&str, &str)] = &[];

/// Pauses that hide a race instead of waiting for what is awaited.
const SLEEPS: &[&str] = &["thread::sleep", "time::sleep", "park_timeout"];

/// Test files in which a pause is what is meant, with the reason.
const PAUSES: &[(&str, &str)] = &[
    ("crates/server/tests/cluster.rs", "the moment at which a certificate ends"),
    ("crates/store/tests/cluster/support.rs", "the delay of a simulated network"),
    ("integration/tests/writes.rs", "a client that was refused tries again a little later"),
];

pub(super) fn problems(root: &Path) -> Vec<String> {
    ["crates", "xtask", "integration"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
        .flat_map(|path| {
            let name = shown(root, &path);
            let source = fs::read_to_string(&path).unwrap_or_default();
            file_problems(&name, &source)
        })
        .collect()
}

fn file_problems(name: &str, source: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = source.lines().count();
    if lines > LINES && !LONG.iter().any(|(long, _)| *long == name) {
        problems.push(format!("{name}: {lines} lines, at most {LINES}; split it by operation"));
    }
    if !source.trim_start().starts_with("//!") {
        problems.push(format!("{name}: does not begin with `//!` and what the file is for"));
    }
    // Cargo would take `tests/support.rs` for a test of its own.
    if name.ends_with("/mod.rs") && !name.contains("/tests/") {
        problems.push(format!("{name}: write `foo.rs` beside `foo/`"));
    }
    let in_tests = name.contains("/tests/") || name.ends_with("/tests.rs");
    let in_tests = in_tests && !PAUSES.iter().any(|(meant, _)| *meant == name);
    let code = scrub::code_only(source);
    for sleep in SLEEPS.iter().filter(|sleep| in_tests && code.contains(**sleep)) {
        problems.push(format!("{name}: `{sleep}` in a test; wait for the event instead"));
    }
    for stub in ["todo!(", "unimplemented!(", "dbg!("] {
        if code.contains(stub) {
            problems.push(format!("{name}: `{stub}..)` is left"));
        }
    }
    if code.contains("#[ignore]") {
        problems.push(format!("{name}: an ignored test"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, source: &str, found: usize) {
        let problems = file_problems(name, source);
        assert_eq!(problems.len(), found, "{problems:?}");
    }

    #[test]
    fn a_file_says_what_it_is() {
        check("crates/a/src/b.rs", "//! Says.\n", 0);
        check("crates/a/src/b.rs", "fn f() {}\n", 1);
        check("crates/a/src/b/mod.rs", "//! Says.\n", 1);
        check("crates/a/tests/support/mod.rs", "//! Says.\n", 0);
    }

    #[test]
    fn a_file_has_an_end() {
        check("crates/a/src/b.rs", &"//! x\n".repeat(701), 1);
    }

    #[test]
    fn tests_do_not_sleep() {
        check("crates/a/tests/b.rs", "//! x\nfn f() { thread::sleep(d) }", 1);
        check("crates/a/tests/b.rs", "//! x\n// thread::sleep", 0);
        check("crates/a/src/b.rs", "//! x\nfn f() { thread::sleep(d) }", 0);
    }
}
