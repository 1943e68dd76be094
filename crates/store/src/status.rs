//! What an operator wants to know about the store.

use smr_state::Revision;

use crate::NodeId;

/// State and counters of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// This member.
    pub node_id: NodeId,
    /// The leader as far as this node knows.
    pub leader: Option<NodeId>,
    /// Term of consensus.
    pub term: u64,
    /// Current revision of the local copy.
    pub revision: Revision,
    /// Newest revision dropped from history.
    pub compacted: Revision,
    /// Last entry in the log.
    pub last_log_index: u64,
    /// Last entry applied to the local copy.
    pub applied_index: u64,
    /// Last entry covered by a snapshot.
    pub snapshot_index: u64,
    /// `fdatasync` calls on the log since the store was opened.
    pub syncs: u64,
    /// Log entries appended since the store was opened.
    pub appended: u64,
    /// Members with a vote.
    pub voters: Vec<NodeId>,
    /// Members without a vote.
    pub learners: Vec<NodeId>,
    /// Watches that are open.
    pub watches: usize,
    /// Why consensus stopped, if it did: a fault of the disk, or a shutdown.
    pub fault: Option<String>,
}
