//! The applied state as openraft wants to see it.

use std::{
    error::Error as _,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError,
    storage::RaftStateMachine,
};
use smr_state::{Machine, Response, Revision};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    sync::{Notify, watch},
};

use crate::{
    applied::{Applied, Fault, Frozen},
    batch::{Entry, LogId, Outcome, SnapshotMeta, StorageError, StoredMembership, TypeConfig},
    dir::DataDir,
    housekeeping::Housekeeping,
    hub::Hub,
    snapshots::{SharedSnapshots, SnapshotFault, Snapshots, load, verify},
    wal::Wal,
};

/// Applies committed entries: keyspace first, then watches.
pub(crate) struct StateMachine {
    pub(crate) wal: Arc<Wal>,
    pub(crate) applied: Arc<Applied>,
    pub(crate) snapshots: SharedSnapshots,
    pub(crate) hub: Arc<Hub>,
    /// Told when leases were granted, renewed or ended.
    pub(crate) leases: Arc<Notify>,
    pub(crate) house: Arc<Housekeeping>,
    /// Keeps the directory locked for as long as anything may be written to it.
    pub(crate) dir: Arc<DataDir>,
    /// Told the index of the last entry applied.
    pub(crate) progress: watch::Sender<u64>,
}

/// Why entries could not be applied.
#[derive(Debug, thiserror::Error)]
enum ApplyFault {
    #[error("cannot apply to `{dir}`")]
    State { dir: PathBuf, source: Fault },
    #[error("log entry `{index}` cannot be decoded")]
    Entry { index: u64, source: smr_state::CodecError },
}

impl StateMachine {
    fn apply_entries(&self, entries: Vec<Entry>) -> Result<Vec<Outcome>, ApplyFault> {
        let state_fault = |source| ApplyFault::State { dir: self.applied.dir().to_owned(), source };
        let _applying = self.applied.applying();
        let mut batches = Vec::with_capacity(entries.len());
        let mut marker = self.applied.head().marker;
        for entry in entries {
            marker.last_applied = Some(entry.log_id);
            batches.push(match entry.payload {
                EntryPayload::Blank => Vec::new(),
                EntryPayload::Membership(membership) => {
                    marker.membership = StoredMembership::new(Some(entry.log_id), membership);
                    Vec::new()
                }
                EntryPayload::Normal(batch) => batch
                    .commands()
                    .map_err(|source| ApplyFault::Entry { index: entry.log_id.index, source })?,
            });
        }
        let (outcome, results) = self
            .applied
            .compute(|view| {
                let mut machine = Machine::new(view)?;
                let mut results = Vec::with_capacity(batches.len());
                for commands in &batches {
                    let answers: Result<Vec<_>, _> =
                        commands.iter().map(|command| machine.apply(command)).collect();
                    results.push(Outcome(answers?));
                }
                Ok((machine.finish(), results))
            })
            .map_err(state_fault)?;
        let revision: Revision = outcome.meta.revision;
        let mut outcome = outcome;
        let commits = std::mem::take(&mut outcome.commits);
        let leases = outcome.changes.keys().any(|key| key.first() == Some(&b'l'));
        let (index, meta) = (marker.last_applied.map_or(0, |id| id.index), outcome.meta);
        self.applied.write(outcome, marker).map_err(state_fault)?;
        self.house.applied(index, &meta);
        self.hub.publish(commits, revision);
        self.progress.send_replace(index);
        if leases || results.iter().flat_map(|o| &o.0).any(|r| matches!(r, Ok(Response::Lease(_))))
        {
            self.leases.notify_one();
        }
        Ok(results)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let marker = self.applied.head().marker;
        Ok((marker.last_applied, marker.membership))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        if let Some(last) = entries.last() {
            // A quorum has them, but this node may still be syncing them.
            let durable = self.wal.wait_durable(last.log_id.index).await;
            durable.map_err(|error| StorageIOError::write_logs(&error))?;
        }
        // openraft would not notice the end of its task before the next write, and writers would hang.
        let applied = catch_unwind(AssertUnwindSafe(|| self.apply_entries(entries)));
        let applied = applied.unwrap_or_else(|_| {
            let dir = self.applied.dir().to_owned();
            Err(ApplyFault::State { dir, source: self.applied.panicked() })
        });
        applied.map_err(|fault| {
            if !matches!(fault, ApplyFault::State { source: Fault::Closed, .. }) {
                tracing::error!(error = %fault, cause = ?fault.source(), "cannot apply committed entries, the store stops");
            }
            StorageIOError::write_state_machine(&fault).into()
        })
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            frozen: Some(self.applied.freeze()),
            snapshots: Arc::clone(&self.snapshots),
            _dir: Arc::clone(&self.dir),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<File>, StorageError> {
        let path = self.snapshots.temporary();
        let opened = crate::dir::create_file(&path, true).and_then(|file| {
            // The open file is all that is needed; a crash then leaves nothing behind.
            std::fs::remove_file(&path).map(|()| file)
        });
        match opened {
            Ok(file) => Ok(Box::new(File::from_std(file))),
            Err(error) => Err(StorageIOError::write_snapshot(None, &error).into()),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        mut snapshot: Box<File>,
    ) -> Result<(), StorageError> {
        let signature = Some(meta.signature());
        let io_fault = |error: &io::Error| StorageIOError::write_snapshot(signature.clone(), error);
        let path = self.snapshots.temporary();
        let copied = async {
            snapshot.rewind().await?;
            let mut file = File::from_std(crate::dir::create_file(&path, true)?);
            tokio::io::copy(&mut snapshot, &mut file).await?;
            file.flush().await?;
            file.sync_all().await
        };
        copied.await.map_err(|error| io_fault(&error))?;
        let applied = Arc::clone(&self.applied);
        let snapshots = Arc::clone(&self.snapshots);
        let wanted = meta.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            // Checked in full before the old state is touched.
            if let Err(fault) = verify(&path) {
                let _ = std::fs::remove_file(&path);
                return Err(fault);
            }
            let path = snapshots.adopt(&wanted, &path)?;
            load(&applied, &path)
        });
        match loaded.await {
            Ok(Ok(header)) => {
                self.hub.reset(header.revision);
                let index = header.meta.last_log_id.map_or(0, |id| id.index);
                self.progress.send_replace(index);
                self.leases.notify_one();
                Ok(())
            }
            Ok(Err(fault)) => {
                Err(StorageIOError::write_snapshot(Some(meta.signature()), &fault).into())
            }
            Err(join) => Err(StorageIOError::write_snapshot(Some(meta.signature()), &join).into()),
        }
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        open_newest(&self.snapshots)
            .map_err(|error| StorageIOError::read_snapshot(None, &error).into())
    }
}

/// Writes one snapshot of the moment it was made at.
pub(crate) struct Builder {
    frozen: Option<Frozen>,
    snapshots: SharedSnapshots,
    _dir: Arc<DataDir>,
}

fn open_newest(snapshots: &Snapshots) -> io::Result<Option<Snapshot<TypeConfig>>> {
    let opened = snapshots.open_current()?;
    Ok(opened.map(|(meta, file)| Snapshot { meta, snapshot: Box::new(File::from_std(file)) }))
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let frozen = self.frozen.take();
        let snapshots = Arc::clone(&self.snapshots);
        let built = tokio::task::spawn_blocking(move || match frozen {
            Some(frozen) => snapshots.save(&frozen),
            None => Err(SnapshotFault::State(Fault::Closed)),
        });
        if let Err(fault) = built.await.unwrap_or(Err(SnapshotFault::State(Fault::Panicked)))
            && !matches!(fault, SnapshotFault::State(Fault::Closed))
        {
            // No reason to stop: the log simply stays longer, and the next attempt may succeed. To
            // openraft the answer "the old snapshot is still the newest" is a normal one.
            tracing::warn!(error = %fault, cause = ?fault.source(), "cannot write a snapshot, the log is kept");
        }
        let failed = |error: io::Error| StorageIOError::read_snapshot(None, &error);
        if let Some(snapshot) = open_newest(&self.snapshots).map_err(failed)? {
            return Ok(snapshot);
        }
        let empty = std::fs::File::open("/dev/null");
        let file = empty.map_err(failed)?;
        Ok(Snapshot { meta: SnapshotMeta::default(), snapshot: Box::new(File::from_std(file)) })
    }
}
