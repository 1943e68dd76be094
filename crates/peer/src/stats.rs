//! How it goes with each peer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::PeerError;

/// How it goes with a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Id of the peer.
    pub id: u64,
    /// Where it is called.
    pub address: String,
    /// Whether the connection for consensus is there.
    pub connected: bool,
    /// Time since it was heard of last, in either direction; `None` for never.
    pub silent_for: Option<Duration>,
    /// Time a short message and its answer take, averaged with more weight on the newest.
    pub round_trip: Option<Duration>,
    /// Bytes sent to it, inside TLS.
    pub sent_bytes: u64,
    /// Bytes it answered, inside TLS.
    pub received_bytes: u64,
    /// Messages it answered, refusals included.
    pub answered: u64,
    /// Messages without an answer.
    pub failed: u64,
    /// What went wrong last, empty after an answer.
    pub last_error: String,
}

/// The counting.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    answered: AtomicU64,
    failed: AtomicU64,
    /// Nanoseconds; 0 for none yet.
    round_trip: AtomicU64,
    heard: Mutex<Option<Instant>>,
    trouble: Mutex<Option<PeerError>>,
}

impl Counters {
    pub(crate) fn heard(&self) {
        *lock(&self.heard) = Some(Instant::now());
    }

    pub(crate) fn answered(&self, round_trip: Option<Duration>) {
        self.heard();
        self.answered.fetch_add(1, Relaxed);
        *lock(&self.trouble) = None;
        self.averaged(round_trip);
    }

    pub(crate) fn failed(&self, error: &PeerError) {
        self.failed.fetch_add(1, Relaxed);
        *lock(&self.trouble) = Some(error.clone());
    }

    fn averaged(&self, sample: Option<Duration>) {
        let Some(sample) = sample else { return };
        let sample = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Two at the same time may lose one sample, which an average bears.
        let average = match self.round_trip.load(Relaxed) {
            0 => sample,
            old => old - old / 8 + sample / 8,
        };
        self.round_trip.store(average, Relaxed);
    }

    pub(crate) fn fill(&self, stats: &mut PeerStats) {
        stats.silent_for = lock(&self.heard).map(|at| at.elapsed());
        stats.answered = self.answered.load(Relaxed);
        stats.failed = self.failed.load(Relaxed);
        stats.round_trip = match self.round_trip.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        };
        stats.last_error = lock(&self.trouble).as_ref().map(PeerError::report).unwrap_or_default();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_and_an_answer_ends_the_trouble() {
        let counters = Counters::default();
        counters.failed(&PeerError::NoAddress { target: 2 });
        let mut stats = PeerStats::default();
        counters.fill(&mut stats);
        assert_eq!((stats.failed, stats.silent_for), (1, None));
        assert_eq!(stats.last_error, "the address of node `2` is not known");
        counters.answered(Some(Duration::from_micros(80)));
        counters.answered(Some(Duration::from_micros(160)));
        counters.answered(None);
        counters.fill(&mut stats);
        assert_eq!(stats.round_trip, Some(Duration::from_micros(90)));
        assert_eq!((stats.answered, stats.last_error.as_str()), (3, ""));
    }
}
