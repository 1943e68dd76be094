//! Commands run in containers over a websocket.
//!
//! Client to server: binary messages are input; an empty binary message ends the input; text
//! messages are [`ExecControl`]. Server to client: binary messages begin with one byte (1 stdout,
//! 2 stderr) followed by output; the last text message is [`ExecControl::Exit`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExecQuery {
    /// JSON array of the command and its arguments.
    pub command: String,
    /// With a terminal.
    pub tty: bool,
    /// With input.
    pub stdin: bool,
    /// User unless empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Columns of the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// Rows of the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
}

/// Size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecControl {
    /// Client: the terminal has this size.
    Resize(Resize),
    /// Server: the command ended with this code.
    Exit(i64),
    /// Server: the command could not be run.
    Error(crate::ApiError),
}
