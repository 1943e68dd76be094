//! What openraft is parameterised with: one log entry carries a batch of commands.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};
use smr_state::{CodecError, Command, CommandResult, decode_commands, encode_commands};

openraft::declare_raft_types!(
    /// The types of our consensus.
    pub(crate) TypeConfig:
        D = Batch,
        R = Outcome,
        NodeId = u64,
        Node = openraft::BasicNode,
        SnapshotData = tokio::fs::File,
);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, openraft::BasicNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, openraft::BasicNode>;
pub(crate) type StorageError = openraft::StorageError<u64>;

/// Encoded commands of one log entry. They are encoded once, by the proposer; cloning is cheap.
#[derive(Clone)]
pub(crate) struct Batch {
    bytes: Arc<[u8]>,
    /// Set once the entry entered the log here; only what is proposed here has it.
    appended: Option<Arc<AtomicBool>>,
}

impl Batch {
    /// The batch, and a flag that says whether it ever entered the log of this node.
    pub(crate) fn new(commands: &[Command]) -> (Self, Arc<AtomicBool>) {
        let appended = Arc::new(AtomicBool::new(false));
        let bytes = encode_commands(commands).into();
        (Self { bytes, appended: Some(Arc::clone(&appended)) }, appended)
    }

    pub(crate) fn commands(&self) -> Result<Vec<Command>, CodecError> {
        decode_commands(&self.bytes)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Notes that the entry is about to enter the log.
    pub(crate) fn appending(&self) {
        if let Some(appended) = &self.appended {
            appended.store(true, Ordering::Release);
        }
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Batch {}

/// Commands may carry secrets, so only their size is shown.
impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} bytes)", self.len())
    }
}

impl Serialize for Batch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::deserialize::<Vec<u8>, D>(deserializer)
            .map(|bytes| Self { bytes: bytes.into(), appended: None })
    }
}

/// Answers to the commands of one log entry, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome(pub(crate) Vec<CommandResult>);
