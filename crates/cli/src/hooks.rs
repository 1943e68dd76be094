//! What this crate needs of a node without knowing one.

use std::{
    error::Error as StdError,
    path::{Path, PathBuf},
};

use smr_config::Config;
use smr_pki::SecretString;
use smr_wire::BackupInfo;

/// A failure of the node, told with its causes.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// The node's side of the commands that concern this machine.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Runs a node until it is told to stop.
    pub start: fn(Config) -> Result<(), Failure>,
    /// Whether a backup holds the data key under a passphrase.
    pub sealed: fn(&Path) -> Result<bool, Failure>,
    /// Reads a backup in full and checks it.
    pub verify: fn(&Path, BackupKeys<'_>) -> Result<BackupInfo, Failure>,
    /// Makes the state of the stopped node of this configuration that of a backup.
    pub restore: fn(&Path, &Config, RestoreWish<'_>) -> Result<BackupInfo, Failure>,
    /// Reads what the disk of the stopped node of this configuration knows.
    pub survey: fn(&Config) -> Result<Survey, Failure>,
    /// Makes the stopped node of this configuration the only member of its cluster. Gives where what
    /// it had is kept.
    pub recover: fn(&Config) -> Result<PathBuf, Failure>,
}

/// What can prove that a backup is authentic.
#[derive(Debug, Clone, Copy, Default)]
pub struct BackupKeys<'a> {
    /// A data directory, which may have the cluster's data key.
    pub data: Option<&'a Path>,
    /// The passphrase the backup was made with.
    pub passphrase: Option<&'a SecretString>,
}

/// How a backup is to be restored.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreWish<'a> {
    /// The passphrase the backup was made with.
    pub passphrase: Option<&'a SecretString>,
    /// Name of the node from now on.
    pub name: Option<&'a str>,
    /// Whether state that is there is put aside.
    pub replace: bool,
    /// Whether a file is taken that does not show whether somebody changed it.
    pub unproved: bool,
}

/// What the disk of a stopped node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Id of the node.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Id of its cluster.
    pub cluster: String,
    /// How often it was started.
    pub epoch: u64,
    /// Newest term it took part in.
    pub term: u64,
    /// Term of its last log entry.
    pub last_log_term: u64,
    /// Index of its last log entry.
    pub last_log_index: u64,
    /// Last entry it knows to be committed.
    pub committed_index: u64,
    /// Ids of members with a vote.
    pub voters: Vec<u64>,
    /// All members.
    pub members: Vec<SurveyedMember>,
}

/// A member and where other nodes reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedMember {
    /// Its id.
    pub id: u64,
    /// `host:port`; may be empty.
    pub address: String,
}
