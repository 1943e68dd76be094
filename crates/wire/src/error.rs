//! One JSON shape for every failure: a code for programs, a message and a hint for people.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What went wrong, for programs. Codes are never reused for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be read: malformed body, parameter or header. 400.
    BadRequest,
    /// No client certificate, or one without a known role. 401.
    Unauthenticated,
    /// The role does not allow it. 403.
    Forbidden,
    /// No such object, replica or route. 404.
    NotFound,
    /// The method does not exist on this path. 405.
    MethodNotAllowed,
    /// Somebody else changed or owns it. 409.
    Conflict,
    /// The revision asked for is compacted away; list and start again. 410.
    Compacted,
    /// The body is larger than the node accepts. 413.
    TooLarge,
    /// A definition is invalid; `details` lists every mistake. 422.
    Invalid,
    /// The node failed to do it; its log says more. 500.
    Internal,
    /// The store does not take writes. 503.
    Unavailable,
    /// Too few nodes answer to agree on a change or a fresh read; nothing was changed. 503.
    NoQuorum,
    /// No node leads just now; nothing was changed. 503.
    NoLeader,
    /// The container engine does not answer. 503.
    EngineUnavailable,
    /// It took longer than the node allows. 504.
    Timeout,
    /// The change may or may not have happened: nobody said so in time. 504.
    OutcomeUnknown,
}

impl Code {
    /// The HTTP status that goes with the code.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::Compacted => 410,
            Self::TooLarge => 413,
            Self::Invalid => 422,
            Self::Internal => 500,
            Self::Unavailable | Self::NoQuorum | Self::NoLeader | Self::EngineUnavailable => 503,
            Self::Timeout | Self::OutcomeUnknown => 504,
        }
    }
}

/// The body of every response that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The failure.
    pub error: ApiError,
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiError {
    /// For programs.
    pub code: Code,
    /// What failed, on what. One sentence, lower case, no full stop.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Every single mistake, where there can be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorDetail>,
}

/// One mistake in a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// File the document came from, as the client named it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Number of the document in the file, from 1; 0 if unknown.
    #[serde(default)]
    pub document: u32,
    /// Line, from 1; 0 if unknown.
    #[serde(default)]
    pub line: u32,
    /// Column, from 1; 0 if unknown.
    #[serde(default)]
    pub column: u32,
    /// Path of the field, for example `spec.ports[2].host`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What is wrong with it.
    pub message: String,
    /// What is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without hint and details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, details: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the single mistakes.
    #[must_use]
    pub fn details(mut self, details: Vec<ErrorDetail>) -> Self {
        self.details = details;
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
