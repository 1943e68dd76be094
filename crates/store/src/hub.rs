//! Hands commits to the watches that asked for them.
//!
//! Watches are indexed by what they watch, so that a commit costs as much as there are matching
//! watches, not as there are watches. Nothing here waits: a watch whose queue is full loses the queue
//! and reads what it missed from history.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smr_state::{Commit, Event, KeyRange, Revision};
use tokio::sync::Notify;

use crate::watch::WatchBatch;

/// Batches a watch may lag behind before it goes back to history.
const QUEUE_BATCHES: usize = 256;

/// Where a watch receives.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    pub(crate) arrived: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    batches: VecDeque<WatchBatch>,
    /// Revision of the first batch that was dropped.
    lagged: Option<Revision>,
    closed: bool,
}

impl QueueState {
    fn drop_all(&mut self, next: Revision) {
        let first = self.batches.front().map_or(next, |batch| batch.revision);
        self.lagged.get_or_insert(first);
        self.batches.clear();
    }
}

/// What a watch finds in its queue.
#[derive(Debug)]
pub(crate) enum Taken {
    Batch(WatchBatch),
    Empty,
    /// Batches were dropped, none before this revision: go back to history.
    Lagged {
        from: Revision,
    },
    Closed,
}

impl Queue {
    pub(crate) fn take(&self) -> Taken {
        let mut state = lock(&self.state);
        if state.closed {
            Taken::Closed
        } else if let Some(from) = state.lagged {
            Taken::Lagged { from }
        } else {
            state.batches.pop_front().map_or(Taken::Empty, Taken::Batch)
        }
    }

    fn push(&self, batch: WatchBatch) {
        let mut state = lock(&self.state);
        if state.lagged.is_some() {
            return;
        }
        if state.batches.len() == QUEUE_BATCHES {
            state.drop_all(batch.revision);
        } else {
            state.batches.push_back(batch);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Drops everything; `next` is the first revision that was not handed to the queue.
    fn lag(&self, next: Revision) {
        let mut state = lock(&self.state);
        state.drop_all(next);
        drop(state);
        self.arrived.notify_one();
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.arrived.notify_one();
    }
}

/// All open watches.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    /// Newest revision handed out.
    revision: Revision,
    next_id: u64,
    closed: bool,
    watches: HashMap<u64, (KeyRange, Arc<Queue>)>,
    by_key: HashMap<String, Vec<u64>>,
    /// Length of prefix, then prefix.
    by_prefix: BTreeMap<usize, HashMap<String, Vec<u64>>>,
    /// Watches that no index fits.
    by_range: Vec<u64>,
}

impl Hub {
    pub(crate) fn new(revision: Revision) -> Self {
        Self(Mutex::new(Registry { revision, ..Registry::default() }))
    }

    /// Registers a watch that has seen everything before `next`. Answers `None` when commits from
    /// `next` on were handed out already: the watch reads them from history and asks again.
    pub(crate) fn register(&self, range: &KeyRange, next: Revision) -> Option<(u64, Arc<Queue>)> {
        let mut registry = lock(&self.0);
        if next <= registry.revision && !registry.closed {
            return None;
        }
        let id = registry.next_id;
        registry.next_id += 1;
        let queue = Arc::new(Queue { state: Mutex::default(), arrived: Notify::new() });
        if registry.closed {
            queue.close();
        }
        registry.watches.insert(id, (range.clone(), Arc::clone(&queue)));
        if let Some(ids) = registry.place(range) {
            ids.push(id);
        }
        Some((id, queue))
    }

    /// First revision a watch for new commits starts at.
    pub(crate) fn next_revision(&self) -> Revision {
        lock(&self.0).revision + 1
    }

    pub(crate) fn unregister(&self, id: u64) {
        let mut registry = lock(&self.0);
        let Some((range, _)) = registry.watches.remove(&id) else { return };
        if let Some(ids) = registry.place(&range) {
            ids.retain(|other| *other != id);
        }
        registry.tidy(&range);
    }

    /// Hands commits out; `revision` is the newest one.
    pub(crate) fn publish(&self, commits: Vec<Commit>, revision: Revision) {
        let mut registry = lock(&self.0);
        registry.revision = revision;
        for commit in commits {
            registry.dispatch(commit);
        }
    }

    /// The state was replaced as a whole: every watch goes back to history.
    pub(crate) fn reset(&self, revision: Revision) {
        let mut registry = lock(&self.0);
        let next = registry.revision + 1;
        registry.revision = revision;
        for (_, queue) in registry.watches.values() {
            queue.lag(next);
        }
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        let mut registry = lock(&self.0);
        registry.closed = true;
        for (_, queue) in registry.watches.values() {
            queue.close();
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).watches.len()
    }
}

impl Registry {
    /// The list a watch of `range` belongs to.
    fn place(&mut self, range: &KeyRange) -> Option<&mut Vec<u64>> {
        Some(match range {
            KeyRange::Key(key) => self.by_key.entry(key.clone()).or_default(),
            KeyRange::Prefix(prefix) => {
                let same_length = self.by_prefix.entry(prefix.len()).or_default();
                same_length.entry(prefix.clone()).or_default()
            }
            _ => &mut self.by_range,
        })
    }

    /// Forgets lists that became empty.
    fn tidy(&mut self, range: &KeyRange) {
        match range {
            KeyRange::Key(key) if self.by_key.get(key).is_some_and(Vec::is_empty) => {
                self.by_key.remove(key);
            }
            KeyRange::Prefix(prefix) => {
                if let Some(same_length) = self.by_prefix.get_mut(&prefix.len()) {
                    if same_length.get(prefix).is_some_and(Vec::is_empty) {
                        same_length.remove(prefix);
                    }
                    if same_length.is_empty() {
                        self.by_prefix.remove(&prefix.len());
                    }
                }
            }
            _ => {}
        }
    }

    fn dispatch(&self, commit: Commit) {
        let revision = commit.revision;
        let mut interested: BTreeMap<u64, usize> = BTreeMap::new();
        for event in &commit.events {
            self.matching(&event.kv.key, |id| *interested.entry(id).or_default() += 1);
        }
        let all: Arc<[Event]> = commit.events.into();
        for (id, matching) in interested {
            let Some((range, queue)) = self.watches.get(&id) else { continue };
            let events = if matching == all.len() {
                Arc::clone(&all)
            } else {
                all.iter().filter(|event| range.contains(&event.kv.key)).cloned().collect()
            };
            queue.push(WatchBatch { revision, events });
        }
    }

    fn matching(&self, key: &str, mut found: impl FnMut(u64)) {
        if let Some(ids) = self.by_key.get(key) {
            ids.iter().copied().for_each(&mut found);
        }
        for (&length, prefixes) in self.by_prefix.range(..=key.len()) {
            if let Some(ids) = key.get(..length).and_then(|prefix| prefixes.get(prefix)) {
                ids.iter().copied().for_each(&mut found);
            }
        }
        for &id in &self.by_range {
            if self.watches.get(&id).is_some_and(|(range, _)| range.contains(key)) {
                found(id);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
