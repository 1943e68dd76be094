//! Which record an evaluation starts from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{Rollout, RolloutState};

use super::RolloutInput;

/// The record that is about the current generation; `None` when there is nothing to roll out.
pub(super) fn current(now: Timestamp, it: &RolloutInput<'_>) -> Option<Rollout> {
    let stored = it.record.filter(|record| record.uid == it.uid);
    let behind = |generation: u64| generation != it.generation && !it.same.contains(&generation);
    let oldest_known = it.replicas.values().map(|it| it.generation).filter(|it| behind(*it)).max();
    let mut record = match stored {
        Some(stored) if stored.to == it.generation => stored.clone(),
        // Scaled meanwhile: the same change under another number.
        Some(stored) if it.same.contains(&stored.to) => {
            Rollout { to: it.generation, ..stored.clone() }
        }
        Some(stored) if !stored.state.is_over() => newer(now, it, stored),
        _ => begin(now, it, oldest_known?),
    };
    if record.state == RolloutState::Completed
        && let Some(from) = oldest_known
    {
        record = begin(now, it, from);
    }
    record.changed.retain(|index, _| it.replicas.contains_key(index));
    record.failed.retain(|index| it.replicas.contains_key(index));
    if record.state == RolloutState::Canary && record.promoted {
        record.state = RolloutState::Updating;
        record.message = String::new();
        record.since = now;
    }
    Some(record)
}

/// A rollout from its beginning.
fn begin(now: Timestamp, it: &RolloutInput<'_>, from: u64) -> Rollout {
    Rollout {
        uid: it.uid.to_owned(),
        from,
        to: it.generation,
        state: RolloutState::Updating,
        message: String::new(),
        promoted: false,
        changed: BTreeMap::new(),
        failed: Vec::new(),
        started: now,
        since: now,
    }
}

/// A rollout to a still newer definition, from where the replicas are. What it would go back to is
/// the last definition that all had. A person who paused has to resume; failures are forgiven.
fn newer(now: Timestamp, it: &RolloutInput<'_>, stored: &Rollout) -> Rollout {
    let mut record = begin(now, it, stored.from);
    if stored.state == RolloutState::Paused && !is_over_limit(stored, it) {
        record.state = RolloutState::Paused;
        record.message.clone_from(&stored.message);
        record.since = stored.since;
    }
    record
}

/// Whether more replicas failed than may.
pub(super) fn is_over_limit(record: &Rollout, it: &RolloutInput<'_>) -> bool {
    let limit = it.policy.max_failure_ratio.unwrap_or(0.0) * it.replicas.len() as f64;
    record.failed.len() as f64 > limit
}
