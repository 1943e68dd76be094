//! `cargo xtask generate`: writes generated files anew.
//!
//! Each generated file belongs to a test that compares it with what the types say, so a stale file fails the
//! ordinary tests. Here the same file is written, by that test or by the binary itself.

use std::path::Path;

use anyhow::Result;

use crate::{
    paths::root,
    run::{cargo, run, timed},
};

/// What writes a generated file.
pub(crate) enum Writer {
    /// The test itself, under `SMR_REGENERATE=1`.
    Test,
    /// A command of `smr`.
    Smr(&'static [&'static str]),
}

/// One generated file or folder.
pub(crate) struct Generated {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// The file or folder that is committed.
    pub(crate) file: &'static str,
    /// Package with the test that compares.
    pub(crate) package: &'static str,
    /// Name of the test function.
    pub(crate) test: &'static str,
    /// How it is written.
    pub(crate) writer: Writer,
}

/// Everything generated. To add one: write the test, add a line here.
pub(crate) const GENERATED: &[Generated] = &[
    Generated {
        what: "reference of smr.toml",
        file: "docs/smr-toml.md",
        package: "smr-config",
        test: "the_reference_page_is_up_to_date",
        writer: Writer::Test,
    },
    Generated {
        what: "OpenAPI description of the control API",
        file: "docs/openapi.json",
        package: "smr-server",
        test: "the_committed_api_description_is_up_to_date",
        writer: Writer::Test,
    },
    Generated {
        what: "reference of the command line, man pages",
        file: "docs/man",
        package: "smr-cli",
        test: "the_command_reference_and_man_pages_are_not_stale",
        writer: Writer::Smr(&["generate", "docs"]),
    },
];

/// Runs all generators.
pub(crate) fn generate() -> Result<()> {
    for entry in GENERATED {
        timed(&format!("{} -> {}", entry.what, entry.file), || match entry.writer {
            Writer::Test => run(cargo().env("SMR_REGENERATE", "1").args([
                "test",
                "--quiet",
                "--package",
                entry.package,
                entry.test,
            ])),
            Writer::Smr(arguments) => {
                run(cargo().args(["run", "--quiet", "--package", "smr", "--"]).args(arguments))
            }
        })?;
    }
    Ok(())
}

/// Entries whose file or test is not there.
pub(crate) fn problems() -> Vec<String> {
    let mut problems = Vec::new();
    for Generated { what, file, package, test, .. } in GENERATED {
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
