//! Passphrases: from a file, from standard input, or typed unseen.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write as _},
    path::Path,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use smr_pki::SecretString;

use crate::{args::PassphraseArg, error::Error};

/// Longer first lines are files named by mistake.
const MAX_LENGTH: u64 = 4096;

/// The passphrase that was named; `None` when none was.
pub(super) fn given(arg: &PassphraseArg) -> Result<Option<SecretString>, Error> {
    let Some(path) = &arg.passphrase_file else { return Ok(None) };
    let read_failed = |source| Error::Read { path: path.clone(), source };
    let text = if path == Path::new("-") {
        first_line(io::stdin().lock()).map_err(read_failed)?
    } else {
        first_line(File::open(path).map_err(read_failed)?).map_err(read_failed)?
    };
    if text.is_empty() {
        return Err(Error::usage(
            format!("there is no passphrase in the first line of `{}`", path.display()),
            "`openssl rand -base64 24 > FILE` makes a good one",
        ));
    }
    Ok(Some(SecretString::from(text)))
}

/// Whether somebody is there who could be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal, without showing what is typed. Empty for no passphrase.
pub(super) fn ask(question: &str) -> Result<SecretString, Error> {
    let failed = |source| Error::Terminal { what: "the terminal", source };
    let mut terminal =
        OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(failed)?;
    write!(terminal, "{question}: ").map_err(failed)?;
    let hidden = Hidden::new(&terminal).map_err(failed)?;
    let line = first_line(&terminal).map_err(failed);
    drop(hidden);
    writeln!(terminal).map_err(failed)?;
    Ok(SecretString::from(line?))
}

fn first_line(from: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(MAX_LENGTH)).read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(line)
}

/// While it lives the terminal does not show what is typed.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use smr_pki::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let arg = PassphraseArg { passphrase_file: Some(path.clone()) };
        std::fs::write(&path, "correct horse \r\nsecond").unwrap();
        assert_eq!(given(&arg).unwrap().unwrap().expose_secret(), "correct horse ");
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(given(&arg).unwrap_err().exit_code(), 2);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(given(&arg), Err(Error::Read { .. })));
        assert!(given(&PassphraseArg { passphrase_file: None }).unwrap().is_none());
    }
}
