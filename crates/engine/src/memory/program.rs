//! What containers do here: a handful of shell commands, enough for tests to be written once for
//! all engines.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use smr_model::ContainerFile;

use crate::types::{Channel, Chunk};

/// How a process goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What it writes at its start.
    pub output: Vec<Chunk>,
    /// How long it runs by itself; `None` is for ever.
    pub lasts: Option<Duration>,
    /// Exit code when it ends by itself.
    pub exit_code: i64,
    /// Whether it ends when asked to; otherwise it has to be killed.
    pub obeys: bool,
}

impl Program {
    /// Runs until it is asked to end.
    pub fn forever() -> Self {
        Self { output: Vec::new(), lasts: None, exit_code: 0, obeys: true }
    }

    /// Ends by itself.
    pub fn ends(after: Duration, exit_code: i64) -> Self {
        Self { lasts: Some(after), exit_code, ..Self::forever() }
    }

    /// Has to be killed.
    pub fn deaf(self) -> Self {
        Self { obeys: false, ..self }
    }

    /// Writes a line to standard output first.
    pub fn says(mut self, line: &str) -> Self {
        self.output.push(chunk(Channel::Stdout, format!("{line}\n")));
        self
    }

    /// What was asked for by command line: `sh -c` with `;`, and the commands `sleep`, `true`,
    /// `false`, `exit`, `echo` (also `>&2`), `cat`, `stat -c`, `trap '' TERM`. `None` for others.
    pub(super) fn from_command(command: &[String], files: &[ContainerFile]) -> Option<Self> {
        let files = files.iter().map(|file| (file.path.as_str(), file)).collect();
        let mut program = Self::ends(Duration::ZERO, 0);
        match command {
            [shell, flag, script] if shell == "sh" && flag == "-c" => {
                for statement in script.split(';') {
                    let words: Vec<&str> = statement.split_whitespace().collect();
                    if program.run(&words, &files)? {
                        break;
                    }
                }
            }
            _ => {
                let words: Vec<&str> = command.iter().map(String::as_str).collect();
                program.run(&words, &files)?;
            }
        }
        Some(program)
    }

    /// Runs one command; tells whether it was the last. `None` for unknown ones.
    fn run(&mut self, words: &[&str], files: &BTreeMap<&str, &ContainerFile>) -> Option<bool> {
        match words {
            ["true"] => self.exit_code = 0,
            ["false"] => self.exit_code = 1,
            ["exit", code] => {
                self.exit_code = code.parse().ok()?;
                return Some(true);
            }
            ["sleep", seconds] => {
                let pause = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
                self.lasts = Some(self.lasts.unwrap_or_default() + pause);
                self.exit_code = 0;
            }
            ["trap", "''", "TERM"] => self.obeys = false,
            ["echo", said @ .., ">&2"] => {
                self.output.push(chunk(Channel::Stderr, said.join(" ") + "\n"));
            }
            ["echo", said @ ..] => self.output.push(chunk(Channel::Stdout, said.join(" ") + "\n")),
            ["cat", path] => match files.get(path) {
                Some(file) => self.output.push(chunk(Channel::Stdout, file.content.clone())),
                None => self.fail(format!("cat: can't open '{path}'\n")),
            },
            ["stat", "-c", format, path] => match describe(path, files) {
                Some((uid, gid, mode)) => {
                    let text = format
                        .replace("%u", &uid.to_string())
                        .replace("%g", &gid.to_string())
                        .replace("%a", &format!("{mode:o}"));
                    self.output.push(chunk(Channel::Stdout, text + "\n"));
                }
                None => self.fail(format!("stat: can't stat '{path}'\n")),
            },
            _ => return None,
        }
        Some(false)
    }

    fn fail(&mut self, text: String) {
        self.output.push(chunk(Channel::Stderr, text));
        self.exit_code = 1;
    }
}

/// Owner, group and mode of a file or of a directory above one.
fn describe(path: &str, files: &BTreeMap<&str, &ContainerFile>) -> Option<(u32, u32, u32)> {
    if let Some(file) = files.get(path) {
        return Some((file.uid, file.gid, file.mode));
    }
    match path {
        "/tmp" => Some((0, 0, 0o1777)),
        _ => {
            let below = format!("{path}/");
            files.keys().any(|file| file.starts_with(&below)).then_some((0, 0, 0o755))
        }
    }
}

fn chunk(channel: Channel, text: String) -> Chunk {
    Chunk { channel, bytes: Bytes::from(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Option<Program> {
        Program::from_command(&["sh".into(), "-c".into(), script.into()], &[])
    }

    #[test]
    fn scripts_say_wait_and_end() {
        let program = shell("echo one two; sleep 2; exit 3; echo never").unwrap();
        let expected = Program::ends(Duration::from_secs(2), 3).says("one two");
        assert_eq!(program, expected);
        assert_eq!(shell("nginx -g x"), None);
    }
}
