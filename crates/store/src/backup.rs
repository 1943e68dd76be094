//! Backups: the keyspace of one moment in one file, checked in full before it is restored.
//!
//! The file is a gzip stream around the snapshot format, with a header of its own.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use openraft::{BasicNode, Membership};
use serde::{Deserialize, Serialize};
use smr_state::{Revision, SnapshotError, SnapshotReader, SnapshotWriter};

use crate::{
    NodeId, OpenError, Options,
    applied::{Applied, Fault, Frozen},
    batch::{LogId, StoredMembership, Vote},
    dir::{DataDir, create_dir, create_file, rename_durably},
    open::durably,
    snapshots::SnapshotHeader,
    wal::Wal,
};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// Revision of the keyspace in it.
    pub revision: Revision,
    /// Number of keys.
    pub keys: u64,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// Size of the file in bytes.
    pub file_bytes: u64,
}

/// Header of the snapshot stream inside a backup.
#[derive(Debug, Serialize, Deserialize)]
struct BackupHeader {
    kind: String,
    revision: Revision,
    last_log_id: Option<LogId>,
    created_unix_seconds: u64,
}

const KIND: &str = "smr-backup";

/// Reads a backup in full and checks it.
pub fn verify_backup(file: &Path) -> Result<BackupInfo, BackupError> {
    read(file, |_, _| Ok(())).map(|(_, info)| info)
}

/// Makes a data directory for node 1 from a backup; see [`restore_backup_as`].
pub fn restore_backup(file: &Path, dir: &Path) -> Result<BackupInfo, BackupError> {
    restore_backup_as(file, dir, 1)
}

/// Makes a data directory from a backup, for a cluster whose only voter is `node_id`. `dir` must be
/// empty or missing; after a failure it is as it was.
pub fn restore_backup_as(
    file: &Path,
    dir: &Path,
    node_id: NodeId,
) -> Result<BackupInfo, BackupError> {
    let io_error = |path: &Path| {
        let file = path.to_owned();
        move |source| BackupError::Io { file, source }
    };
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(BackupError::NotEmpty { dir: dir.to_owned() }),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(io_error(dir)(source)),
    }
    let staging = staging_path(dir);
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(io_error(&staging))?;
    }
    let restored = build(file, &staging, node_id).and_then(|info| {
        // Renaming over an empty directory replaces it.
        rename_durably(&staging, dir).map_err(io_error(dir))?;
        Ok(info)
    });
    if restored.is_err() {
        let _ = fs::remove_dir_all(&staging);
    }
    restored
}

use crate::BackupError;

/// Writes a backup of the current moment.
pub(crate) async fn create(
    applied: &Arc<Applied>,
    to: &Path,
    now: SystemTime,
) -> Result<BackupInfo, BackupError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let frozen = applied.freeze();
    let path = to.to_owned();
    let task = tokio::task::spawn_blocking(move || {
        let mut name = path.clone().into_os_string();
        // Two backups to one path at once must not write into one file.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{number}.part", std::process::id()));
        let temporary = PathBuf::from(name);
        let failed = |source| BackupError::Io { file: path.clone(), source };
        let result = write(&frozen, &temporary, now)
            .and_then(|written| rename_durably(&temporary, &path).map(|()| written));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result.map_err(failed)
    });
    match task.await {
        Ok(result) => result,
        Err(join) => Err(BackupError::Io { file: to.to_owned(), source: io::Error::other(join) }),
    }
}

fn write(frozen: &Frozen, path: &Path, now: SystemTime) -> io::Result<BackupInfo> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH);
    let header = BackupHeader {
        kind: KIND.to_owned(),
        revision: frozen.head.meta.revision,
        last_log_id: frozen.head.marker.last_applied,
        created_unix_seconds: now.map_or(0, |since| since.as_secs()),
    };
    let file = BufWriter::new(create_file(path, true)?);
    let encoded = postcard::to_stdvec(&header).map_err(io::Error::other)?;
    let mut writer = SnapshotWriter::new(GzEncoder::new(file, Compression::fast()), &encoded)?;
    let mut keys = 0;
    frozen.for_each::<WriteFault>(|key, value| {
        keys += u64::from(is_key(key));
        Ok(writer.entry(key, value)?)
    })?;
    let file = writer.finish()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(BackupInfo {
        revision: header.revision,
        keys,
        created_unix_seconds: header.created_unix_seconds,
        file_bytes: file.metadata()?.len(),
    })
}

/// Prepares a whole data directory: format, snapshot, and a log that continues after it.
fn build(file: &Path, dir: &Path, node_id: NodeId) -> Result<BackupInfo, BackupError> {
    let prepare = |source| BackupError::Prepare { dir: dir.to_owned(), source };
    let io_error = |path: &Path| {
        let file = path.to_owned();
        move |source| BackupError::Io { file, source }
    };
    // Once through before anything is written.
    let (header, _) = read(file, |_, _| Ok(()))?;
    create_dir(dir).map_err(io_error(dir))?;
    let data = DataDir::open(dir, node_id).map_err(prepare)?;
    let last = header.last_log_id.unwrap_or_default();
    let members = Membership::new(
        vec![[node_id].into()],
        std::collections::BTreeMap::from([(node_id, BasicNode::default())]),
    );
    let meta = crate::batch::SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(last), members),
        snapshot_id: format!("restored-{}", header.revision),
    };
    let name = format!("{:020}-{:020}.snap", last.index, last.leader_id.term);
    let path = data.snapshots().join(name);
    let encoded = postcard::to_stdvec(&SnapshotHeader { meta, revision: header.revision })
        .map_err(|error| io_error(&path)(io::Error::other(error)))?;
    let sink = create_file(&path, true).map_err(io_error(&path))?;
    let mut writer =
        SnapshotWriter::new(BufWriter::new(sink), &encoded).map_err(io_error(&path))?;
    let (_, info) = read(file, |key, value| writer.entry(key, value).map_err(io_error(&path)))?;
    let finish = || -> io::Result<()> {
        let file = writer.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    };
    finish().map_err(io_error(&path))?;
    let wal = Wal::open(&data.wal(), Options::new(dir).segment_bytes).map_err(prepare)?;
    let vote = Vote::new(last.leader_id.term, node_id);
    durably(|done| wal.save_vote(vote, done))
        .and_then(|()| durably(|done| wal.purge(last, done)))
        .map_err(|source| prepare(OpenError::Io { file: data.wal(), source }))?;
    crate::dir::sync_dir(&data.snapshots()).map_err(io_error(dir))?;
    Ok(info)
}

/// Reads every entry of a backup.
fn read(
    file: &Path,
    mut entry: impl FnMut(&[u8], &[u8]) -> Result<(), BackupError>,
) -> Result<(BackupHeader, BackupInfo), BackupError> {
    let unusable = |source| BackupError::Unusable { file: file.to_owned(), source };
    let opened = File::open(file).and_then(|opened| {
        let length = opened.metadata()?.len();
        Ok((opened, length))
    });
    let (opened, file_bytes) =
        opened.map_err(|source| BackupError::Io { file: file.to_owned(), source })?;
    let stream = GzDecoder::new(BufReader::new(opened));
    let mut reader = SnapshotReader::new(stream).map_err(|error| unusable(unzip_error(error)))?;
    let header: BackupHeader = postcard::from_bytes(reader.header())
        .ok()
        .filter(|header: &BackupHeader| header.kind == KIND)
        .ok_or_else(|| unusable(SnapshotError::NotASnapshot))?;
    let mut keys = 0;
    while let Some((key, value)) =
        reader.next_entry().map_err(|error| unusable(unzip_error(error)))?
    {
        keys += u64::from(is_key(key));
        entry(key, value)?;
    }
    let info = BackupInfo {
        revision: header.revision,
        keys,
        created_unix_seconds: header.created_unix_seconds,
        file_bytes,
    };
    Ok((header, info))
}

/// A stream that does not unzip is not a backup, or a damaged one.
fn unzip_error(error: SnapshotError) -> SnapshotError {
    match error {
        SnapshotError::Io { source } if source.kind() == io::ErrorKind::InvalidInput => {
            SnapshotError::NotASnapshot
        }
        other => other,
    }
}

fn is_key(storage_key: &[u8]) -> bool {
    storage_key.first() == Some(&b'k')
}

fn staging_path(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".restoring");
    PathBuf::from(name)
}

/// Writing fails by the file or by the state under it.
struct WriteFault(io::Error);

impl From<Fault> for WriteFault {
    fn from(fault: Fault) -> Self {
        Self(io::Error::other(fault))
    }
}

impl From<io::Error> for WriteFault {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<WriteFault> for io::Error {
    fn from(fault: WriteFault) -> Self {
        fault.0
    }
}
