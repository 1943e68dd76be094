//! Opening: log, snapshot and applied state are brought together before consensus starts.

use std::{path::Path, sync::Arc, sync::mpsc};

use crate::{
    OpenError, Options,
    applied::{Applied, Fault, move_aside},
    batch::LogId,
    dir::{DataDir, is_full},
    snapshots::{Snapshots, load, open_error},
    wal::Wal,
};

/// What is on disk, opened and consistent.
pub(crate) struct Disk {
    pub(crate) dir: Arc<DataDir>,
    pub(crate) wal: Arc<Wal>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) applied: Arc<Applied>,
}

/// Opens everything; blocking.
pub(crate) fn open_disk(options: &Options) -> Result<Disk, OpenError> {
    let dir = Arc::new(DataDir::open(&options.dir, options.node_id)?);
    let snapshots = Arc::new(Snapshots::open(&dir.snapshots())?);
    // The log is created first, so whoever has anything else had a log.
    let used = dir.state().exists() || snapshots.current().is_some();
    let missing = Wal::is_missing(&dir.wal());
    if used && missing.map_err(|source| OpenError::Io { file: dir.wal(), source })? {
        return Err(OpenError::Damaged { file: dir.wal(), offset: 0, what: "the log is missing" });
    }
    let wal = Arc::new(Wal::open(&dir.wal(), options.segment_bytes)?);
    let applied = Arc::new(open_applied(&dir.state(), options.cache_bytes)?);
    reconcile(&wal, &snapshots, &applied, &dir)?;
    Ok(Disk { dir, wal, snapshots, applied })
}

/// Opens sled, or starts an empty one when it refuses: everything in it can be had again.
fn open_applied(dir: &Path, cache_bytes: u64) -> Result<Applied, OpenError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::State {
        dir: dir.to_owned(),
        source,
    };
    match Applied::open(dir, cache_bytes) {
        Ok(applied) => Ok(applied),
        Err(Fault::Sled { source: sled::Error::Io(source) }) if is_full(&source) => {
            Err(OpenError::DiskFull { dir: dir.parent().unwrap_or(dir).to_owned(), source })
        }
        Err(fault) => {
            tracing::warn!(error = %fault, dir = %dir.display(), "the applied state is rebuilt from snapshot and log");
            move_aside(dir).map_err(|error| failed(error.into()))?;
            Applied::open(dir, cache_bytes).map_err(|fault| failed(fault.into()))
        }
    }
}

/// Makes log, snapshot and applied state meet: the log must continue what is applied.
fn reconcile(
    wal: &Wal,
    snapshots: &Snapshots,
    applied: &Applied,
    dir: &DataDir,
) -> Result<(), OpenError> {
    let snapshot = snapshots.current();
    let snapshot_end = snapshot.as_ref().and_then(|(meta, _)| meta.last_log_id);
    let (purged, last) = wal.ends();

    // Applied entries were synced before; a log that ends earlier lost some of its files.
    let applied_end = applied.head().marker.last_applied;
    if index(last) < index(applied_end) && index(snapshot_end) < index(applied_end) {
        return Err(OpenError::Damaged {
            file: dir.wal(),
            offset: 0,
            what: "log ends before entries that were applied",
        });
    }
    let committed = wal.committed();
    if index(last) < index(committed) && index(snapshot_end) < index(committed) {
        return Err(OpenError::Damaged {
            file: dir.wal(),
            offset: 0,
            what: "log ends before entries that were committed",
        });
    }
    if index(purged) > index(snapshot_end) && index(purged) > index(applied_end) {
        return Err(OpenError::Damaged {
            file: dir.snapshots(),
            offset: 0,
            what: "snapshot that the log continues is missing",
        });
    }
    if index(applied_end) < index(purged)
        || (index(applied_end) < index(snapshot_end) && index(last) < index(snapshot_end))
    {
        let (_, path) = snapshot.as_ref().ok_or_else(|| OpenError::Damaged {
            file: dir.snapshots(),
            offset: 0,
            what: "snapshot that the log continues is missing",
        })?;
        load(applied, path).map_err(open_error)?;
    }
    // A restored snapshot, or one installed just before a crash, may be ahead of the whole log.
    if let Some(end) = snapshot_end
        && index(last) < end.index + 1
    {
        durably(|done| wal.purge(end, done))
            .map_err(|source| OpenError::Io { file: dir.wal(), source })?;
    }
    Ok(())
}

/// Waits for a log operation.
pub(crate) fn durably(
    start: impl FnOnce(Box<dyn FnOnce(std::io::Result<()>) + Send>),
) -> std::io::Result<()> {
    let (answer, durable) = mpsc::channel();
    start(Box::new(move |result| {
        let _ = answer.send(result);
    }));
    durable.recv().unwrap_or_else(|_| Err(std::io::Error::other("the log is closed")))
}

/// Number of entries up to and including this one.
fn index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}
