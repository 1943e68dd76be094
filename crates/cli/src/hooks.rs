//! What this crate needs of a node without knowing one.

use std::{error::Error as StdError, path::Path};

use smr_config::Config;
use smr_wire::BackupInfo;

/// A failure of the node, told with its causes.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// The node's side of the commands that concern this machine.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Runs a node until it is told to stop.
    pub start: fn(Config) -> Result<(), Failure>,
    /// Reads a backup in full and checks it.
    pub verify: fn(&Path) -> Result<BackupInfo, Failure>,
    /// Makes the state of the stopped node of this configuration that of a backup. State that is
    /// there is replaced only if the flag is set.
    pub restore: fn(&Path, &Config, bool) -> Result<BackupInfo, Failure>,
}
