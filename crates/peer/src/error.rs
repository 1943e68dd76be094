//! Why another node could not be asked, or refused to answer.

use std::{error::Error, fmt, sync::Arc, time::Duration};

/// Why a call to another node has no answer. Cheap to clone: everybody who waits for one
/// connection is told the same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Nobody said yet where the node is reached.
    #[error("the address of node `{target}` is not known")]
    NoAddress {
        /// The node.
        target: u64,
    },
    /// The address is not `host:port`.
    #[error("the address `{address}` of node `{target}` is not a host and a port")]
    BadAddress {
        /// The node.
        target: u64,
        /// What was said about it.
        address: String,
    },
    /// No connection; nothing was sent.
    #[error("cannot connect to node `{target}` at `{address}`")]
    Unreachable {
        /// The node.
        target: u64,
        /// Where it was looked for.
        address: String,
        /// What the network or TLS said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Another machine answers at the node's address.
    #[error("at `{address}` answers {found}, not node `{target}`; correct its address")]
    WrongPeer {
        /// The node.
        target: u64,
        /// Where it was looked for.
        address: String,
        /// Who is there.
        found: String,
    },
    /// The node ended the TLS handshake.
    #[error("node `{target}` does not accept this node's certificate ({alert})")]
    Rejected {
        /// The node.
        target: u64,
        /// Its reason, one of the words of TLS.
        alert: Alert,
    },
    /// No answer in time. Whether the message arrived is not known.
    #[error("node `{target}` did not answer within {after:?}")]
    TimedOut {
        /// The node.
        target: u64,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended before the answer. Whether the message arrived is not known.
    #[error("the connection to node `{target}` ended before the answer")]
    Broken {
        /// The node.
        target: u64,
        /// What the network said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// This node is not a member any more. It has to stop.
    #[error("node `{target}` says that this node was removed: {text}")]
    Removed {
        /// Who said so.
        target: u64,
        /// Its explanation.
        text: String,
    },
    /// The node does not talk to this one.
    #[error("node `{target}` refused: {text}")]
    Refused {
        /// The node.
        target: u64,
        /// On what ground.
        refusal: Refusal,
        /// Its explanation.
        text: String,
    },
    /// The node tried and could not.
    #[error("node `{target}` could not do it: {text}")]
    Failed {
        /// The node.
        target: u64,
        /// What it said.
        text: String,
    },
    /// The answer makes no sense.
    #[error("node `{target}` answered with something that is not {expected}")]
    BadAnswer {
        /// The node.
        target: u64,
        /// What was expected.
        expected: &'static str,
    },
}

impl PeerError {
    /// The node it is about.
    pub fn target(&self) -> u64 {
        match self {
            Self::NoAddress { target }
            | Self::BadAddress { target, .. }
            | Self::Unreachable { target, .. }
            | Self::WrongPeer { target, .. }
            | Self::Rejected { target, .. }
            | Self::TimedOut { target, .. }
            | Self::Broken { target, .. }
            | Self::Removed { target, .. }
            | Self::Refused { target, .. }
            | Self::Failed { target, .. }
            | Self::BadAnswer { target, .. } => *target,
        }
    }

    /// Whether certainly nothing was carried out, so that asking again does it once.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::NoAddress { .. }
            | Self::BadAddress { .. }
            | Self::Unreachable { .. }
            | Self::WrongPeer { .. }
            | Self::Rejected { .. }
            | Self::Removed { .. }
            | Self::Refused { .. } => true,
            Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Failed { .. }
            | Self::BadAnswer { .. } => false,
        }
    }

    /// Message and causes in one line.
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

/// The reason the other side gave for ending the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert(pub(crate) rustls::AlertDescription);

impl Alert {
    /// The certificate is on the list of revoked ones.
    pub fn is_revoked(self) -> bool {
        self.0 == rustls::AlertDescription::CertificateRevoked
    }

    /// The certificate is past its validity.
    pub fn is_expired(self) -> bool {
        self.0 == rustls::AlertDescription::CertificateExpired
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a node does not talk to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another cluster.
    Cluster,
    /// Its protocol is of an unknown major version.
    Protocol,
    /// Its certificate is not one of a node.
    Role,
    /// Its certificate is of another node than it says it is, or of another than is called.
    Node,
    /// It is not known as a member (yet).
    Unknown,
    /// It was removed.
    Removed,
    /// Its certificate was revoked.
    Revoked,
    /// Its certificate is past its validity; it may only ask for a new one.
    Expired,
    /// The message is too large or malformed.
    Message,
    /// There is no such thing to ask for; the other side is older.
    Path,
}

impl Refusal {
    const ALL: [Self; 10] = [
        Self::Cluster,
        Self::Protocol,
        Self::Role,
        Self::Node,
        Self::Unknown,
        Self::Removed,
        Self::Revoked,
        Self::Expired,
        Self::Message,
        Self::Path,
    ];

    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Protocol => "protocol",
            Self::Role => "role",
            Self::Node => "node",
            Self::Unknown => "unknown",
            Self::Removed => "removed",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Message => "message",
            Self::Path => "path",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    pub(crate) fn status(self) -> http::StatusCode {
        use http::StatusCode;
        match self {
            Self::Protocol => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Removed => StatusCode::GONE,
            Self::Message => StatusCode::BAD_REQUEST,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Cluster
            | Self::Role
            | Self::Node
            | Self::Unknown
            | Self::Revoked
            | Self::Expired => StatusCode::FORBIDDEN,
        }
    }
}
