//! Standard output and standard error, with a quiet end when nobody reads.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use serde::Serialize;

use super::Table;
use crate::{error::Error, settings::colours};

/// Writes results to standard output and everything else to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    colour_out: bool,
    terminal: bool,
}

#[allow(clippy::unused_self, reason = "the only way to print is to have been given a printer")]
impl Printer {
    /// A printer for the standard streams.
    pub(crate) fn new(choice: clap::ColorChoice) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { colour_out: colours(choice, terminal), terminal }
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: impl Display) -> Result<(), Error> {
        self.text(&format!("{line}\n"))
    }

    /// A part of the result, as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), Error> {
        self.bytes(text.as_bytes())
    }

    /// A part of the result, as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(stdout_error)
    }

    /// A part of what goes to standard error, as it is. That nobody reads it is no failure.
    pub(crate) fn error_bytes(&self, bytes: &[u8]) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(bytes).and_then(|()| err.flush());
    }

    /// A line about what is going on.
    pub(crate) fn note(&self, line: impl Display) {
        self.error_bytes(format!("{line}\n").as_bytes());
    }

    /// Lines of the result.
    pub(crate) fn lines<T: Display>(
        &self,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&format!("{line}\n"));
        }
        self.text(&text)
    }

    /// A table.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Error> {
        self.text(&table.render(self.colour_out))
    }

    /// Indented JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|err| Error::Serialise { format: "JSON", source: err.into() })?;
        self.line(text)
    }

    /// JSON on one line.
    pub(crate) fn json_line(&self, before: &str, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value)
            .map_err(|err| Error::Serialise { format: "JSON", source: err.into() })?;
        self.line(format_args!("{before}{text}"))
    }

    /// YAML.
    pub(crate) fn yaml(&self, value: &impl Serialize) -> Result<(), Error> {
        self.text(&smr_model::value_to_yaml(value))
    }
}

fn stdout_error(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Error::BrokenPipe,
        _ => Error::Terminal { what: "standard output", source },
    }
}
