//! `cargo xtask test`: everything that has to hold, on a fresh clone and in CI.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Error, Result, bail, ensure};
use smr_integration::{Lab, images};

use crate::{
    apt,
    paths::root,
    run::{cargo, describe, output, say, timed},
};

/// Tests that passed and failed; a step that is no test counts as one when it fails.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
}

/// What has been run so far.
#[derive(Debug, Default)]
struct Suite {
    count: Count,
    failures: Vec<String>,
}

impl Suite {
    /// Runs one step; the next one runs whatever comes of it.
    fn step(&mut self, what: &str, mut command: Command) {
        match timed(what, || run_counting(&mut command)) {
            Ok(seen) => {
                self.count.passed += seen.passed;
                self.count.failed += seen.failed;
                if seen.failed > 0 {
                    self.failures.push(format!("{what}: {} failed", seen.failed));
                }
            }
            Err(error) => self.fail(what, &error),
        }
    }

    fn fail(&mut self, what: &str, error: &Error) {
        self.count.failed += 1;
        self.failures.push(format!("{what}: {error:#}"));
    }

    /// Ends with the line that CI reads.
    fn end(self) -> Result<()> {
        for failure in &self.failures {
            say(failure);
        }
        println!("{} passed, {} failed", self.count.passed, self.count.failed);
        ensure!(self.failures.is_empty(), "{} steps failed", self.failures.len());
        Ok(())
    }
}

/// Runs all steps, also after a failure.
pub(crate) fn test() -> Result<()> {
    let mut suite = Suite::default();
    match apt::ensure(&[apt::ENGINE, apt::TESTS]) {
        Ok(()) => run_all(&mut suite),
        Err(error) => suite.fail("packages", &error),
    }
    suite.end()
}

fn run_all(suite: &mut Suite) {
    let target = target_dir();
    if let Some(target) = &target {
        say(&format!("building in {}", target.display()));
    }
    let make = |arguments: &[&str]| {
        let mut command = cargo();
        command.args(arguments);
        if let Some(target) = &target {
            command.env("CARGO_TARGET_DIR", target);
        }
        command
    };
    suite.step("format", make(&["fmt", "--all", "--check"]));
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    suite.step("clippy", make(&clippy));
    // With all targets, so that the binary is built with the same features as the tests, once.
    suite.step("build", make(&["build", "--workspace", "--all-targets", "--quiet"]));
    let mut tests = if has_nextest() {
        make(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        say("no cargo-nextest here: using cargo test");
        make(&["test", "--workspace", "--all-targets", "--no-fail-fast"])
    };
    let binary = target.clone().unwrap_or_else(|| root().join("target")).join("debug/smr");
    tests.env("SMR_BIN", binary);
    if in_ci() && env::var_os("SMR_KILLS").is_none() {
        // The full hundred is for a developer's patience; CI looks at every change.
        tests.env("SMR_KILLS", "25");
    }
    let lab = lab().unwrap_or_else(|error| {
        suite.fail("Docker engine", &error);
        None
    });
    if let Some(lab) = &lab {
        // Inside the lab, so that tests reach containers of its engine by address.
        tests = lab.wrap(&tests);
        tests.env("SMR_LAB", "required").env("SMR_TEST_DOCKER", lab.docker().socket());
    }
    suite.step("tests (unit, property, conformance, command line, real engine)", tests);
    drop(lab);
    suite.step("documentation tests", make(&["test", "--workspace", "--doc", "--quiet"]));
}

/// An engine for the tests, and the images in the cache: inside a lab there is no network to build them.
fn lab() -> Result<Option<Lab>> {
    if !apt::is_root() {
        say("not root: tests that need a real engine skip themselves");
        return Ok(None);
    }
    for recipe in images::RECIPES {
        images::prepare(recipe.name, &say)?;
    }
    timed("starting a Docker engine for the tests", Lab::start).map(Some)
}

/// Where to build: as told; in CI, where checkouts come and go, in the user's cache.
fn target_dir() -> Option<PathBuf> {
    let given = ["SMR_TARGET_DIR", "CARGO_TARGET_DIR"]
        .iter()
        .find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    if let Some(dir) = given {
        return Some(root().join(dir));
    }
    let home = env::var_os("HOME").filter(|_| in_ci())?;
    let dir = PathBuf::from(home).join(".cache/smr-target");
    std::fs::create_dir_all(&dir).ok().map(|()| dir)
}

fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}

fn has_nextest() -> bool {
    output(cargo().args(["nextest", "--version"])).is_ok()
}

/// Runs a command, shows its output and counts the tests it reports. An error when it fails without
/// having reported a failed test.
fn run_counting(command: &mut Command) -> Result<Count> {
    let text = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{text}`"))?;
    let out = child.stdout.take().context("no standard output")?;
    let err = child.stderr.take().context("no standard error")?;
    let count = thread::scope(|scope| {
        let err = scope.spawn(|| forward(err, |line| eprintln!("{line}")));
        let mut count = forward(out, |line| println!("{line}"));
        let other = err.join().unwrap_or_default();
        count.passed += other.passed;
        count.failed += other.failed;
        count
    });
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        bail!("`{text}` ended with {status}");
    }
    Ok(count)
}

fn forward(stream: impl Read, print: impl Fn(&str)) -> Count {
    let mut count = Count::default();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        print(&line);
        if let Some(seen) = summary(&line) {
            count.passed += seen.passed;
            count.failed += seen.failed;
        }
    }
    count
}

/// The totals in a line that ends a run of nextest or of a libtest binary.
fn summary(line: &str) -> Option<Count> {
    let is_nextest = line.contains("Summary [") && line.contains(" run: ");
    let numbers = if is_nextest {
        line.split_once(" run: ")?.1
    } else {
        line.trim_start().strip_prefix("test result: ")?.split_once(". ")?.1
    };
    let mut count = Count::default();
    for part in numbers.split([',', ';']) {
        let mut words = part.split_whitespace();
        let (Some(number), Some(word)) = (words.next(), words.next()) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        match (word, words.next()) {
            ("passed", _) => count.passed += number,
            ("failed", _) | ("timed", Some("out")) | ("exec", Some("failed")) => {
                count.failed += number;
            }
            _ => {}
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(u64, u64)>) {
        let expected = expected.map(|(passed, failed)| Count { passed, failed });
        assert_eq!(summary(line), expected);
    }

    #[test]
    fn totals_of_nextest_are_read() {
        check("     Summary [  12.631s] 14 tests run: 14 passed, 0 skipped", Some((14, 0)));
        check(
            "     Summary [  63.463s] 14 tests run: 12 passed (1 slow), 1 failed, 1 timed out, 0 skipped",
            Some((12, 2)),
        );
    }

    #[test]
    fn totals_of_libtest_are_read() {
        let line = "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out";
        check(line, Some((3, 1)));
        check("test passed::by ... ok", None);
    }
}
