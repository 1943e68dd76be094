//! Where replicas go and how changes reach them: the steps of the product's placement controller around the real
//! scheduler and the real rollout planner.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use smr_model::{
    Assignment, Kind, ObjectKey, ReplicaKey, is_scale_only,
    spec::{ContainersSpec, Strategy},
};
use smr_reconcile::{
    RolloutInput, RolloutReplica, RolloutStep, generation_of_new, has_container, rollout,
};
use smr_scheduler::{Replica, Request, Workload};
use smr_state::{CmpOp, Command, Compare, Op, Txn};

use super::Leader;
use crate::{
    agent::json,
    keyspace,
    mirror::{Mirror, Object, ReplicaName},
};

/// How long a changed replica may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Generations that are the same as the current one but for the count, and those that are kept.
type Kept = (BTreeSet<u64>, BTreeSet<u64>);

impl Leader {
    /// Decides about everything that is concerned.
    pub(crate) fn decide(
        &mut self,
        present: &Mirror,
        clock: Timestamp,
    ) -> Vec<(ReplicaName, Command)> {
        for (name, wake) in &self.wakes {
            if *wake <= clock {
                self.dirty.insert(name.clone());
            }
        }
        let timed = self.scheduler.recheck().is_some_and(|at| at <= clock);
        if self.waiting > 0 || (self.dirty.is_empty() && !self.nodes_changed && !timed) {
            return Vec::new();
        }
        if std::mem::take(&mut self.nodes_changed) {
            self.set_nodes(present);
        }
        let mut writes: BTreeMap<ReplicaName, Txn> = BTreeMap::new();
        let mut steps: BTreeMap<ReplicaName, RolloutStep> = BTreeMap::new();
        for name in std::mem::take(&mut self.dirty) {
            self.wakes.remove(&name);
            let key = ObjectKey::new(Kind::Containers, &name.0, &name.1);
            let Some(object) = present.objects.get(&key) else {
                self.scheduler.remove_workload(&name.0, &name.1);
                writes.extend(remove(&name, &key, present).map(|txn| (name, txn)));
                continue;
            };
            let kept = kept(&key, object, present);
            let step = self.roll(&name, object, &kept, present, clock);
            if let Some(wake) = step.wake_at {
                self.wakes.insert(name.clone(), wake);
            }
            if let Some(record) = &step.record {
                let path = keyspace::rollout(&name.0, &name.1);
                let seen = present.rollouts.get(&name).map_or(0, |(_, seen)| *seen);
                let txn = writes.remove(&name).unwrap_or_default();
                let txn = txn.when(unchanged(path.clone(), seen)).then(Op::put(path, json(record)));
                writes.insert(name.clone(), txn);
            }
            self.place(&name, object, &step.assign, present);
            steps.insert(name, step);
        }
        let mut touched: BTreeSet<ReplicaName> = steps.keys().cloned().collect();
        for change in self.scheduler.settle(clock) {
            touched.insert((change.key.group, change.key.name));
        }
        for name in touched {
            let txn = writes.remove(&name).unwrap_or_default();
            let step = steps.remove(&name).unwrap_or_default();
            let txn = self.assign(&name, &step, txn, present, clock);
            writes.insert(name, txn);
        }
        let full = writes.into_iter().filter(|(_, txn)| !txn.then.is_empty());
        full.map(|(name, txn)| (name, Command::Txn(txn))).collect()
    }

    fn set_nodes(&mut self, present: &Mirror) {
        let nodes = match &self.stale {
            Some(stale) => stale,
            None => present,
        };
        for id in nodes.members.keys().chain(&nodes.removed) {
            match nodes.node(*id) {
                Some(node) => self.scheduler.set_node(node),
                None => self.scheduler.remove_node(*id),
            }
        }
    }

    fn roll(
        &self,
        name: &ReplicaName,
        object: &Object,
        kept: &Kept,
        mirror: &Mirror,
        clock: Timestamp,
    ) -> RolloutStep {
        let Some(spec) = object.spec() else { return RolloutStep::default() };
        let mine = assignments(name, mirror)
            .filter(|(index, it)| it.uid == object.uid && wants(spec, *index));
        let replicas: BTreeMap<u32, RolloutReplica> = mine
            .map(|(index, it)| {
                let key = ReplicaKey::new(&name.0, &name.1, index);
                let reachable = |node: u64| {
                    mirror.members.contains_key(&node)
                        && !mirror.removed.contains(&node)
                        && !mirror.is_down(node)
                };
                let stored =
                    |node: &u64| mirror.statuses.get(&key).is_some_and(|by| by.contains_key(node));
                let seen =
                    it.node.filter(stored).and_then(|node| self.arrived.get(&(key.clone(), node)));
                let replica = RolloutReplica {
                    generation: it.generation,
                    assigned: it.since,
                    reachable: it.node.is_some_and(reachable),
                    status: seen.cloned(),
                };
                (index, replica)
            })
            .collect();
        rollout(
            clock,
            &RolloutInput {
                uid: &object.uid,
                generation: object.generation,
                policy: &spec.update.clone().unwrap_or_default(),
                ready_within: READY_WITHIN,
                same: &kept.0,
                known: &kept.1,
                record: mirror.rollouts.get(name).map(|(it, _)| it),
                replicas: &replicas,
            },
        )
    }

    /// Tells the scheduler how an object is.
    fn place(
        &mut self,
        name: &ReplicaName,
        object: &Object,
        assign: &BTreeMap<u32, u64>,
        mirror: &Mirror,
    ) {
        let Some(spec) = object.spec() else { return };
        let key = ObjectKey::new(Kind::Containers, &name.0, &name.1);
        let mut replicas = Vec::new();
        for (index, it) in assignments(name, mirror).filter(|(_, it)| it.uid == object.uid) {
            let generation = assign.get(&index).copied().unwrap_or(it.generation);
            let is_current = generation == object.generation;
            let former = mirror.at(&key, &object.uid, generation).and_then(|it| it.spec());
            let held = (!is_current).then(|| former.map(Request::of).unwrap_or_default());
            replicas.push(Replica {
                index,
                node: it.node,
                changed: is_current && it.generation != generation,
                held: held.map(Box::new),
                // Definitions here run for ever.
                done: false,
                data_on: data_on(&ReplicaKey::new(&name.0, &name.1, index), mirror),
            });
        }
        let labels = &object.definition.meta.labels;
        let workload = Workload::new(&name.0, &name.1, labels, object.home, spec);
        self.scheduler.set_workload(workload.with_replicas(replicas));
    }

    /// Writes where the replicas of an object are to be, as far as it is stored differently.
    fn assign(
        &mut self,
        name: &ReplicaName,
        step: &RolloutStep,
        mut txn: Txn,
        mirror: &Mirror,
        clock: Timestamp,
    ) -> Txn {
        let key = ObjectKey::new(Kind::Containers, &name.0, &name.1);
        let Some(object) = mirror.objects.get(&key) else { return txn };
        let Some(spec) = object.spec() else { return txn };
        let kept = kept(&key, object, mirror);
        let stored = mirror.rollouts.get(name).map(|(it, _)| it);
        let record = step.record.as_ref().or(stored);
        let policy = spec.update.clone().unwrap_or_default();
        let new = generation_of_new(&object.uid, object.generation, &policy, &kept.1, record);
        let mut indexes: BTreeSet<u32> = assignments(name, mirror).map(|(it, _)| it).collect();
        if is_global(spec) {
            indexes.extend(mirror.members.keys().map(|id| *id as u32));
        } else {
            indexes.extend(1..=spec.replica_count());
        }
        for index in indexes {
            let replica = ReplicaKey::new(&name.0, &name.1, index);
            let path = keyspace::assignment(&replica);
            let before = mirror.assignments.get(&replica);
            let seen = before.map_or(0, |(_, seen)| *seen);
            let Some(decision) = self.scheduler.decision(&replica) else {
                if before.is_some() {
                    txn = txn.when(unchanged(path.clone(), seen)).then(Op::delete(path));
                    if mirror.restarts.contains_key(&replica) {
                        txn = txn.then(Op::delete(keyspace::restart(&replica)));
                    }
                }
                continue;
            };
            let mine = before.map(|(it, _)| it).filter(|it| it.uid == object.uid);
            let generation = step.assign.get(&index).copied().or(mine.map(|it| it.generation));
            let after = Assignment {
                node: decision.node(),
                uid: object.uid.clone(),
                generation: generation.unwrap_or(new),
                reason: decision.reason().cloned(),
                since: mine.map_or(clock, |it| it.since),
            };
            if mine == Some(&after) {
                continue;
            }
            let is_same = |one: u64, other: u64| {
                let same = |it: u64| it == object.generation || kept.0.contains(&it);
                one == other || (same(one) && same(other))
            };
            let stays = mine.is_some_and(|it| {
                it.node == after.node && is_same(it.generation, after.generation)
            });
            let after = if stays { after } else { Assignment { since: clock, ..after } };
            txn = txn.when(unchanged(path.clone(), seen)).then(Op::put(path, json(&after)));
        }
        if txn.then.is_empty() {
            txn
        } else {
            txn.when(unchanged(keyspace::object(&key), object.revision))
        }
    }
}

/// Removes what is left of an object that does not exist.
fn remove(name: &ReplicaName, key: &ObjectKey, mirror: &Mirror) -> Option<Txn> {
    let mut txn = Txn::new();
    for (index, _) in assignments(name, mirror) {
        let replica = ReplicaKey::new(&name.0, &name.1, index);
        let path = keyspace::assignment(&replica);
        let seen = mirror.assignments.get(&replica).map_or(0, |(_, seen)| *seen);
        txn = txn.when(unchanged(path.clone(), seen)).then(Op::delete(path));
    }
    if let Some((_, seen)) = mirror.rollouts.get(name) {
        let path = keyspace::rollout(&name.0, &name.1);
        txn = txn.when(unchanged(path.clone(), *seen)).then(Op::delete(path));
    }
    let txn = txn.when(Compare::absent(keyspace::object(key)));
    (!txn.then.is_empty()).then_some(txn)
}

fn unchanged(key: String, seen: u64) -> Compare {
    Compare::mod_revision(key, CmpOp::Equal, seen)
}

fn assignments<'m>(
    name: &ReplicaName,
    mirror: &'m Mirror,
) -> impl Iterator<Item = (u32, &'m Assignment)> + use<'m> {
    let range = ReplicaKey::new(&name.0, &name.1, 0)..=ReplicaKey::new(&name.0, &name.1, u32::MAX);
    mirror.assignments.range(range).map(|(key, (it, _))| (key.index, it))
}

fn kept(key: &ObjectKey, object: &Object, mirror: &Mirror) -> Kept {
    let range = (key.clone(), 0)..=(key.clone(), u64::MAX);
    let former = mirror.former.range(range).map(|(_, it)| it).filter(|it| it.uid == object.uid);
    let (mut same, mut known) = (BTreeSet::new(), BTreeSet::from([object.generation]));
    for it in former {
        known.insert(it.generation);
        let differs = it.generation != object.generation;
        if differs && is_scale_only(&it.definition, &object.definition) {
            same.insert(it.generation);
        }
    }
    (same, known)
}

pub(crate) fn is_global(spec: &ContainersSpec) -> bool {
    let strategy = spec.placement.as_ref().and_then(|it| it.strategy);
    spec.spread.is_none() && strategy == Some(Strategy::Global)
}

fn wants(spec: &ContainersSpec, index: u32) -> bool {
    is_global(spec) || index <= spec.replica_count()
}

/// The node that has a container of a replica, the one it is assigned to first.
fn data_on(key: &ReplicaKey, mirror: &Mirror) -> Option<u64> {
    let by = mirror.statuses.get(key)?;
    let has = |id: &u64| {
        by.get(id).is_some_and(|(it, _)| has_container(it.state, it.engine_state, &it.container_id))
    };
    let assigned = mirror.assignments.get(key).and_then(|(it, _)| it.node);
    assigned.filter(has).or_else(|| by.keys().copied().find(has))
}
