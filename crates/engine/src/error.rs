//! What can go wrong with an engine, sorted by what the caller can do about it.

use std::time::Duration;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The engine does not answer: keep trying until it is back, then look at everything again.
    Unavailable,
    /// The container, network, volume or image is not there.
    NotFound,
    /// Something else has what was asked for; it may become free.
    Conflict,
    /// The image is not on this node: pull it.
    ImageMissing,
    /// The image could not be pulled: try again with back-off.
    PullFailed,
    /// The engine will never accept this: somebody must change the definition.
    Refused,
    /// It exists, but smr did not make it, so it is left alone.
    NotOurs,
    /// Anything else: try again with back-off.
    Other,
}

/// What stands in the way of an [`Error::Conflict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Another container, network or volume has the name.
    Name(String),
    /// The host port is taken; `8080` or `127.0.0.1:8080`, as far as the engine told.
    Port(String),
    /// It is still used, for example a network with containers on it.
    InUse(String),
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "the name `{name}` is already in use"),
            Self::Port(port) => write!(f, "host port `{port}` is already in use"),
            Self::InUse(what) => write!(f, "{what} is still in use"),
        }
    }
}

/// Why a pull failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullFailure {
    /// The registry wants (other) credentials, or hides the image from these.
    Denied,
    /// The registry does not have the image.
    NotFound,
    /// The registry has too much to do, or wants this node to ask less often.
    Busy,
    /// The engine does not trust the registry: its certificate, or that it has none.
    Untrusted,
    /// The engine has no room for the image.
    DiskFull,
    /// The registry could not be reached or broke off.
    Network,
}

impl std::fmt::Display for PullFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Denied => "access denied; check the registry credentials and the image name",
            Self::NotFound => "the registry has no such image; check name and tag",
            Self::Busy => "the registry does not serve this node for now",
            Self::Untrusted => {
                "the engine does not trust the registry; check its certificate, or the engine's \
                 `insecure-registries`"
            }
            Self::DiskFull => "the disk of the engine is full",
            Self::Network => "the registry could not be reached",
        })
    }
}

/// What an engine could not do. The message is ours; the engine's own words are the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine does not answer.
    #[error("the container engine at `{endpoint}` does not answer")]
    Unavailable {
        /// Socket path or address.
        endpoint: String,
        /// What the connection said.
        source: Source,
    },
    /// The engine took too long; whether it did what was asked is unknown.
    #[error("the container engine did not finish to {operation} within {limit:?}")]
    Timeout {
        /// What was asked, for example `create container `a-b-1``.
        operation: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// For example `container `a-b-1``.
        what: String,
        /// The engine's reason, if it was asked.
        source: Option<Source>,
    },
    /// Something else has it.
    #[error("cannot {operation}: {conflict}")]
    Conflict {
        /// What was asked.
        operation: String,
        /// Which name or port.
        conflict: Conflict,
        /// The engine's reason, if it was asked.
        source: Option<Source>,
    },
    /// The image is not on this node.
    #[error("image `{image}` is not on this node")]
    ImageMissing {
        /// Image reference.
        image: String,
        /// The engine's reason, if it was asked.
        source: Option<Source>,
    },
    /// The image could not be pulled.
    #[error("cannot pull image `{image}`: {failure}")]
    PullFailed {
        /// Image reference.
        image: String,
        /// Why.
        failure: PullFailure,
        /// The engine's reason.
        source: Source,
    },
    /// The engine does not accept the definition.
    #[error("the container engine refused to {operation}; change the definition")]
    Refused {
        /// What was asked.
        operation: String,
        /// The engine's reason.
        source: Source,
    },
    /// Made by somebody else.
    #[error("{what} was not made by this node of this cluster and is left alone")]
    NotOurs {
        /// For example `container `a-b-1``.
        what: String,
    },
    /// Anything else.
    #[error("the container engine failed to {operation}")]
    Other {
        /// What was asked.
        operation: String,
        /// The engine's reason.
        source: Source,
    },
}

impl Error {
    /// What the caller should do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } => ErrorClass::Unavailable,
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Conflict { .. } => ErrorClass::Conflict,
            Self::ImageMissing { .. } => ErrorClass::ImageMissing,
            Self::PullFailed { .. } => ErrorClass::PullFailed,
            Self::Refused { .. } => ErrorClass::Refused,
            Self::NotOurs { .. } => ErrorClass::NotOurs,
            Self::Other { .. } => ErrorClass::Other,
        }
    }

    /// The message followed by the engine's own words, for a status a person reads.
    pub fn full_message(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        text
    }
}
