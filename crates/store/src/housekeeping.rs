//! Keeps log and history short: snapshots by size of the log, compaction by number of revisions.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use openraft::ServerState;
use smr_state::{Command, Meta};
use tokio::sync::{Notify, mpsc};

use crate::{
    Options, applied::Applied, batch::Raft, proposer::Proposal, snapshots::Snapshots, wal::Wal,
};

/// Limits and when they are reached next. The state machine asks after every apply.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    wal: Arc<Wal>,
    log_bytes: u64,
    log_entries: u64,
    keep_revisions: u64,
    snapshot_at_bytes: AtomicU64,
    snapshot_at_index: AtomicU64,
    due: Notify,
}

impl Housekeeping {
    pub(crate) fn new(options: &Options, wal: &Arc<Wal>, snapshots: &Snapshots) -> Self {
        let covered = snapshots.current().and_then(|(meta, _)| meta.last_log_id);
        let covered = covered.map_or(0, |id| id.index);
        Self {
            wal: Arc::clone(wal),
            log_bytes: options.snapshot_log_bytes,
            log_entries: options.snapshot_log_entries,
            keep_revisions: options.keep_revisions,
            snapshot_at_bytes: AtomicU64::new(options.snapshot_log_bytes),
            snapshot_at_index: AtomicU64::new(covered + options.snapshot_log_entries),
            due: Notify::new(),
        }
    }

    /// Looks at the limits; cheap.
    pub(crate) fn applied(&self, index: u64, meta: &Meta) {
        if self.snapshot_due(index) || self.compaction(meta).is_some() {
            self.due.notify_one();
        }
    }

    fn snapshot_due(&self, index: u64) -> bool {
        self.wal.counters().2 >= self.snapshot_at_bytes.load(Ordering::Relaxed)
            || index >= self.snapshot_at_index.load(Ordering::Relaxed)
    }

    /// Revision to compact at. A tenth more than wanted may pile up, so that it is done in bulk.
    fn compaction(&self, meta: &Meta) -> Option<u64> {
        let kept = meta.revision.saturating_sub(meta.compacted);
        let slack = (self.keep_revisions / 10).max(1);
        (kept > self.keep_revisions + slack).then(|| meta.revision - self.keep_revisions)
    }
}

/// Runs until the store stops.
pub(crate) async fn run(
    raft: Raft,
    applied: Arc<Applied>,
    house: Arc<Housekeeping>,
    proposals: mpsc::WeakSender<Proposal>,
) {
    loop {
        house.due.notified().await;
        let head = applied.head();
        let index = head.marker.last_applied.map_or(0, |id| id.index);
        if house.snapshot_due(index) {
            let bytes = house.wal.counters().2;
            house.snapshot_at_bytes.store(bytes + house.log_bytes, Ordering::Relaxed);
            house.snapshot_at_index.store(index + house.log_entries, Ordering::Relaxed);
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
        let leads = raft.server_metrics().borrow().state == ServerState::Leader;
        if leads && let Some(revision) = house.compaction(&head.meta) {
            let Some(proposals) = proposals.upgrade() else { return };
            let (proposal, answered) = Proposal::here(Command::Compact { revision });
            if proposals.send(proposal).await.is_err() {
                return;
            }
            drop(proposals);
            // A refusal means that somebody compacted already; both are fine.
            let _ = answered.await;
        }
    }
}
