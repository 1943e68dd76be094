//! The controllers of the leader, for one term: as in the product they feed the real planners and write what
//! those say, with compares on what it was decided on.

mod health;
mod placement;

pub(crate) use placement::is_global;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_membership::Observations;
use smr_model::ReplicaKey;
use smr_reconcile::RolloutSeen;
use smr_scheduler::Scheduler;

use crate::{
    Ms,
    mirror::{Mirror, ReplicaName, Touched},
};

/// What a request of a controller was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Errand {
    Assign(ReplicaName),
    Verdict(u64, smr_model::Health),
    /// Something that is tried again anyway.
    Other,
}

/// The controllers of the leader.
pub(crate) struct Leader {
    pub(crate) me: u64,
    pub(crate) term: u64,
    scheduler: Scheduler,
    dirty: BTreeSet<ReplicaName>,
    nodes_changed: bool,
    wakes: BTreeMap<ReplicaName, Timestamp>,
    /// What matters of statuses, with when it came here.
    arrived: BTreeMap<(ReplicaKey, u64), RolloutSeen>,
    /// Own writes that did not come back yet.
    pub(crate) waiting: usize,
    /// What is decided on in spite of everything, by mistake.
    stale: Option<Box<Mirror>>,
    seen: Observations,
    ping_at: Ms,
    ping: u64,
    unanswered: BTreeSet<u64>,
    asked: Vec<(u64, u64, Ms)>,
    judging: BTreeSet<u64>,
    /// The exchange of voters that is under way was begun, or taken over, in this term.
    exchanging: bool,
    pub(crate) voters_at: Ms,
    pub(crate) clean_at: Ms,
    pub(crate) compact_at: Ms,
}

impl Leader {
    /// Begins a term from what is stored.
    pub(crate) fn new(
        me: u64,
        term: u64,
        now: Ms,
        clock: Timestamp,
        mirror: &Mirror,
        is_stale: bool,
    ) -> Self {
        let mut leader = Self {
            me,
            term,
            scheduler: Scheduler::new(),
            dirty: BTreeSet::new(),
            nodes_changed: true,
            wakes: BTreeMap::new(),
            arrived: BTreeMap::new(),
            waiting: 0,
            stale: is_stale.then(|| Box::new(mirror.clone())),
            seen: Observations::default(),
            ping_at: 0,
            ping: 0,
            unanswered: BTreeSet::new(),
            asked: Vec::new(),
            judging: BTreeSet::new(),
            exchanging: false,
            voters_at: now,
            clean_at: now + 5000,
            compact_at: now + 30_000,
        };
        leader.seen.me = me;
        leader.seen.leading_since = std::time::Duration::from_millis(now);
        leader.load(mirror, clock);
        leader
    }

    /// Reads everything anew.
    pub(crate) fn load(&mut self, mirror: &Mirror, clock: Timestamp) {
        self.scheduler = Scheduler::new();
        self.nodes_changed = true;
        self.wakes.clear();
        self.waiting = 0;
        self.dirty = names(mirror).collect();
        for (key, by) in &mirror.statuses {
            for node in by.keys() {
                self.status_arrived(key, *node, mirror, clock, true);
            }
        }
    }

    /// The keyspace changed.
    pub(crate) fn take(&mut self, touched: &[Touched], mirror: &Mirror, clock: Timestamp) {
        for what in touched {
            match what {
                Touched::Replica(key) => {
                    let known = mirror.statuses.get(key).into_iter().flat_map(|by| by.keys());
                    for node in known.copied().collect::<Vec<_>>() {
                        self.status_arrived(key, node, mirror, clock, false);
                    }
                    self.dirty.insert((key.group.clone(), key.name.clone()));
                }
                Touched::Object(key) => {
                    self.dirty.insert((key.group.clone(), key.name.clone()));
                }
                Touched::Rollout(name) => {
                    self.dirty.insert(name.clone());
                }
                Touched::Nodes => {
                    self.nodes_changed = true;
                    self.dirty.extend(mirror.rollouts.keys().cloned());
                }
                Touched::Nothing => {}
            }
        }
    }

    /// Keeps since when a replica is in its state by this node's clock: those of others differ.
    fn status_arrived(
        &mut self,
        key: &ReplicaKey,
        node: u64,
        mirror: &Mirror,
        clock: Timestamp,
        was_there: bool,
    ) {
        let Some((status, _)) = mirror.statuses.get(key).and_then(|by| by.get(&node)) else {
            return;
        };
        let state = match status.state {
            smr_model::ReplicaState::ReadinessReady => smr_model::ReplicaState::Running,
            other => other,
        };
        let (generation, ready) = (status.generation, status.ready);
        let like = |it: &&RolloutSeen| {
            it.state == state && it.ready == ready && it.generation == generation
        };
        let since = match self.arrived.get(&(key.clone(), node)).filter(like) {
            Some(before) => before.since,
            None if was_there => status.since.min(clock),
            None => clock,
        };
        let seen = RolloutSeen { generation, state, since, ready };
        self.arrived.insert((key.clone(), node), seen);
    }

    /// A write of a controller came back, or is given up; whether everything has to be read anew.
    pub(crate) fn answered(&mut self, errand: &Errand, outcome: Option<bool>) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        match errand {
            Errand::Assign(name) => {
                if outcome == Some(false) {
                    self.dirty.insert(name.clone());
                }
                outcome.is_none()
            }
            Errand::Verdict(node, state) => {
                self.judging.remove(node);
                if outcome == Some(true)
                    && let Some(seen) = self.seen.nodes.get_mut(node)
                {
                    seen.verdict = Some(*state);
                }
                false
            }
            Errand::Other => false,
        }
    }
}

/// Every object that exists or left something.
fn names(mirror: &Mirror) -> impl Iterator<Item = ReplicaName> {
    let objects = mirror.objects.keys().map(|it| (it.group.clone(), it.name.clone()));
    let assigned = mirror.assignments.keys().map(|it| (it.group.clone(), it.name.clone()));
    objects.chain(assigned).chain(mirror.rollouts.keys().cloned())
}
