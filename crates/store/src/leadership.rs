//! Who leads, as the rest of the product sees it.

use std::time::Duration;

use crate::NodeId;

/// Who leads, as far as this node knows. See [`Store::leadership`](crate::Store::leadership).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The leader; `None` during an election, after long silence, and on a leader without a quorum.
    pub leader: Option<NodeId>,
    /// Term of consensus; hand it to [`Store::txn_local`](crate::Store::txn_local).
    pub term: u64,
    /// Whether this node leads.
    pub is_me: bool,
    /// Whether this node leads and has applied everything up to the start of its term: what it reads
    /// locally is at least as new as everything acknowledged by earlier leaders.
    pub ready: bool,
}

/// A member as the leader knows it. See [`Store::members_status`](crate::Store::members_status).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its identity.
    pub id: NodeId,
    /// Its address.
    pub address: String,
    /// Whether it has a vote.
    pub voter: bool,
    /// Last log entry it is known to have; only the leader knows.
    pub matched: Option<u64>,
    /// Entries it lacks; only the leader knows.
    pub lag: Option<u64>,
    /// Time since it last answered this node; zero for this node itself.
    pub last_contact: Option<Duration>,
    /// Progress of a snapshot on its way to it.
    pub snapshot: Option<SnapshotProgress>,
}

/// How much of a snapshot another member has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// Bytes it has.
    pub sent: u64,
    /// Bytes in all, when known.
    pub total: Option<u64>,
}
