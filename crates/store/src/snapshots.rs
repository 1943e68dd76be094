//! Snapshot files: written aside, synced, renamed; the newest one and the log rebuild everything.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use smr_state::{SnapshotError, SnapshotReader, SnapshotWriter};

use crate::{
    OpenError,
    applied::{Applied, Fault, Frozen, Marker},
    batch::SnapshotMeta,
    dir::{create_file, rename_durably, sync_dir},
};

/// Header of a snapshot file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    pub(crate) meta: SnapshotMeta,
    pub(crate) revision: u64,
}

/// Why a snapshot could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotFault {
    #[error("cannot use `{file}`")]
    File { file: PathBuf, source: io::Error },
    #[error("`{file}` is not usable")]
    Content { file: PathBuf, source: SnapshotError },
    #[error("`{file}` has an unknown header")]
    Header { file: PathBuf },
    #[error(transparent)]
    State(#[from] Fault),
    #[error("cannot write a snapshot")]
    Write(#[from] io::Error),
}

/// The snapshot directory. Only the newest snapshot is kept.
#[derive(Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    current: Mutex<Current>,
    temporary: AtomicU64,
}

#[derive(Debug, Default)]
struct Current {
    newest: Option<(SnapshotMeta, PathBuf)>,
    /// Set when the directory is given up: a late writer must not touch it.
    closed: bool,
}

impl Snapshots {
    /// Finds the newest snapshot and removes leftovers of interrupted writes.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { file: dir.to_owned(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("tmp") => fs::remove_file(&path).map_err(failed)?,
                Some("snap") => found.push(path),
                _ => {}
            }
        }
        found.sort();
        let newest = found
            .pop()
            .map(|path| match read_header(&path) {
                Ok(header) => Ok((header.meta, path)),
                Err(fault) => Err(open_error(fault)),
            })
            .transpose()?;
        // A start that was cut short may have left a rename unsynced, or the one before the newest.
        sync_dir(dir).map_err(failed)?;
        for older in found {
            fs::remove_file(&older).map_err(failed)?;
        }
        let current = Mutex::new(Current { newest, closed: false });
        Ok(Self { dir: dir.to_owned(), current, temporary: AtomicU64::new(0) })
    }

    /// The newest snapshot.
    pub(crate) fn current(&self) -> Option<(SnapshotMeta, PathBuf)> {
        self.lock().newest.clone()
    }

    /// Opens the newest snapshot; it stays readable when a newer one replaces it.
    pub(crate) fn open_current(&self) -> io::Result<Option<(SnapshotMeta, File)>> {
        let current = self.lock();
        let newest = current.newest.as_ref();
        newest.map(|(meta, path)| Ok((meta.clone(), File::open(path)?))).transpose()
    }

    /// Waits for a change of the directory that is under way and allows no other.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Path for a file that is being written.
    pub(crate) fn temporary(&self) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{}-{number}.tmp", std::process::id()))
    }

    /// Writes a frozen view as the newest snapshot.
    pub(crate) fn save(&self, frozen: &Frozen) -> Result<(), SnapshotFault> {
        let marker = &frozen.head.marker;
        let index = marker.last_applied.map_or(0, |id| id.index);
        let term = marker.last_applied.map_or(0, |id| id.leader_id.term);
        let meta = SnapshotMeta {
            last_log_id: marker.last_applied,
            last_membership: marker.membership.clone(),
            snapshot_id: format!("{term}-{index}-{}", frozen.head.meta.revision),
        };
        let header = SnapshotHeader { meta: meta.clone(), revision: frozen.head.meta.revision };
        let temporary = self.temporary();
        let result = write_file(&temporary, &header, frozen);
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result?;
        self.adopt(&meta, &temporary).map(|_| ())
    }

    /// Makes a complete, synced file the newest snapshot, unless a newer one was adopted meanwhile.
    /// Returns the path of the newest.
    pub(crate) fn adopt(
        &self,
        meta: &SnapshotMeta,
        temporary: &Path,
    ) -> Result<PathBuf, SnapshotFault> {
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let term = meta.last_log_id.map_or(0, |id| id.leader_id.term);
        let path = self.dir.join(format!("{index:020}-{term:020}.snap"));
        let mut current = self.lock();
        let newer = match &current.newest {
            Some((newest, path)) if newest.last_log_id > meta.last_log_id => Some(path.clone()),
            _ => None,
        };
        if current.closed || newer.is_some() {
            fs::remove_file(temporary)?;
            return newer.ok_or(SnapshotFault::State(Fault::Closed));
        }
        rename_durably(temporary, &path)?;
        let old = current.newest.replace((meta.clone(), path.clone()));
        if let Some((_, old)) = old
            && old != path
            && let Err(error) = fs::remove_file(&old).and_then(|()| sync_dir(&self.dir))
        {
            tracing::warn!(error = %error, file = %old.display(), "cannot remove an old snapshot");
        }
        Ok(path)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces the applied state by a snapshot file.
pub(crate) fn load(applied: &Applied, path: &Path) -> Result<SnapshotHeader, SnapshotFault> {
    let mut reader = open_reader(path)?;
    let header = decode_header(path, reader.header())?;
    let marker = Marker {
        last_applied: header.meta.last_log_id,
        membership: header.meta.last_membership.clone(),
        revision: header.revision,
    };
    applied.replace(marker, || match reader.next_entry() {
        Ok(entry) => Ok(entry.map(|(key, value)| (key.to_vec(), value.to_vec()))),
        Err(source) => Err(SnapshotFault::Content { file: path.to_owned(), source }),
    })?;
    Ok(header)
}

/// What the newest snapshot in `dir` covers. Changes nothing.
pub(crate) fn newest_meta(dir: &Path) -> Result<Option<SnapshotMeta>, OpenError> {
    let failed = |source| OpenError::Io { file: dir.to_owned(), source };
    let mut newest = None;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "snap") {
            newest = newest.max(Some(path));
        }
    }
    newest.map(|path| Ok(read_header(&path).map_err(open_error)?.meta)).transpose()
}

/// Reads a whole snapshot stream and checks every checksum in it.
pub(crate) fn verify(path: &Path) -> Result<SnapshotHeader, SnapshotFault> {
    let mut reader = open_reader(path)?;
    let header = decode_header(path, reader.header())?;
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(header),
            Err(source) => return Err(SnapshotFault::Content { file: path.to_owned(), source }),
        }
    }
}

pub(crate) fn open_error(fault: SnapshotFault) -> OpenError {
    match fault {
        SnapshotFault::File { file, source } => OpenError::Io { file, source },
        SnapshotFault::Content { file, source: SnapshotError::Newer { found, supported } } => {
            OpenError::NewerFormat { file, found, supported }
        }
        SnapshotFault::Content { file, source: SnapshotError::Damaged { offset } } => {
            OpenError::Damaged { file, offset, what: "checksum of the snapshot does not match" }
        }
        SnapshotFault::Content { file, source: SnapshotError::Io { source } } => {
            OpenError::Io { file, source }
        }
        SnapshotFault::Content { file, .. } | SnapshotFault::Header { file } => {
            OpenError::Damaged { file, offset: 0, what: "not a snapshot of this product" }
        }
        SnapshotFault::State(source) => {
            OpenError::State { dir: PathBuf::new(), source: source.into() }
        }
        SnapshotFault::Write(source) => OpenError::Io { file: PathBuf::new(), source },
    }
}

fn read_header(path: &Path) -> Result<SnapshotHeader, SnapshotFault> {
    decode_header(path, open_reader(path)?.header())
}

fn decode_header(path: &Path, bytes: &[u8]) -> Result<SnapshotHeader, SnapshotFault> {
    postcard::from_bytes(bytes).map_err(|_| SnapshotFault::Header { file: path.to_owned() })
}

fn open_reader(path: &Path) -> Result<SnapshotReader<impl Read + use<>>, SnapshotFault> {
    let file =
        File::open(path).map_err(|source| SnapshotFault::File { file: path.to_owned(), source })?;
    SnapshotReader::new(BufReader::with_capacity(128 * 1024, file))
        .map_err(|source| SnapshotFault::Content { file: path.to_owned(), source })
}

fn write_file(path: &Path, header: &SnapshotHeader, frozen: &Frozen) -> Result<(), SnapshotFault> {
    let file = create_file(path, true)?;
    let header = postcard::to_stdvec(header).expect("encoding into memory fails for no header");
    let mut writer = SnapshotWriter::new(BufWriter::with_capacity(128 * 1024, file), &header)?;
    frozen.for_each::<SnapshotFault>(|key, value| Ok(writer.entry(key, value)?))?;
    let file = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(())
}

/// The newest snapshots, shared between the state machine and its builders.
pub(crate) type SharedSnapshots = Arc<Snapshots>;

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;

    use super::*;
    use crate::batch::LogId;

    fn meta(index: u64) -> SnapshotMeta {
        let last_log_id = Some(LogId::new(CommittedLeaderId::new(1, 1), index));
        SnapshotMeta { last_log_id, ..SnapshotMeta::default() }
    }

    #[test]
    fn a_snapshot_that_was_overtaken_does_not_replace_the_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(dir.path()).unwrap();
        let write = |text: &str| {
            let path = snapshots.temporary();
            fs::write(&path, text).unwrap();
            path
        };
        let newer = snapshots.adopt(&meta(9), &write("newer")).unwrap();
        assert_eq!(snapshots.adopt(&meta(5), &write("older")).unwrap(), newer);
        let names = || fs::read_dir(dir.path()).unwrap().count();
        assert_eq!((names(), fs::read_to_string(&newer).unwrap()), (1, "newer".to_owned()));
        let newest = snapshots.adopt(&meta(12), &write("newest")).unwrap();
        assert_eq!((names(), newest.exists()), (1, true));
        snapshots.close();
        assert!(snapshots.adopt(&meta(20), &write("late")).is_err());
        assert_eq!((names(), newest.exists()), (1, true));
    }
}
