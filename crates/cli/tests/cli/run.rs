//! Runs the program under one of its names, in a home of its own.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A directory with the program under its three names, and a home.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = program();
        for name in ["smr", "smrctl", "smrmgr"] {
            symlink(&program, dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        Self { dir }
    }

    /// The directory commands run in.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes a file below the directory commands run in.
    pub(crate) fn file(&self, name: &str, text: &str) -> &Self {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join(line[0]));
        command.args(&line[1..]).env_clear().env("HOME", self.home()).current_dir(self.work());
        command
    }

    /// Runs a command; what it printed and its exit code.
    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        self.run_with(line, "")
    }

    /// The same with standard input.
    pub(crate) fn run_with(&self, line: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Commands that do not read may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| self.clean(&String::from_utf8(bytes).unwrap());
        Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn clean(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "PLACE")
    }

    /// Several commands as a transcript.
    pub(crate) fn transcript(&self, lines: &[&[&str]]) -> String {
        let mut text = String::new();
        for line in lines {
            let Ran { code, stdout, stderr } = self.run(line);
            let words: Vec<String> = line
                .iter()
                .map(|word| {
                    let plain = !word.is_empty() && !word.contains(' ');
                    if plain { (*word).to_owned() } else { format!("'{word}'") }
                })
                .collect();
            text.push_str(&format!("$ {}\n{stdout}{stderr}", words.join(" ")));
            text.push_str(&format!("[{code}]\n\n"));
        }
        text
    }
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The example of this crate, which cargo builds together with the tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let debug = own.ancestors().find(|dir| dir.join("examples").is_dir()).map(Path::to_owned);
    let program = debug.unwrap().join("examples").join("smr");
    assert!(program.is_file(), "build it: cargo build -p smr-cli --examples");
    program
}
