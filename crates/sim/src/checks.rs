//! What must hold of the whole world: after every step, and when everything has settled.

use std::collections::{BTreeMap, BTreeSet};

use smr_model::{NodeRole, ReplicaKey, RolloutState, spec::UpdateOrder};
use smr_reconcile::handover_order;

use crate::{
    Ms,
    agent::others,
    check::{Check, Failure},
    leader::is_global,
    mirror::{Mirror, Object},
    world::World,
};

/// Simulated time after which everything must have settled.
const PATIENCE: Ms = 1_200_000;
/// Steps between two comparisons of whole copies.
const COMPARE: u64 = 100;

impl World {
    /// A node begins to make a container: under stop-first no other node has one, as far as this node
    /// was told.
    pub(crate) fn check_begin(&mut self, id: u64, key: &ReplicaKey, generation: u64) {
        let Some(node) = self.nodes.get(&id) else { return };
        let mirror = &node.mirror;
        let object = mirror.objects.get(&key.object());
        let uid = object.map(|it| it.uid.as_str()).unwrap_or_default();
        let spec = mirror.at(&key.object(), uid, generation).and_then(Object::spec);
        if spec.map(handover_order) != Some(UpdateOrder::StopFirst) {
            return;
        }
        let runs_here = node.engine.running(key).next().is_some();
        for other in others(mirror, id, key) {
            let runs =
                |id| self.nodes.get(&id).is_some_and(|it| it.engine.running(key).next().is_some());
            if !runs_here && !other.down && other.sighting.container && runs(other.node) {
                let other = other.node;
                self.judge.fail(
                    Check::StopFirst,
                    format!("n{id} makes {key} while it runs on n{other}, which is to stop first"),
                );
                return;
            }
        }
    }

    /// After every step.
    pub(crate) fn check_step(&mut self) {
        for node in self.nodes.values() {
            if !node.engine.others_are_there() {
                self.judge.fail(
                    Check::OthersAreLeftAlone,
                    format!("a container of somebody else is gone from n{}", node.id),
                );
            }
            for container in node.engine.containers.values() {
                let wrong = container.labels.as_ref().is_some_and(|it| it.node != node.id);
                if wrong {
                    self.judge.fail(
                        Check::OwnLabels,
                        format!("a container on n{} has another's label", node.id),
                    );
                }
            }
        }
        if self.taken.is_multiple_of(COMPARE) {
            self.compare_copies();
        }
    }

    /// Copies of the same age are the same, byte by byte.
    fn compare_copies(&mut self) {
        let mut known: BTreeMap<u64, u64> = BTreeMap::new();
        for node in self.nodes.values().filter(|it| it.up) {
            let first = *known.entry(node.state.applied).or_insert(node.id);
            if let Some(other) = self.nodes.get(&first).filter(|_| first != node.id) {
                self.judge.compare((first, &other.state.view), (node.id, &node.state.view));
            }
        }
    }

    /// Repairs everything and waits until it is as it should be.
    pub(crate) fn settle(&mut self) {
        self.repair_all();
        let end = self.now + PATIENCE;
        let mut look = self.now + 1000;
        loop {
            while self.now < look {
                if !self.advance() {
                    return;
                }
            }
            look = self.now + 1000;
            match self.unsettled() {
                None => break,
                Some(why) if self.now >= end => {
                    let seconds = PATIENCE / 1000;
                    let what = format!("{seconds} s after all faults: {}", why.what);
                    return self.judge.fail(why.check, what);
                }
                Some(_) => {}
            }
        }
        let length = self.judge.length();
        self.tell(|| format!("all is settled, with {length} entries"));
        self.compare_copies();
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.users_lose(id);
        }
        if let Some(why) = self.users.history.violation() {
            self.judge.fail(Check::UsersSeeOneOrder, why);
        }
    }

    /// What is not yet as it should be.
    fn unsettled(&self) -> Option<Failure> {
        let fails = |what: String| Some(Failure { check: Check::ClusterIsWhole, what });
        let leader = self.nodes.values().filter(|it| it.up && it.raft.is_leader());
        let Some(leader) = leader.max_by_key(|it| it.raft.term) else {
            return fails("nobody leads".to_owned());
        };
        let mirror = Mirror::load(&leader.state.view);
        let members: BTreeSet<u64> = mirror.members.keys().copied().collect();
        for id in &members {
            let Some(node) = self.nodes.get(id) else { continue };
            if !node.up {
                return fails(format!("member n{id} does not run"));
            }
            if node.state.applied != self.judge.length() {
                return fails(format!("n{id} has not applied everything"));
            }
            if mirror.is_down(*id) {
                return fails(format!("n{id} counts as down"));
            }
            if !node.agent.is_idle() {
                return fails(format!("n{id} has something to report"));
            }
        }
        let may_vote =
            |id: &&u64| mirror.members.get(*id).is_some_and(|(it, _)| it.role == NodeRole::Voter);
        let fit: BTreeSet<u64> = members.iter().filter(may_vote).copied().collect();
        let config = &leader.raft.config;
        let count = [0, 1, 1, 3, 3, 5][fit.len().min(5)];
        if config.is_joint() || !config.voters.is_subset(&fit) || config.voters.len() != count {
            return fails(format!("of {fit:?} {count} are to vote, and there is {config:?}"));
        }
        if config.all().collect::<BTreeSet<u64>>() != members {
            return fails(format!("the members are {members:?}, and there is {config:?}"));
        }
        let objects = mirror.objects.values();
        objects
            .filter_map(|object| self.object_unsettled(object, &mirror, &members))
            .chain(self.too_much(&mirror, &members))
            .next()
    }

    /// What is not as an object says.
    fn object_unsettled(
        &self,
        object: &Object,
        mirror: &Mirror,
        members: &BTreeSet<u64>,
    ) -> Option<Failure> {
        let fails = |what: String| Some(Failure { check: Check::WantedRuns, what });
        let spec = object.spec()?;
        let meta = &object.definition.meta;
        let name = (meta.group.clone(), meta.name.clone());
        if let Some((rollout, _)) = mirror.rollouts.get(&name) {
            let rests = rollout.state.is_over()
                || (matches!(rollout.state, RolloutState::Paused | RolloutState::Canary)
                    && !rollout.message.is_empty());
            if !rests {
                let what = format!("the rollout of {name:?} is {}", rollout.state.as_str());
                return Some(Failure { check: Check::RolloutsEnd, what });
            }
        }
        let indexes: Vec<u32> =
            if is_global(spec) { Vec::new() } else { (1..=spec.replica_count()).collect() };
        for index in indexes {
            let key = ReplicaKey::new(&name.0, &name.1, index);
            match mirror.assignments.get(&key) {
                None => return fails(format!("{key} has no assignment")),
                Some((it, _)) if it.uid != object.uid => {
                    return fails(format!("{key} is assigned for an object of the past"));
                }
                Some((it, _)) if it.node.is_none() && it.reason.is_none() => {
                    return fails(format!("{key} has no node and no reason"));
                }
                Some(_) => {}
            }
        }
        let range =
            ReplicaKey::new(&name.0, &name.1, 0)..=ReplicaKey::new(&name.0, &name.1, u32::MAX);
        for (key, (it, _)) in mirror.assignments.range(range) {
            let Some(id) = it.node else { continue };
            if !members.contains(&id) {
                return fails(format!("{key} is assigned to n{id}, which is no member"));
            }
            let Some(wanted) = mirror.at(&key.object(), &it.uid, it.generation) else {
                return fails(format!("the definition of {key} is not known: {it:?}"));
            };
            let Some(wanted) = wanted.spec().filter(|it| it.image == "app") else { continue };
            let Some(node) = self.nodes.get(&id) else { continue };
            let running: Vec<&str> = node.engine.running(key).map(|it| it.image.as_str()).collect();
            if running != [wanted.image_reference().as_str()] {
                return fails(format!("{key} is to run once on n{id} and there is {running:?}"));
            }
            let status = mirror.statuses.get(key).and_then(|by| by.get(&id));
            if !status.is_some_and(|(it2, _)| it2.ready && it2.generation == it.generation) {
                return fails(format!("the status of {key} on n{id} is not true: {status:?}"));
            }
        }
        None
    }

    /// What runs, or is said to, and should not.
    fn too_much(&self, mirror: &Mirror, members: &BTreeSet<u64>) -> Option<Failure> {
        let fails = |what: String| Some(Failure { check: Check::NothingElseRuns, what });
        for (key, (it, _)) in &mirror.assignments {
            let object = mirror.objects.get(&key.object());
            let counts = object
                .and_then(Object::spec)
                .is_some_and(|spec| is_global(spec) || key.index <= spec.replica_count());
            if !counts || object.is_none_or(|object| object.uid != it.uid) {
                return fails(format!("{key} is assigned and nobody wants it"));
            }
        }
        for (key, by) in &mirror.statuses {
            let assigned = mirror.assignments.get(key).and_then(|(it, _)| it.node);
            for id in by.keys() {
                if assigned != Some(*id) && !may_stay(key, mirror) {
                    let it = mirror.assignments.get(key).map(|(it, _)| it);
                    return fails(format!(
                        "n{id} has a status of {key}, which is not its own: {it:?}"
                    ));
                }
            }
        }
        for node in self.nodes.values().filter(|it| members.contains(&it.id)) {
            for container in node.engine.containers.values() {
                let Some(labels) = &container.labels else { continue };
                let key = &labels.replica;
                let assigned = mirror.assignments.get(key).and_then(|(it, _)| it.node);
                if assigned != Some(node.id) && !may_stay(key, mirror) {
                    let id = node.id;
                    return fails(format!("n{id} has a container of {key}, which is not its own"));
                }
            }
        }
        None
    }
}

/// Whether a replica may go on where it was: what takes its place elsewhere cannot become ready.
fn may_stay(key: &ReplicaKey, mirror: &Mirror) -> bool {
    let Some((it, _)) = mirror.assignments.get(key).filter(|(it, _)| it.node.is_some()) else {
        return false;
    };
    let wanted = mirror.at(&key.object(), &it.uid, it.generation).and_then(Object::spec);
    wanted.is_some_and(|it| it.image != "app")
}
