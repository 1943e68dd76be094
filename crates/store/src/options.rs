//! How a store is opened.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{NoPeers, NodeId, Transport};

/// Settings of a store; [`Options::new`] has sane ones for a single node.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Data directory; created with mode 0700 when missing.
    pub dir: PathBuf,
    /// Identity of this member.
    pub node_id: NodeId,
    /// Address other members reach this one at; free text, handed to the transport of the others.
    pub address: String,
    /// Whether a new directory becomes a cluster of one voter. A joining member says no.
    pub bootstrap: bool,
    /// Revisions of history kept; older ones are compacted automatically by the leader.
    pub keep_revisions: u64,
    /// Bytes of log after which a snapshot is made and the log cut.
    pub snapshot_log_bytes: u64,
    /// Entries of log after which a snapshot is made and the log cut.
    pub snapshot_log_entries: u64,
    /// Entries kept in the log behind a snapshot, for members that lag a little.
    pub keep_entries: u64,
    /// Size of one log file, in bytes. Files are allocated in full before use.
    pub segment_bytes: u64,
    /// Free space below which writes are refused, in bytes.
    pub min_free_bytes: u64,
    /// Cache of the applied state, in bytes.
    pub cache_bytes: u64,
    /// Interval of a leader's signs of life.
    pub heartbeat: Duration,
    /// Silence after which a voter stands for election (between this and twice this).
    pub election_timeout: Duration,
    /// Longest a write may take before it is answered with [`Error::Unknown`](crate::Error::Unknown).
    pub propose_timeout: Duration,
    /// How other members are reached.
    pub transport: Arc<dyn Transport>,
}

impl Options {
    /// Defaults for a single node with its data in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            node_id: 1,
            address: String::new(),
            bootstrap: true,
            keep_revisions: 10_000,
            snapshot_log_bytes: 32 * 1024 * 1024,
            snapshot_log_entries: 20_000,
            keep_entries: 1_000,
            segment_bytes: 8 * 1024 * 1024,
            min_free_bytes: 32 * 1024 * 1024,
            cache_bytes: 4 * 1024 * 1024,
            heartbeat: Duration::from_millis(250),
            election_timeout: Duration::from_secs(1),
            propose_timeout: Duration::from_secs(10),
            transport: Arc::new(NoPeers),
        }
    }
}
