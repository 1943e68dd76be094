//! `cargo xtask generate`: writes generated files anew.
//!
//! Each generated file belongs to a test that compares it with what the types say. With
//! `SMR_REGENERATE=1` that test writes the file instead. So a stale file fails the ordinary tests, and
//! there is no second generator.

use std::path::Path;

use anyhow::Result;

use crate::{
    paths::root,
    run::{cargo, run, timed},
};

/// One generator.
pub(crate) struct Generated {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// The file or folder that is committed.
    pub(crate) file: &'static str,
    /// Package with the test.
    pub(crate) package: &'static str,
    /// Name of the test function.
    pub(crate) test: &'static str,
}

/// Everything generated. To add one: write the test (compare, or write under `SMR_REGENERATE`), add a line here.
pub(crate) const GENERATED: &[Generated] = &[Generated {
    what: "reference of smr.toml",
    file: "docs/smr-toml.md",
    package: "smr-config",
    test: "the_reference_page_is_up_to_date",
}];

/// Runs all generators.
pub(crate) fn generate() -> Result<()> {
    for entry in GENERATED {
        timed(&format!("{} -> {}", entry.what, entry.file), || {
            run(cargo().env("SMR_REGENERATE", "1").args([
                "test",
                "--quiet",
                "--package",
                entry.package,
                entry.test,
            ]))
        })?;
    }
    Ok(())
}

/// Entries whose file or test is not there.
pub(crate) fn problems() -> Vec<String> {
    let mut problems = Vec::new();
    for Generated { what, file, package, test } in GENERATED {
        if !root().join(file).exists() {
            problems.push(format!("{what}: `{file}` is missing; run `cargo xtask generate`"));
        }
        let folder = package.strip_prefix("smr-").unwrap_or(package);
        let needle = format!("fn {test}(");
        let sources = crate::tidy::rust_files(&root().join("crates").join(folder));
        let found = |path: &Path| std::fs::read_to_string(path).is_ok_and(|t| t.contains(&needle));
        if !sources.iter().any(|path| found(path)) {
            problems.push(format!("{what}: package `{package}` has no test `{test}`"));
        }
    }
    problems
}
