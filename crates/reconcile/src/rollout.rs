//! How a changed definition reaches the replicas: a few at a time, each watched, back on failure.
//!
//! [`rollout`] is asked again after every change of the world, and at [`RolloutStep::wake_at`]. All that it
//! remembers is in the [`Rollout`] record; whatever is in the way costs time, never a replica too many.

mod judge;
mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use smr_model::{ReplicaState, Rollout, RolloutState, spec::FailureAction, spec::UpdatePolicy};

use judge::{Verdict, judge};

/// How long a changed replica is watched after it became ready, if the definition does not say.
const MONITOR: Duration = Duration::from_secs(5);

/// A `containers` object whose replicas may have to change.
#[derive(Debug, Clone)]
pub struct RolloutInput<'a> {
    /// Uid of the object.
    pub uid: &'a str,
    /// Generation of its current definition.
    pub generation: u64,
    /// How its changes reach the replicas.
    pub policy: &'a UpdatePolicy,
    /// How long after its change a replica may take to become ready.
    pub ready_within: Duration,
    /// Former generations that differ from the current one in the number of replicas at most.
    pub same: &'a BTreeSet<u64>,
    /// Generations whose definition is still known.
    pub known: &'a BTreeSet<u64>,
    /// The record, if there is one.
    pub record: Option<&'a Rollout>,
    /// Wanted replicas that have an assignment, by index.
    pub replicas: &'a BTreeMap<u32, RolloutReplica>,
}

impl RolloutInput<'_> {
    /// The status of a replica, if it is about this generation, or one that is the same but for the
    /// count. While a node has not taken in yet what it was told, there is none.
    fn status<'r>(&self, replica: &'r RolloutReplica, generation: u64) -> Option<&'r RolloutSeen> {
        replica.status.as_ref().filter(|seen| {
            seen.generation == generation
                || (generation == self.generation && self.same.contains(&seen.generation))
        })
    }
}

/// What is known of a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutReplica {
    /// Generation it is assigned.
    pub generation: u64,
    /// When that, or its node, was decided.
    pub assigned: Timestamp,
    /// Whether it has a node, and the node is not down.
    pub reachable: bool,
    /// Its status on that node.
    pub status: Option<RolloutSeen>,
}

/// What a rollout looks at in a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutSeen {
    /// Generation the status is about.
    pub generation: u64,
    /// Lifecycle state.
    pub state: ReplicaState,
    /// Since when, by the clock that `now` is from.
    pub since: Timestamp,
    /// Whether it is ready.
    pub ready: bool,
}

/// What to do about a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutStep {
    /// The record to store, if it changed.
    pub record: Option<Rollout>,
    /// Replicas that get another generation now.
    pub assign: BTreeMap<u32, u64>,
    /// When time alone may change the answer.
    pub wake_at: Option<Timestamp>,
}

/// The next step of a rollout. Without anything to change, and without a record that is not over, the
/// answer is empty.
///
/// Replicas that are not ready anyway are changed first. A ready one is changed only while fewer
/// than `parallelism` changed ones are not ready; or, where the definition names a monitor time, are ready
/// for less than that. The rollout ends when the last one was watched for that time, named or not.
#[must_use]
pub fn rollout(now: Timestamp, it: &RolloutInput<'_>) -> RolloutStep {
    let mut step = RolloutStep::default();
    let Some(record) = record::current(now, it) else {
        for (index, replica) in it.replicas {
            if replica.generation != it.generation && it.same.contains(&replica.generation) {
                step.assign.insert(*index, it.generation);
            }
        }
        return step;
    };
    let mut course = Course { now, it, record, step };
    course.lift();
    if !matches!(
        course.record.state,
        RolloutState::Paused | RolloutState::Completed | RolloutState::RolledBack
    ) {
        course.watch();
    }
    if !matches!(
        course.record.state,
        RolloutState::Paused | RolloutState::Completed | RolloutState::RolledBack
    ) {
        course.advance();
    }
    if it.record != Some(&course.record) {
        course.step.record = Some(course.record);
    }
    course.step
}

/// The generation a replica gets that has no assignment yet: the current one, unless the current one
/// is on trial or was given up.
#[must_use]
pub fn generation_of_new(
    uid: &str,
    generation: u64,
    policy: &UpdatePolicy,
    known: &BTreeSet<u64>,
    record: Option<&Rollout>,
) -> u64 {
    let Some(record) = record.filter(|record| record.uid == uid && record.to == generation) else {
        return generation;
    };
    let on_trial = match record.state {
        RolloutState::Completed => false,
        RolloutState::Updating => canary(policy).is_some() && !record.promoted,
        RolloutState::Canary
        | RolloutState::Paused
        | RolloutState::RollingBack
        | RolloutState::RolledBack => true,
    };
    if on_trial && known.contains(&record.from) { record.from } else { generation }
}

fn canary(policy: &UpdatePolicy) -> Option<usize> {
    policy.canary.filter(|count| *count > 0).map(|count| count as usize)
}

/// A moment after another one, or the end of time.
fn after(moment: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| moment.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A rollout on its way through one evaluation.
struct Course<'a> {
    now: Timestamp,
    it: &'a RolloutInput<'a>,
    record: Rollout,
    step: RolloutStep,
}

impl Course<'_> {
    /// The generation replicas are brought to.
    fn target(&self) -> u64 {
        match self.record.state {
            RolloutState::RollingBack | RolloutState::RolledBack => self.record.from,
            _ => self.record.to,
        }
    }

    /// The generation a replica has after what is decided so far.
    fn generation(&self, index: u32) -> u64 {
        self.step.assign.get(&index).copied().unwrap_or(self.it.replicas[&index].generation)
    }

    /// Gives replicas whose definition is the same but for the count the current generation.
    fn lift(&mut self) {
        if matches!(self.record.state, RolloutState::RollingBack | RolloutState::RolledBack) {
            return;
        }
        for (index, replica) in self.it.replicas {
            if replica.generation != self.record.to && self.it.same.contains(&replica.generation) {
                self.step.assign.insert(*index, self.record.to);
            }
        }
    }

    /// Changed replicas that are where they should be, with what became of them.
    fn changed(&self) -> Vec<(u32, Timestamp, Verdict)> {
        let target = self.target();
        let changed = self.record.changed.iter();
        let there = changed.filter(|(index, _)| {
            self.it.replicas.contains_key(index) && self.generation(**index) == target
        });
        let judged = there.map(|(index, at)| {
            let replica = &self.it.replicas[index];
            (*index, *at, judge(self.now, self.it, replica, *at, self.record.since))
        });
        judged.collect()
    }

    /// Looks what became of changed replicas; too many failures end the rollout, for now or for good.
    fn watch(&mut self) {
        if self.record.state == RolloutState::RollingBack {
            return;
        }
        let mut said = None;
        for (index, _, verdict) in self.changed() {
            if let Verdict::Failed(why) = verdict
                && !self.record.failed.contains(&index)
            {
                self.record.failed.push(index);
                said = Some(format!("replica {index} {why}"));
            }
        }
        self.record.failed.sort_unstable();
        if !self.is_over_limit() {
            return;
        }
        let action = self.it.policy.on_failure.unwrap_or(FailureAction::Pause);
        let said = said.unwrap_or_else(|| {
            format!("{} of {} replicas failed", self.record.failed.len(), self.it.replicas.len())
        });
        let from = self.record.from;
        let can_go_back = self.it.known.contains(&from) && !self.it.same.contains(&from);
        match action {
            FailureAction::Continue => {}
            FailureAction::Rollback if can_go_back => {
                self.record.changed.clear();
                self.enter(RolloutState::RollingBack, said);
            }
            FailureAction::Rollback => {
                let why = format!("{said}; generation {from} to go back to is not kept any more");
                self.enter(RolloutState::Paused, why);
            }
            FailureAction::Pause => self.enter(RolloutState::Paused, said),
        }
    }

    fn is_over_limit(&self) -> bool {
        record::is_over_limit(&self.record, self.it)
    }

    /// Changes the next replicas, or ends.
    fn advance(&mut self) {
        let target = self.target();
        let changed = self.changed();
        let (mut waiting, mut watched) = (0, 0);
        let mut settled = None;
        for (index, at, verdict) in &changed {
            match verdict {
                Verdict::Good(since) => settled = settled.max(Some(*since)),
                Verdict::Watched(since, until) => {
                    watched += 1;
                    settled = settled.max(Some(*since));
                    self.wake(Some(*until));
                }
                Verdict::Waiting(until)
                    if !self.record.failed.contains(index)
                        || self.record.state == RolloutState::RollingBack =>
                {
                    waiting += 1;
                    self.wake(*until);
                }
                Verdict::Waiting(_) | Verdict::Failed(_) => settled = settled.max(Some(*at)),
                Verdict::Away => {}
            }
        }
        let open = self.it.replicas.keys().copied();
        let open: Vec<u32> = open.filter(|index| self.generation(*index) != target).collect();
        if open.is_empty() {
            if waiting + watched == 0 {
                self.finish();
            }
            return;
        }
        let mut room = usize::MAX;
        if let Some(canary) = canary(self.it.policy)
            && !self.record.promoted
            && self.record.state != RolloutState::RollingBack
        {
            room = canary.saturating_sub(changed.len());
            if room == 0 {
                if waiting + watched == 0 && self.record.state == RolloutState::Updating {
                    let message = format!("{} replicas changed, `promote` goes on", changed.len());
                    self.enter(RolloutState::Canary, message);
                }
                return;
            }
        }
        let serves = |index: &u32| {
            let replica = &self.it.replicas[index];
            let status = self.it.status(replica, replica.generation);
            replica.reachable && status.is_some_and(|status| status.ready)
        };
        let (ready, idle): (Vec<u32>, Vec<u32>) = open.into_iter().partition(serves);
        for index in idle.into_iter().take(room) {
            room -= 1;
            waiting += usize::from(self.it.replicas[&index].reachable);
            self.change(index, target);
        }
        let slots = match self.it.policy.parallelism.unwrap_or(1) {
            0 => usize::MAX,
            count => (count as usize).saturating_sub(waiting),
        };
        let pause = self.it.policy.delay.map_or(Duration::ZERO, |delay| delay.0);
        if let Some(settled) = settled
            && slots.min(room) > 0
            && !ready.is_empty()
            && self.now < after(settled, pause)
        {
            self.wake(Some(after(settled, pause)));
            return;
        }
        for index in ready.into_iter().take(slots.min(room)) {
            self.change(index, target);
        }
    }

    fn change(&mut self, index: u32, target: u64) {
        self.step.assign.insert(index, target);
        self.record.changed.insert(index, self.now);
        self.wake(Some(after(self.now, self.it.ready_within)));
    }

    fn finish(&mut self) {
        let failed = self.record.failed.len();
        if self.record.state == RolloutState::RollingBack {
            let message = std::mem::take(&mut self.record.message);
            self.enter(RolloutState::RolledBack, message);
        } else if failed > 0 {
            let all = self.it.replicas.len();
            self.enter(RolloutState::Completed, format!("{failed} of {all} replicas failed"));
        } else {
            self.enter(RolloutState::Completed, String::new());
        }
    }

    fn enter(&mut self, state: RolloutState, message: String) {
        self.record.state = state;
        self.record.message = message;
        self.record.since = self.now;
    }

    fn wake(&mut self, at: Option<Timestamp>) {
        let known = self.step.wake_at;
        self.step.wake_at = known.into_iter().chain(at).min();
    }
}
