//! Backups on disk: making one of what the store wrote, checking one, and making a stopped node's state
//! that of one.

mod file;
mod restore;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use anyhow::bail;
use rustix::fs::{FlockOperation, flock};
use smr_config::Config;
use smr_pki::{DataKey, KeyLock, PkiError, SecretString};
use smr_wire::BackupInfo;

pub(crate) use self::file::{Note, finish};
pub use self::restore::{Restore, restore_backup};
use crate::{
    identity::{DATA_KEY, Identity},
    record::NodeRecord,
};

/// Makes a backup file of the store backup `path`: adds whose it is, the data key under `lock` if
/// there is one, and the proof that nothing was changed. Blocking.
pub(crate) fn complete(
    path: &Path,
    identity: &Identity,
    cluster: String,
    lock: Option<&KeyLock>,
) -> anyhow::Result<()> {
    let record = &identity.record;
    let mut note = Note {
        cluster,
        node: record.id,
        name: record.name.clone(),
        epoch: record.epoch,
        key: None,
    };
    if let Some(lock) = lock {
        note.seal(lock, &identity.data_key)?;
    }
    finish(path, &note, &identity.data_key)
}

/// Whether a backup holds the key to what is sealed in it, so that a passphrase is of use. Looks at the
/// end of the file only.
///
/// # Errors
/// A file that cannot be read, or does not end like one.
pub fn backup_is_sealed(file: &Path) -> anyhow::Result<bool> {
    Ok(file::glance(file)?.is_some_and(|note| note.key.is_some()))
}

/// Reads a backup in full and checks it. Whether somebody changed it on purpose is known only with the
/// passphrase, or with the data key of its cluster, which `data`, a data directory, may have;
/// [`BackupInfo::authentic`] says so.
///
/// # Errors
/// A file that cannot be read, is damaged, was changed or is of a newer format; a wrong passphrase.
pub fn verify_backup(
    file: &Path,
    data: Option<&Path>,
    passphrase: Option<&SecretString>,
) -> anyhow::Result<BackupInfo> {
    let complete = file::read(file, &mut io::sink())?;
    let proved = prove(&complete, data, passphrase)?;
    let store = smr_store::verify_backup(file)?;
    Ok(told(&store, &complete, proved.is_some()))
}

/// The data key that proves the file; `None` when no key is at hand.
fn prove(
    complete: &file::Complete,
    data: Option<&Path>,
    passphrase: Option<&SecretString>,
) -> anyhow::Result<Option<DataKey>> {
    let Some(note) = &complete.note else { return Ok(None) };
    if let Some(passphrase) = passphrase {
        match note.open(passphrase)? {
            Some(key) if complete.is_proved_by(&key) => return Ok(Some(key)),
            Some(_) => bail!("it was changed after it was made; use another copy"),
            None => {}
        }
    }
    let Some(data) = data else { return Ok(None) };
    let path = data.join("pki").join(DATA_KEY);
    let key = match DataKey::load(&path) {
        // Somebody else's is not at hand.
        Err(PkiError::Read { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            None
        }
        loaded => loaded?,
    };
    let Some(key) = key else { return Ok(None) };
    if complete.is_proved_by(&key) {
        return Ok(Some(key));
    }
    let own = NodeRecord::load(data)?.map(|record| record.cluster);
    if own.is_some_and(|own| own == note.cluster) {
        bail!(
            "it was changed after it was made, or `{}` is not the key of cluster `{}` any more; \
             use another copy",
            path.display(),
            note.cluster
        );
    }
    Ok(None)
}

/// A running node holds the lock of its store.
pub(crate) fn refuse_a_running_node(dir: &Path) -> anyhow::Result<()> {
    let Ok(lock) = File::open(dir.join("lock")) else { return Ok(()) };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("a node runs on `{}`; stop it first with `smr stop`", dir.display());
    }
    Ok(())
}

fn told(store: &smr_store::BackupInfo, complete: &file::Complete, authentic: bool) -> BackupInfo {
    let note = complete.note.as_ref();
    BackupInfo {
        revision: store.revision,
        keys: store.keys,
        bytes: store.file_bytes,
        created: store.created_unix_seconds,
        cluster: note.map(|note| note.cluster.clone()).unwrap_or_default(),
        node: note.map(|note| note.name.clone()).unwrap_or_default(),
        has_key: note.is_some_and(|note| note.key.is_some()),
        authentic,
    }
}

/// Where a node finds its data key.
fn data_key_path(config: &Config) -> PathBuf {
    config.data.dir.join("pki").join(DATA_KEY)
}
