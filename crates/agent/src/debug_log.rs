//! The reconciler's own log about each replica: the last lines of each, and a feed of new ones.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use smr_model::ReplicaKey;
use tokio::sync::broadcast;

/// Lines kept for each replica.
const LINES: usize = 200;
/// Replicas whose lines are kept; those without news for longest are forgotten first.
const REPLICAS: usize = 4096;

/// Lines by replica. Clones share them.
#[derive(Clone)]
pub struct DebugLog {
    inner: Arc<Mutex<BTreeMap<ReplicaKey, VecDeque<String>>>>,
    feed: broadcast::Sender<(ReplicaKey, String)>,
}

impl Default for DebugLog {
    fn default() -> Self {
        Self { inner: Arc::default(), feed: broadcast::channel(1024).0 }
    }
}

impl DebugLog {
    /// Adds a line; the time is put before it.
    pub(crate) fn add(&self, key: &ReplicaKey, time: Timestamp, text: &str) {
        // What people name things and what engines say ends up in terminals.
        let text = text.replace(|c: char| c.is_control(), " ");
        let line = format!("{time:.3} {text}");
        let mut lines = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= REPLICAS && !lines.contains_key(key) {
            let oldest =
                lines.iter().min_by(|a, b| a.1.back().cmp(&b.1.back())).map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                lines.remove(&oldest);
            }
        }
        let of_replica = lines.entry(key.clone()).or_default();
        if of_replica.len() == LINES {
            of_replica.pop_front();
        }
        of_replica.push_back(line.clone());
        // Nobody listening is fine. Sent under the lock, so that `read` misses and doubles nothing.
        let _ = self.feed.send((key.clone(), line));
    }

    /// The lines of a replica, oldest first, and a feed of the lines of all replicas from now on.
    pub fn read(
        &self,
        key: &ReplicaKey,
    ) -> (Vec<String>, broadcast::Receiver<(ReplicaKey, String)>) {
        let lines = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let past = lines.get(key).map(|l| l.iter().cloned().collect()).unwrap_or_default();
        (past, self.feed.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_feeds_new_ones() {
        let log = DebugLog::default();
        let key = ReplicaKey::new("a", "b", 1);
        for i in 0..LINES + 5 {
            log.add(&key, Timestamp::UNIX_EPOCH, &format!("line {i}"));
        }
        let (past, mut feed) = log.read(&key);
        assert_eq!(past.len(), LINES);
        assert!(past[0].ends_with("line 5"));
        log.add(&key, Timestamp::UNIX_EPOCH, "more");
        assert!(feed.try_recv().unwrap().1.ends_with("more"));
        log.add(&key, Timestamp::UNIX_EPOCH, "\u{1b}[31mred\nof two");
        assert!(feed.try_recv().unwrap().1.ends_with("Z  [31mred of two"));
    }
}
