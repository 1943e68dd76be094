//! What the product said, pinned in a file.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use smr_integration::Client;

/// Messages on their way into, or beside, the file they are pinned in.
pub(crate) struct Told {
    path: PathBuf,
    text: String,
}

impl Told {
    /// For the file with this name beside this one.
    pub(crate) fn new(file: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input").join(file);
        Self { path, text: String::new() }
    }

    /// Takes in what a command said that had to fail. `file` is shown as `FILE`.
    #[track_caller]
    pub(crate) fn take(
        &mut self,
        client: &Client,
        name: &str,
        line: &str,
        file: &str,
        output: &Output,
    ) {
        let code = output.status.code().unwrap_or(-1);
        let error = String::from_utf8_lossy(&output.stderr);
        // 124 is that of a node that went on until it was ended.
        assert!(code > 0 && code != 124, "{name}: exit code {code}: {output:?}");
        assert!(!error.contains("bWFya2Vy"), "{name}: tells a secret");
        // A node that starts logs first what it does.
        let error = &error[error.find("error:").unwrap_or(0)..];
        let error = if file.is_empty() { error.to_owned() } else { error.replace(file, "FILE") };
        let error = error.replace(&*client.dir().to_string_lossy(), "DIR");
        let error = without_chance(&error);
        let _ =
            write!(self.text, "### {name}\n$ {line}\nexit code {code}\n{}\n\n", error.trim_end());
    }

    /// Compares with the file; `SMR_REGENERATE=1` writes it anew.
    #[track_caller]
    pub(crate) fn pinned(&self) {
        let (path, told) = (&self.path, &self.text);
        if std::env::var_os("SMR_REGENERATE").is_some() {
            fs::write(path, told).unwrap();
        }
        let expected = fs::read_to_string(path).unwrap_or_default();
        for (got, want) in told.split("### ").zip(expected.split("### ")) {
            assert_eq!(got, want, "`SMR_REGENERATE=1` pins the new message");
        }
        assert_eq!(told.len(), expected.len(), "cases were added or removed; `SMR_REGENERATE=1`");
    }
}

/// Ids, times and lengths of time differ from run to run.
fn without_chance(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\n')) {
        if c.is_ascii_alphanumeric() || (!word.is_empty() && ":.-".contains(c)) {
            word.push(c);
            continue;
        }
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        out.push_str(match bare {
            hex if hex.len() >= 10 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => "HEX",
            time if time.len() >= 20 && time.ends_with('Z') && time.starts_with("20") => "TIME",
            other => other,
        });
        out.push_str(&word[bare.len()..]);
        out.push(c);
        word.clear();
    }
    out.truncate(out.len() - 1);
    without_lengths(&out)
}

/// Tokens are not all of the same length, and a copy may be behind by one start more or less.
fn without_lengths(text: &str) -> String {
    let mut text = text.to_owned();
    for (before, after, instead) in
        [("is cut off: ", " bytes are there", "N of M"), ("the cluster has seen ", ";", "`N`")]
    {
        let Some(start) = text.find(before).map(|at| at + before.len()) else { continue };
        let Some(length) = text[start..].find(after) else { continue };
        text.replace_range(start..start + length, instead);
    }
    text
}

#[test]
fn what_differs_from_run_to_run_is_not_pinned() {
    let text = "token `0123456789` expired at 2026-01-31T10:00:00.5Z, at https://10.77.0.1:1443.";
    let pinned = "token `HEX` expired at TIME, at https://10.77.0.1:1443.";
    assert_eq!(without_chance(text), pinned);
    let pinned = "it is cut off: N of M bytes are there!";
    assert_eq!(without_chance("it is cut off: 404 of 817 bytes are there!"), pinned);
    assert_eq!(without_chance("the cluster has seen `3`; run"), "the cluster has seen `N`; run");
}
