//! What the log carries: every change of the keyspace is one of these.

use serde::{Deserialize, Serialize};

use crate::{Lease, LeaseId, Refusal, Revision, Txn, TxnOutcome};

/// A change of the keyspace. New variants go to the end: the encoding numbers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Runs a transaction.
    Txn(Txn),
    /// Creates a lease.
    GrantLease {
        /// Wanted identity; 0 lets the keyspace choose.
        id: LeaseId,
        /// Life in seconds.
        ttl_seconds: u64,
    },
    /// Renews a lease; it lives its full time again.
    KeepAlive {
        /// The lease.
        id: LeaseId,
    },
    /// Ends a lease and removes its keys.
    RevokeLease {
        /// The lease.
        id: LeaseId,
    },
    /// Ends a lease whose time is over, unless it was renewed or is gone already.
    ExpireLease {
        /// The lease.
        id: LeaseId,
        /// [`Lease::renewals`] when the time was found over.
        renewals: u64,
    },
    /// Drops history up to and including a revision.
    Compact {
        /// Newest revision to drop.
        revision: Revision,
    },
}

/// Answer to an accepted command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Answer to [`Command::Txn`].
    Txn(TxnOutcome),
    /// Answer to a grant or a renewal: the lease as it is afterwards.
    Lease(Lease),
    /// Answer to everything else.
    Done {
        /// Revision of the keyspace afterwards.
        revision: Revision,
    },
}

/// A command either took effect or was refused and changed nothing.
pub type CommandResult = Result<Response, Refusal>;
