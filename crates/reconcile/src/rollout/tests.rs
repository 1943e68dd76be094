//! Rollouts, told evaluation by evaluation.

use proptest::prelude::*;
use smr_model::GoDuration;

use super::*;

mod random;

const NONE: [u32; 0] = [];

/// An object with its replicas, an obedient world around it, and a clock.
pub(super) struct Story {
    pub(super) now: Timestamp,
    pub(super) generation: u64,
    pub(super) policy: UpdatePolicy,
    pub(super) same: BTreeSet<u64>,
    pub(super) known: BTreeSet<u64>,
    pub(super) record: Option<Rollout>,
    pub(super) replicas: BTreeMap<u32, RolloutReplica>,
    /// Generations whose replicas die.
    pub(super) bad: BTreeSet<u64>,
}

impl Story {
    /// So many replicas of generation 1, ready for long, and a definition of generation 2.
    pub(super) fn new(count: u32) -> Self {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let long_ago = after_seconds(now, -1000);
        let replica = RolloutReplica {
            generation: 1,
            assigned: long_ago,
            reachable: true,
            status: Some(RolloutSeen {
                generation: 1,
                state: ReplicaState::Running,
                since: long_ago,
                ready: true,
            }),
        };
        Self {
            now,
            generation: 2,
            policy: UpdatePolicy::default(),
            same: BTreeSet::new(),
            known: (1..=2).collect(),
            record: None,
            replicas: (1..=count).map(|index| (index, replica.clone())).collect(),
            bad: BTreeSet::new(),
        }
    }

    pub(super) fn apply(&mut self) {
        self.generation += 1;
        self.known.insert(self.generation);
    }

    /// One evaluation, carried out. Returns which replicas changed.
    pub(super) fn step(&mut self) -> Vec<u32> {
        let it = RolloutInput {
            uid: "uid",
            generation: self.generation,
            policy: &self.policy,
            ready_within: Duration::from_secs(60),
            same: &self.same,
            known: &self.known,
            record: self.record.as_ref(),
            replicas: &self.replicas,
        };
        let step = rollout(self.now, &it);
        if let Some(record) = &step.record {
            assert_ne!(Some(record), self.record.as_ref());
            self.record = step.record;
        }
        for (index, generation) in &step.assign {
            let replica = self.replicas.get_mut(index).unwrap();
            assert_ne!(replica.generation, *generation);
            replica.generation = *generation;
            replica.assigned = self.now;
        }
        step.assign.keys().copied().collect()
    }

    /// Nodes do what they are told.
    pub(super) fn obey(&mut self) {
        for index in self.replicas.keys().copied().collect::<Vec<_>>() {
            let (generation, status) =
                (self.replicas[&index].generation, self.replicas[&index].status.as_ref());
            if status.is_none_or(|status| status.generation != generation) {
                let bad = self.bad.contains(&generation);
                let state = if bad { ReplicaState::Dead } else { ReplicaState::Running };
                self.set(index, generation, state);
            }
        }
    }

    pub(super) fn set(&mut self, index: u32, generation: u64, state: ReplicaState) {
        let ready = state == ReplicaState::Running;
        let status = RolloutSeen { generation, state, since: self.now, ready };
        self.replicas.get_mut(&index).unwrap().status = Some(status);
    }

    /// A person resumes the rollout.
    pub(super) fn resume(&mut self) {
        let now = self.now;
        let paused = |record: &&mut Rollout| record.state == RolloutState::Paused;
        if let Some(record) = self.record.as_mut().filter(paused) {
            record.state = RolloutState::Updating;
            record.failed.clear();
            record.since = now;
        }
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now = after_seconds(self.now, seconds);
    }

    /// Steps, obedience and time, until nothing changes any more. Returns the order of changes.
    fn run(&mut self) -> Vec<Vec<u32>> {
        let mut order = Vec::new();
        for _ in 0..500 {
            let changed = self.step();
            let over = self.state().is_some_and(|state| {
                state.is_over() || matches!(state, RolloutState::Paused | RolloutState::Canary)
            });
            if !changed.is_empty() {
                order.push(changed);
            } else if over || self.record.is_none() {
                assert_eq!(self.step(), NONE, "settled");
                return order;
            }
            self.obey();
            self.pass(1);
        }
        panic!("no end: {:?}", self.record);
    }

    pub(super) fn state(&self) -> Option<RolloutState> {
        self.record.as_ref().map(|record| record.state)
    }

    fn generations(&self) -> Vec<u64> {
        self.replicas.values().map(|replica| replica.generation).collect()
    }
}

fn after_seconds(moment: Timestamp, seconds: i64) -> Timestamp {
    moment + SignedDuration::from_secs(seconds)
}

#[test]
fn replicas_change_one_after_the_other() {
    let mut it = Story::new(3);
    assert_eq!(it.run(), [[1], [2], [3]]);
    assert_eq!(it.generations(), [2, 2, 2]);
    let record = it.record.unwrap();
    assert_eq!((record.from, record.to, record.state), (1, 2, RolloutState::Completed));
    assert_eq!(record.changed.len(), 3);
}

#[test]
fn without_a_change_there_is_no_rollout() {
    let mut it = Story::new(3);
    it.generation = 1;
    assert_eq!(it.run(), Vec::<Vec<u32>>::new());
    assert_eq!(it.record, None);
}

#[test]
fn without_a_monitor_time_the_next_follows_a_ready_one_and_the_end_is_still_watched() {
    let mut it = Story::new(2);
    assert_eq!(it.step(), [1]);
    it.pass(30);
    assert_eq!(it.step(), NONE, "not ready yet");
    it.obey();
    assert_eq!(it.step(), [2]);
    it.obey();
    it.pass(4);
    assert_eq!(it.step(), NONE);
    assert_eq!(it.record.as_ref().unwrap().state, RolloutState::Updating);
    it.pass(1);
    it.step();
    assert_eq!(it.record.as_ref().unwrap().state, RolloutState::Completed);
}

#[test]
fn the_next_waits_until_the_changed_one_was_ready_for_the_monitor_time() {
    let mut it = Story::new(2);
    it.policy.monitor = Some(GoDuration::from_secs(5));
    assert_eq!(it.step(), [1]);
    it.pass(30);
    assert_eq!(it.step(), NONE, "not ready yet");
    it.obey();
    it.pass(4);
    assert_eq!(it.step(), NONE);
    it.pass(1);
    assert_eq!(it.step(), [2]);
}

#[test]
fn parallelism_and_delay() {
    let mut it = Story::new(5);
    it.policy.parallelism = Some(2);
    assert_eq!(it.run(), [vec![1, 2], vec![3, 4], vec![5]]);
    let mut it = Story::new(5);
    it.policy.parallelism = Some(0);
    assert_eq!(it.run(), [[1, 2, 3, 4, 5]]);
    let mut it = Story::new(2);
    it.policy.delay = Some(GoDuration::from_secs(60));
    it.policy.monitor = Some(GoDuration::from_secs(0));
    assert_eq!(it.step(), [1]);
    it.obey();
    it.pass(59);
    assert_eq!(it.step(), NONE);
    it.pass(1);
    assert_eq!(it.step(), [2]);
}

#[test]
fn replicas_that_are_not_ready_go_first_and_cost_nothing() {
    let mut it = Story::new(4);
    it.set(3, 1, ReplicaState::Backoff);
    it.replicas.get_mut(&4).unwrap().reachable = false;
    assert_eq!(it.step(), [3, 4]);
    it.pass(1);
    assert_eq!(it.step(), NONE, "a ready one waits for the changed one");
    it.obey();
    it.pass(5);
    assert_eq!(it.step(), [1]);
    it.obey();
    it.pass(5);
    assert_eq!(it.step(), [2]);
}

#[test]
fn a_failure_pauses_and_resume_gives_another_chance() {
    let mut it = Story::new(3);
    it.bad.insert(2);
    assert_eq!(it.run(), [[1]]);
    assert_eq!(it.state(), Some(RolloutState::Paused));
    assert_eq!(it.record.as_ref().unwrap().message, "replica 1 is in state `dead`");
    it.resume();
    assert_eq!(it.step(), NONE);
    assert_eq!(it.state(), Some(RolloutState::Updating));
    it.bad.clear();
    it.set(1, 2, ReplicaState::Running);
    assert_eq!(it.run(), [[2], [3]]);
    assert_eq!(it.state(), Some(RolloutState::Completed));
}

#[test]
fn a_replica_that_never_gets_ready_is_a_failure() {
    let mut it = Story::new(2);
    it.step();
    it.set(1, 2, ReplicaState::ReadinessCheck);
    it.pass(59);
    it.step();
    assert_eq!(it.state(), Some(RolloutState::Updating));
    it.pass(1);
    assert_eq!(it.step(), NONE);
    assert_eq!(it.state(), Some(RolloutState::Paused));
    assert_eq!(it.record.unwrap().message, "replica 1 was not ready within 60 s");
}

/// A bad image: every try changes the state, and nobody looked at the very moment of the deadline (a new
/// leader, for example).
#[test]
fn a_replica_that_is_tried_again_and_again_is_a_failure_whenever_it_is_looked_at() {
    let mut it = Story::new(2);
    it.step();
    it.pass(200);
    it.set(1, 2, ReplicaState::DaemonFailure);
    it.pass(1);
    assert_eq!(it.step(), NONE);
    assert_eq!(it.state(), Some(RolloutState::Paused));
}

#[test]
fn a_death_within_the_monitor_time_is_a_failure_and_later_only_a_wait() {
    let mut it = Story::new(3);
    it.step();
    it.obey();
    it.pass(3);
    it.set(1, 2, ReplicaState::Dead);
    assert_eq!(it.step(), NONE);
    assert_eq!(it.state(), Some(RolloutState::Paused));

    let mut it = Story::new(3);
    it.policy.delay = Some(GoDuration::from_secs(3600));
    it.step();
    it.obey();
    it.pass(100);
    it.set(1, 2, ReplicaState::Dead);
    it.pass(3600);
    assert_eq!(it.step(), NONE, "a ready one waits");
    assert_eq!(it.state(), Some(RolloutState::Updating));
}

#[test]
fn rollback_brings_all_back_and_is_final() {
    let mut it = Story::new(4);
    it.policy.on_failure = Some(FailureAction::Rollback);
    it.step();
    it.obey();
    it.pass(5);
    it.step();
    it.bad.insert(2);
    assert_eq!(it.generations(), [2, 2, 1, 1]);
    let order = it.run();
    assert_eq!(order, [[2], [1]], "the dead one first");
    assert_eq!(it.state(), Some(RolloutState::RolledBack));
    assert_eq!(it.generations(), [1, 1, 1, 1]);
    assert_eq!(it.record.as_ref().unwrap().message, "replica 2 is in state `dead`");
    it.set(1, 1, ReplicaState::Dead);
    assert_eq!(it.run(), Vec::<Vec<u32>>::new());

    it.apply();
    it.set(1, 1, ReplicaState::Running);
    it.pass(100);
    assert_eq!(it.run(), [[1], [2], [3], [4]], "a newer definition goes out");
    assert_eq!(it.generations(), [3, 3, 3, 3]);
}

#[test]
fn a_rollback_is_not_rolled_back() {
    let mut it = Story::new(3);
    it.policy.on_failure = Some(FailureAction::Rollback);
    it.bad.extend([1, 2]);
    it.run();
    assert_eq!(it.state(), Some(RolloutState::RolledBack));
    assert_eq!(it.generations(), [1, 1, 1]);
}

#[test]
fn without_the_definition_from_before_a_rollback_is_a_pause() {
    let mut it = Story::new(3);
    it.policy.on_failure = Some(FailureAction::Rollback);
    it.bad.insert(2);
    it.known.remove(&1);
    it.run();
    assert_eq!(it.state(), Some(RolloutState::Paused));
    assert!(it.record.unwrap().message.contains("generation 1 to go back to is not kept"));
}

#[test]
fn some_failures_are_allowed() {
    let mut it = Story::new(4);
    it.policy.max_failure_ratio = Some(0.25);
    it.step();
    it.set(1, 2, ReplicaState::Dead);
    assert_eq!(it.run(), [[2], [3], [4]]);
    assert_eq!(it.state(), Some(RolloutState::Completed));
    assert_eq!(it.record.unwrap().message, "1 of 4 replicas failed");

    let mut it = Story::new(3);
    it.policy.on_failure = Some(FailureAction::Continue);
    it.bad.insert(2);
    assert_eq!(it.run(), [[1], [2], [3]]);
    assert_eq!(it.state(), Some(RolloutState::Completed));
}

#[test]
fn a_canary_waits_for_promotion() {
    let mut it = Story::new(5);
    it.policy.canary = Some(2);
    assert_eq!(it.run(), [[1], [2]]);
    assert_eq!(it.state(), Some(RolloutState::Canary));
    let known = it.known.clone();
    let new = |it: &Story| generation_of_new("uid", 2, &it.policy, &known, it.record.as_ref());
    assert_eq!(new(&it), 1);
    it.record.as_mut().unwrap().promoted = true;
    assert_eq!(it.run(), [[3], [4], [5]]);
    assert_eq!(it.state(), Some(RolloutState::Completed));
    assert_eq!(new(&it), 2);
}

#[test]
fn a_canary_that_dies_is_a_failure() {
    let mut it = Story::new(5);
    it.policy.canary = Some(1);
    it.policy.on_failure = Some(FailureAction::Rollback);
    it.run();
    assert_eq!(it.state(), Some(RolloutState::Canary));
    it.set(1, 2, ReplicaState::Dead);
    assert_eq!(it.run(), [[1]]);
    assert_eq!(it.state(), Some(RolloutState::RolledBack));
}

#[test]
fn a_newer_definition_goes_on_from_where_replicas_are() {
    let mut it = Story::new(4);
    it.step();
    it.obey();
    it.pass(5);
    it.step();
    assert_eq!(it.generations(), [2, 2, 1, 1]);
    it.apply();
    it.pass(1);
    assert_eq!(it.step(), [2], "it was not ready yet, so it goes first");
    it.obey();
    it.pass(5);
    it.run();
    assert_eq!(it.generations(), [3, 3, 3, 3]);
    let record = it.record.unwrap();
    assert_eq!((record.from, record.to), (1, 3));
}

#[test]
fn a_paused_rollout_stays_paused() {
    let mut it = Story::new(3);
    it.step();
    it.record.as_mut().unwrap().state = RolloutState::Paused;
    it.obey();
    it.pass(100);
    assert_eq!(it.run(), Vec::<Vec<u32>>::new());
    it.apply();
    assert_eq!(it.run(), Vec::<Vec<u32>>::new());
    assert_eq!(it.state(), Some(RolloutState::Paused));
    it.resume();
    assert_eq!(it.run(), [[1], [2], [3]]);
    assert_eq!(it.generations(), [3, 3, 3]);
}

#[test]
fn a_change_of_the_count_alone_needs_no_rollout() {
    let mut it = Story::new(3);
    it.same.insert(1);
    assert_eq!(it.step(), [1, 2, 3]);
    assert_eq!(it.record, None);

    let mut it = Story::new(3);
    it.step();
    it.obey();
    it.pass(3600);
    it.apply();
    it.same.insert(2);
    assert_eq!(it.step(), [1, 2], "one is lifted, one is changed");
    it.pass(1);
    assert_eq!(it.step(), NONE);
    assert_eq!(it.state(), Some(RolloutState::Updating));
    it.obey();
    it.pass(5);
    it.run();
    assert_eq!(it.generations(), [3, 3, 3]);
}

#[test]
fn a_move_long_after_the_change_is_no_failure() {
    let mut it = Story::new(3);
    it.policy.delay = Some(GoDuration::from_secs(3600));
    it.step();
    it.obey();
    it.pass(600);
    let moved = it.replicas.get_mut(&1).unwrap();
    moved.assigned = it.now;
    moved.status = None;
    it.pass(3600);
    it.step();
    assert_eq!(it.state(), Some(RolloutState::Updating));
}

#[test]
fn what_has_no_node_does_not_hold_up_the_others() {
    let mut it = Story::new(2);
    it.replicas.get_mut(&1).unwrap().reachable = false;
    assert_eq!(it.step(), [1, 2]);
    it.obey();
    it.pass(5);
    it.step();
    assert_eq!(it.state(), Some(RolloutState::Completed));
}
