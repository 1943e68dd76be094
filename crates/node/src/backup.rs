//! Backups on disk: checking one, and making a stopped node's state that of one.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use smr_config::Config;
use smr_pki::ensure_private_dir;
use smr_wire::BackupInfo;

use crate::run::{FIRST_NODE, store_dir};

/// Reads a backup in full and checks it.
///
/// # Errors
/// A file that cannot be read, is damaged, or is of a newer format.
pub fn verify_backup(file: &Path) -> anyhow::Result<BackupInfo> {
    Ok(told(&smr_store::verify_backup(file)?))
}

/// Makes the state of the stopped node of `config` that of the backup `file`. State that is there
/// already is replaced only with `replace`, and then it is kept beside the new one, with the time
/// in its name.
///
/// Keys and certificates are not part of a backup: confidential values can be opened only with
/// the `pki` directory of the node the backup was made on.
///
/// # Errors
/// A bad backup; a node that runs; state that is there without `replace`. Nothing is changed then.
pub fn restore_backup(file: &Path, config: &Config, replace: bool) -> anyhow::Result<BackupInfo> {
    smr_store::verify_backup(file)?;
    ensure_private_dir(&config.data.dir)?;
    let dir = store_dir(config);
    if dir.exists() {
        refuse_a_running_node(&dir)?;
        if !replace {
            bail!("`{}` has state already; restore with `--force` to put it aside", dir.display());
        }
        let aside = dir.with_file_name(format!("store.until-{}", Timestamp::now().as_second()));
        fs::rename(&dir, &aside)
            .with_context(|| format!("cannot move `{}` aside", dir.display()))?;
        let restored = smr_store::restore_backup_as(file, &dir, node_id(config));
        if restored.is_err() {
            // The state from before is the best there is.
            let _ = fs::remove_dir_all(&dir);
            fs::rename(&aside, &dir)
                .with_context(|| format!("cannot move `{}` back", aside.display()))?;
        }
        return Ok(told(&restored?));
    }
    Ok(told(&smr_store::restore_backup_as(file, &dir, node_id(config))?))
}

fn node_id(config: &Config) -> u64 {
    config.node.id.unwrap_or(FIRST_NODE)
}

/// A running node holds the lock of its store.
fn refuse_a_running_node(dir: &Path) -> anyhow::Result<()> {
    let Ok(lock) = File::open(dir.join("lock")) else { return Ok(()) };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("a node runs on `{}`; stop it first with `smr stop`", dir.display());
    }
    Ok(())
}

fn told(info: &smr_store::BackupInfo) -> BackupInfo {
    BackupInfo { revision: info.revision, keys: info.keys, bytes: info.file_bytes }
}
