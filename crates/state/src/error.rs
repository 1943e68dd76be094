//! Why a command or a read was refused, and how a read can fail otherwise.

use serde::{Deserialize, Serialize};

use crate::{LeaseId, Revision};

/// A command or read that cannot be met. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The revision is older than the history kept.
    #[error("revision `{requested}` is compacted, history starts at revision `{compacted}`")]
    Compacted {
        /// Revision asked for.
        requested: Revision,
        /// Newest revision that was compacted away; reads at it still work.
        compacted: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision `{requested}` is in the future, current revision is `{current}`")]
    FutureRevision {
        /// Revision asked for.
        requested: Revision,
        /// Current revision.
        current: Revision,
    },
    /// A key is empty.
    #[error("key is empty")]
    EmptyKey,
    /// A key is too long.
    #[error("key is `{bytes}` bytes long, at most `{limit}` are allowed")]
    KeyTooLong {
        /// Length in bytes.
        bytes: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// The transaction is too large.
    #[error("transaction has `{bytes}` bytes, at most `{limit}` are allowed")]
    TooLarge {
        /// Keys and values together, in bytes.
        bytes: usize,
        /// Most allowed.
        limit: usize,
    },
    /// The transaction has too many parts.
    #[error("transaction has `{count}` operations or compares, at most `{limit}` are allowed")]
    TooManyOps {
        /// How many it has.
        count: usize,
        /// Most allowed.
        limit: usize,
    },
    /// A transaction writes a key twice, or writes and deletes it.
    #[error("key `{key}` is changed twice in one transaction")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A write that keeps value or lease needs the key to exist.
    #[error("key `{key}` does not exist")]
    KeyNotFound {
        /// The key.
        key: String,
    },
    /// The lease is unknown, expired or revoked.
    #[error("lease `{lease}` does not exist")]
    LeaseNotFound {
        /// The lease.
        lease: LeaseId,
    },
    /// A lease of this identity exists already.
    #[error("lease `{lease}` exists already")]
    LeaseExists {
        /// The lease.
        lease: LeaseId,
    },
    /// The life of a lease must be at least one second.
    #[error("time to live of a lease must be between 1 and `{limit}` seconds")]
    LeaseTtl {
        /// Longest life allowed, in seconds.
        limit: u64,
    },
}

/// A failed read or apply: refused, or the view under it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The request cannot be met; see the refusal.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The storage under the keyspace failed.
    #[error("cannot read the stored keyspace")]
    View {
        /// What the storage said.
        source: E,
    },
    /// A stored record cannot be decoded.
    #[error("stored record `{key}` is damaged")]
    Corrupt {
        /// Storage key of the record, printable form.
        key: String,
    },
}
