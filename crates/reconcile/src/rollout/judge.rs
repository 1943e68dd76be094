//! What became of a changed replica.

use jiff::Timestamp;
use smr_model::ReplicaState;

use super::{MONITOR, RolloutInput, RolloutReplica, after};

/// What became of a changed replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was ready for the monitor time, since then.
    Good(Timestamp),
    /// It is ready since the first time and is watched until the second; others need not wait for that.
    Watched(Timestamp, Timestamp),
    /// It is on its way; time alone may change that then.
    Waiting(Option<Timestamp>),
    /// It died or did not become ready in time.
    Failed(String),
    /// It has no node that answers.
    Away,
}

/// Judges a replica that was changed at `changed`. What happened before `since`, when the rollout took
/// its state or was resumed, was judged before.
pub(super) fn judge(
    now: Timestamp,
    it: &RolloutInput<'_>,
    replica: &RolloutReplica,
    changed: Timestamp,
    since: Timestamp,
) -> Verdict {
    let begin = changed.max(since);
    if !replica.reachable {
        return Verdict::Away;
    }
    let monitor = it.policy.monitor.map_or(MONITOR, |monitor| monitor.0);
    // What happens to a replica later, or after a move, is not the work of the rollout.
    let end = after(begin, it.ready_within.saturating_add(monitor));
    let was_judged = replica.assigned > end;
    let deadline = after(begin.max(replica.assigned), it.ready_within);
    let late = || {
        if was_judged {
            return Verdict::Waiting(None);
        }
        let seconds = it.ready_within.as_secs();
        Verdict::Failed(format!("was not ready within {seconds} s"))
    };
    let Some(status) = it.status(replica, replica.generation) else {
        return if now < deadline { Verdict::Waiting(Some(deadline)) } else { late() };
    };
    if status.state == ReplicaState::Completed {
        return Verdict::Good(status.since.max(changed));
    }
    if status.ready {
        let ready = status.since.max(changed);
        let good = after(ready, monitor);
        return match it.policy.monitor {
            _ if now >= good => Verdict::Good(good),
            // Whoever asks for a time wants it to be waited for.
            Some(_) => Verdict::Waiting(Some(good)),
            None => Verdict::Watched(ready, good),
        };
    }
    if is_failure(status.state) && status.since >= begin && status.since <= end {
        return Verdict::Failed(format!("is in state `{}`", status.state));
    }
    if now < deadline {
        Verdict::Waiting(Some(deadline))
    } else if status.since <= deadline || status.state.is_trouble() {
        // One that is tried again and again changes its state all the time, also after the deadline.
        late()
    } else {
        Verdict::Waiting(None)
    }
}

/// Whether a state after a change says that the definition is no good. Trouble of the engine or of other
/// replicas counts only once the time to become ready is over.
fn is_failure(state: ReplicaState) -> bool {
    matches!(
        state,
        ReplicaState::Dead
            | ReplicaState::Backoff
            | ReplicaState::ReadinessFailed
            | ReplicaState::InitFailed
            | ReplicaState::Failed
    )
}
