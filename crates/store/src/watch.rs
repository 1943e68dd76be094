//! A watch: history first, then commits as they happen, never a gap and never twice.

use std::{collections::VecDeque, sync::Arc};

use smr_state::{Event, KeyRange, Revision, history};

use crate::{
    Error,
    applied::Applied,
    hub::{Hub, Queue, Taken},
};

/// Bytes of history read in one go.
const REPLAY_BYTES: usize = 256 * 1024;

/// What one revision changed in the watched range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// The revision.
    pub revision: Revision,
    /// Its events that fall into the watched range, in order; never empty. Shared between watches.
    pub events: Arc<[Event]>,
}

/// A stream of changes of a range of keys. Dropping it ends it.
pub struct Watch {
    range: KeyRange,
    /// First revision not handed out yet.
    next: Revision,
    applied: Arc<Applied>,
    hub: Arc<Hub>,
    mode: Mode,
}

enum Mode {
    /// Reading history.
    Replay(VecDeque<WatchBatch>),
    /// Registered with the hub.
    Live(u64, Arc<Queue>),
    Ended,
}

impl Watch {
    pub(crate) fn new(
        applied: Arc<Applied>,
        hub: Arc<Hub>,
        range: KeyRange,
        from: Option<Revision>,
    ) -> Result<Self, Error> {
        let mode = Mode::Replay(VecDeque::new());
        let mut watch = Self { range, next: from.unwrap_or(0), applied, hub, mode };
        if from.is_none() {
            watch.next = watch.hub.next_revision();
        } else {
            // Compacted history is an error at once, not at the first read.
            let compacted = watch.applied.head().meta.compacted;
            if watch.next <= compacted && compacted > 0 {
                return Err(Error::Compacted { requested: watch.next, compacted });
            }
            watch.next = watch.next.max(1);
        }
        watch.go_live();
        Ok(watch)
    }

    /// First revision this watch has not handed out yet: where to resume after a break.
    pub fn next_revision(&self) -> Revision {
        match &self.mode {
            // What was read from history is not handed out yet.
            Mode::Replay(ready) => ready.front().map_or(self.next, |batch| batch.revision),
            Mode::Live(..) | Mode::Ended => self.next,
        }
    }

    /// The next changes. `None` once the store is shut down; after an error the watch is over.
    ///
    /// Cancel-safe: a dropped call loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchBatch, Error>> {
        loop {
            match &mut self.mode {
                Mode::Ended => return None,
                Mode::Replay(ready) => {
                    if let Some(batch) = ready.pop_front() {
                        return Some(Ok(batch));
                    }
                    if self.go_live() {
                        continue;
                    }
                    if let Err(error) = self.replay() {
                        self.mode = Mode::Ended;
                        return if matches!(error, Error::Stopped) {
                            None
                        } else {
                            Some(Err(error))
                        };
                    }
                }
                Mode::Live(id, queue) => match queue.take() {
                    Taken::Batch(batch) if batch.revision < self.next => {}
                    Taken::Batch(batch) => {
                        self.next = batch.revision + 1;
                        return Some(Ok(batch));
                    }
                    Taken::Empty => queue.arrived.notified().await,
                    Taken::Lagged { from } => {
                        self.hub.unregister(*id);
                        // Nothing before it was for this watch: history older than that may be gone.
                        self.next = self.next.max(from);
                        self.mode = Mode::Replay(VecDeque::new());
                    }
                    Taken::Closed => {
                        self.hub.unregister(*id);
                        self.mode = Mode::Ended;
                    }
                },
            }
        }
    }

    /// Registers with the hub if nothing is left to replay.
    fn go_live(&mut self) -> bool {
        match self.hub.register(&self.range, self.next) {
            Some((id, queue)) => {
                self.mode = Mode::Live(id, queue);
                true
            }
            None => false,
        }
    }

    fn replay(&mut self) -> Result<(), Error> {
        let (range, next) = (&self.range, self.next);
        let past = self.applied.read(|view| history(view, range, next, REPLAY_BYTES))?;
        let batches = past
            .commits
            .into_iter()
            .map(|commit| WatchBatch { revision: commit.revision, events: commit.events.into() });
        self.mode = Mode::Replay(batches.collect());
        self.next = past.next;
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Mode::Live(id, _) = &self.mode {
            self.hub.unregister(*id);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("range", &self.range)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
