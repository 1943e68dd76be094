//! The replicated keyspace on disk: openraft and sled around `smr-state`.
//!
//! Start reading at [`Store`]. A write goes to the proposer, which gathers concurrent commands; a
//! follower sends them to the leader in one message (`forward`), the leader makes one log entry of them.
//! The entry is appended to the write-ahead log and synced by the log thread while it is on its way to
//! the other members; once committed it is applied to sled and handed to the watches; then the writer
//! gets its answer. Reads that must see everything ask the leader how far to wait (`read_index`). Who
//! leads is decided by openraft, but when somebody stands for election is our own business
//! (`election`), and so is handing over (`transfer`).
//!
//! Not here: the meaning of commands (`smr-state`), the network ([`Transport`] is given by the caller).
//!
//! Invariants: nothing is acknowledged, applied or called committed before `fdatasync` of the log
//! returned on a quorum and on the member that says so; sled is never the only
//! copy of anything; damage and newer formats are reported with file and offset and change nothing.

mod applied;
mod backup;
mod batch;
mod cluster;
#[cfg(test)]
mod conformance;
mod dir;
mod election;
mod error;
mod forward;
mod handle;
mod housekeeping;
mod hub;
mod leadership;
mod leases;
mod log_storage;
mod membership;
mod open;
mod options;
mod proposer;
mod read_index;
mod recovery;
mod snapshots;
mod state_machine;
mod status;
mod store;
mod transfer;
mod transport;
mod trust;
mod wal;
mod watch;

pub use backup::{BackupInfo, restore_backup, restore_backup_as, verify_backup};
pub use error::{BackupError, Error, OpenError};
pub use leadership::{Leadership, MemberStatus, SnapshotProgress};
pub use options::Options;
pub use recovery::{Inspection, RecoverInfo, inspect, recover};
pub use smr_state::{
    CmpOp, Command, Compare, Event, EventKind, KeyRange, KeyValue, Lease, LeaseId, Op, OpResponse,
    Put, RangeOutcome, RangeQuery, Refusal, Response, Revision, Sort, SortOrder, SortTarget,
    Target, Txn, TxnOutcome,
};
pub use status::StoreStatus;
pub use store::Store;
pub use transport::{Member, NoPeers, NotSent, Rpc, RpcKind, Transport, TransportError};
pub use watch::{Watch, WatchBatch};

/// Identity of a member of the cluster: small, stable, never reused.
pub type NodeId = u64;
