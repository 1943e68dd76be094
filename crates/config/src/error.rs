//! What is wrong with a configuration.

use std::{fmt, io};

/// One mistake. Displayed as `smr.toml:12:10: api.listen[0]: "localhost" is not ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the flag or variable that set the key.
    pub origin: String,
    /// Line and column, from 1; `None` outside files.
    pub position: Option<(usize, usize)>,
    /// Dotted key with list index; `None` for mistakes of syntax.
    pub key: Option<String>,
    /// The bad value and what is allowed.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(origin: &str, message: impl Into<String>) -> Self {
        Self { origin: origin.to_owned(), position: None, key: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All mistakes of a configuration, at least one, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ConfigErrors {
    problems: Vec<Problem>,
    missing_file: bool,
}

impl ConfigErrors {
    /// The mistakes, in order of position.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether the only problem is that the file does not exist.
    pub fn is_missing_file(&self) -> bool {
        self.missing_file
    }

    /// `Err` if there are problems.
    pub(crate) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        problems
            .sort_by(|a, b| (a.position, &a.origin, &a.key).cmp(&(b.position, &b.origin, &b.key)));
        problems.dedup();
        Err(Self { problems, missing_file: false })
    }

    pub(crate) fn unreadable(name: &str, err: &io::Error) -> Self {
        let reason = match err.kind() {
            io::ErrorKind::NotFound => "no such file; `smr config init` writes one".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; run as a user that may read it".to_owned()
            }
            io::ErrorKind::IsADirectory => "is a directory; give the file in it".to_owned(),
            _ => err.to_string(),
        };
        let missing_file = err.kind() == io::ErrorKind::NotFound;
        Self { missing_file, ..Problem::new(name, format!("cannot be read: {reason}")).into() }
    }

    fn lines(&self) -> String {
        self.problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl From<Problem> for ConfigErrors {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], missing_file: false }
    }
}
