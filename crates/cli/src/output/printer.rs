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
pub struct Printer {
    colour_out: bool,
    colour_err: bool,
    terminal: bool,
}

impl Printer {
    /// A printer for the standard streams.
    pub fn new(choice: clap::ColorChoice) -> Self {
        let terminal = io::stdout().is_terminal();
        Self {
            colour_out: colours(choice, terminal),
            colour_err: colours(choice, io::stderr().is_terminal()),
            terminal,
        }
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether standard error is to be coloured.
    pub fn colours_err(&self) -> bool {
        self.colour_err
    }

    /// A line of the result.
    pub fn line(&self, line: impl Display) -> Result<(), Error> {
        self.text(&format!("{line}\n"))
    }

    /// A part of the result, as it is.
    pub fn text(&self, text: &str) -> Result<(), Error> {
        self.bytes(text.as_bytes())
    }

    /// A part of the result, as it is.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(stdout_error)
    }

    /// A part of what goes to standard error, as it is. That nobody reads it is no failure.
    pub fn error_bytes(&self, bytes: &[u8]) {
        let mut err = io::stderr().lock();
        let _ = err.write_all(bytes).and_then(|()| err.flush());
    }

    /// A line about what is going on.
    pub fn note(&self, line: impl Display) {
        self.error_bytes(format!("{line}\n").as_bytes());
    }

    /// A table.
    pub fn table(&self, table: &Table) -> Result<(), Error> {
        self.text(&table.render(self.colour_out))
    }

    /// Indented JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|err| Error::Serialise { format: "JSON", source: err.into() })?;
        self.line(text)
    }

    /// JSON on one line.
    pub fn json_line(&self, before: &str, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value)
            .map_err(|err| Error::Serialise { format: "JSON", source: err.into() })?;
        self.line(format_args!("{before}{text}"))
    }

    /// YAML.
    pub fn yaml(&self, value: &impl Serialize) -> Result<(), Error> {
        self.text(&smr_model::value_to_yaml(value))
    }
}

fn stdout_error(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::BrokenPipe => Error::BrokenPipe,
        _ => Error::Terminal { what: "standard output", source },
    }
}
