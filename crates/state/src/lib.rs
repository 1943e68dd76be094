//! The replicated keyspace as a pure state machine: command in, revision, changes and events out.
//!
//! Start reading at [`Machine`], which applies one [`Command`] after the other to an abstract ordered
//! [`View`] and hands back the storage [`Changes`] and the [`Commit`]s watchers see. Reads
//! ([`range`], [`get`], [`history`]) work on the same view, so a disk store, a plain map and a
//! simulator share one implementation of the semantics.
//!
//! Not here: storage, clocks (an expired lease arrives as a command), consensus, waiting.
//!
//! Invariants: nothing here fails except with a typed [`Refusal`] or because the view itself failed;
//! the same commands give byte-equal storage everywhere; a refused command changes nothing.

mod codec;
mod command;
mod error;
mod key_range;
mod kv;
mod layout;
mod machine;
mod query;
mod read;
mod snapshot;
mod txn;
mod view;

pub use codec::{COMMAND_VERSION, CodecError, decode_commands, encode_commands};
pub use command::{Command, CommandResult, Response};
pub use error::{Error, Refusal};
pub use key_range::KeyRange;
pub use kv::{Event, EventKind, KeyValue, Lease, LeaseId, Revision};
pub use layout::{DATA_END, DATA_START, Meta, STORAGE_FORMAT};
pub use machine::{Applied, Commit, Machine};
pub use query::{RangeOutcome, RangeQuery, Sort, SortOrder, SortTarget};
pub use read::{History, get, history, lease, leases, meta, range};
pub use snapshot::{SNAPSHOT_VERSION, SnapshotError, SnapshotReader, SnapshotWriter};
pub use txn::{
    CmpOp, Compare, MAX_KEY_BYTES, MAX_TXN_BYTES, MAX_TXN_OPS, Op, OpResponse, Put, Target, Txn,
    TxnOutcome,
};
pub use view::{Changes, MemoryView, Overlay, View, Visitor};
