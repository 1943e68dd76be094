//! How opening, using and backing up the store can fail.

use std::{io, path::PathBuf, time::Duration};

use smr_state::{Refusal, Revision, SnapshotError};

use crate::NodeId;

/// Why the store could not be opened. Nothing on disk was changed or lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data directory is in use.
    #[error(
        "data directory `{dir}` is locked by another process; stop it or choose another directory"
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// The data directory cannot be created, entered or written.
    #[error("cannot write data directory `{dir}`; check its owner and mode")]
    Unwritable {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Data of a newer build.
    #[error(
        "`{file}` has format version `{found}`, this build reads up to `{supported}`; upgrade this node"
    )]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version this build reads.
        supported: u32,
    },
    /// A file is damaged in a place that a power loss cannot explain.
    #[error(
        "`{file}` is damaged at offset `{offset}` ({what}); restore a backup or remove the node and join it again"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where, in bytes.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The directory belongs to another member.
    #[error("data directory `{dir}` belongs to node `{found}`, not to node `{wanted}`")]
    OtherNode {
        /// The data directory.
        dir: PathBuf,
        /// Node the data belongs to.
        found: NodeId,
        /// Node that wanted to open it.
        wanted: NodeId,
    },
    /// The disk has no room to start.
    #[error("no space left to open data directory `{dir}`; free some and start again")]
    DiskFull {
        /// The data directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("cannot use `{file}`")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The applied state cannot be opened or rebuilt.
    #[error("cannot open the applied state in `{dir}`")]
    State {
        /// Directory of the applied state.
        dir: PathBuf,
        /// What the storage said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Consensus did not start.
    #[error("cannot start consensus on `{dir}`")]
    Consensus {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a read, write or watch did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another member leads, or none does. The write did not happen; send it to the leader.
    #[error("this node is not the leader{}", leader.map_or_else(String::new, |id| format!(", node `{id}` is")))]
    NotLeader {
        /// The leader as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The keyspace refused the command; nothing changed.
    #[error(transparent)]
    Refused(Refusal),
    /// The revision is older than the history kept.
    #[error(
        "revision `{requested}` is compacted, history starts at revision `{compacted}`; read again and go on from there"
    )]
    Compacted {
        /// Revision asked for.
        requested: Revision,
        /// Newest revision that was compacted away.
        compacted: Revision,
    },
    /// Too little disk space is left; the write did not happen, reads go on.
    #[error("no space left in data directory `{dir}`; free some, then writes go on")]
    DiskFull {
        /// The data directory.
        dir: PathBuf,
    },
    /// The store is shut down or stopped after a fault of its disk. A write in flight may or may not
    /// have happened.
    #[error("the store is stopped")]
    Stopped,
    /// Reading the applied state failed.
    #[error(
        "cannot read the applied state in `{dir}`: restart the node, it will be rebuilt from the log"
    )]
    Storage {
        /// Directory of the applied state.
        dir: PathBuf,
        /// What the storage said.
        source: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A quorum did not answer in time.
    #[error("no quorum of voters answers")]
    NoQuorum,
    /// No leader is known and none came to be while an election could be under way. The write did not
    /// happen.
    #[error(
        "no leader for `{}` ms; a majority of the voters `{voters:?}` has to be running and reachable",
        silent.as_millis()
    )]
    NoLeader {
        /// How long this node has not heard of a leader.
        silent: Duration,
        /// Who could elect one.
        voters: Vec<NodeId>,
    },
    /// The write was handed over, but whether it happened is not known. It may still happen.
    #[error(
        "no answer to the write within `{}` ms, it may or may not have happened; read the keys before repeating it",
        after.as_millis()
    )]
    Unknown {
        /// How long was waited.
        after: Duration,
    },
    /// A member does not answer, so that what was asked for cannot be completed.
    #[error("node `{id}` does not answer; check that it runs and that its address is right")]
    Unreachable {
        /// The member.
        id: NodeId,
    },
    /// Leadership was not handed over in time; this node leads on, or nobody does for a moment.
    #[error("leadership did not pass to another voter in time; try again when more voters are up")]
    NotTransferred,
    /// The change of members is not possible, or another one is under way.
    #[error(
        "members cannot be changed: the change is empty, names unknown members, or another one is under way"
    )]
    Membership,
    /// A message of another member cannot be understood.
    #[error("message of another member is not understood; both should run neighbouring releases")]
    BadMessage,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Compacted { requested, compacted } => Self::Compacted { requested, compacted },
            other => Self::Refused(other),
        }
    }
}

/// Why a backup could not be made, verified or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file operation failed.
    #[error("cannot use `{file}`")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no backup, of a newer build, or damaged.
    #[error("`{file}` is not a usable backup")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// A restore needs an empty directory.
    #[error("directory `{dir}` is not empty; restore into a new one")]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// The restored directory could not be prepared.
    #[error("cannot prepare data directory `{dir}`")]
    Prepare {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
}
