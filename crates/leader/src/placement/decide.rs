//! From what changed to what is written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_control::{AssignmentBatch, GroupName, keyspace};
use smr_model::{
    Assignment, Availability, Kind, ObjectKey, ReplicaKey, RolloutState, is_scale_only,
};
use smr_reconcile::{RolloutInput, RolloutReplica, RolloutStep, generation_of_new, rollout};
use smr_scheduler::{Replica, Request};

use super::{
    Failure,
    object::{Former, Object, Wanted},
    world::{Look, World},
};
use crate::{nodes::Nodes, term::Term};

/// Generations that replicas of an object get now, and what replicas without one get.
#[derive(Debug, Default)]
struct Generations {
    assign: BTreeMap<u32, u64>,
    new: u64,
}

impl World {
    /// Decides about everything that is concerned; what differs from what is stored is in the batch.
    pub(super) async fn decide(
        &mut self,
        term: &Term,
        now: Timestamp,
    ) -> Result<AssignmentBatch, Failure> {
        let mut batch = AssignmentBatch::new();
        for (object, wake) in &self.wakes {
            if *wake <= now {
                self.dirty.entry(object.clone()).or_insert(Look::Rollout);
            }
        }
        self.unsettled = false;
        let mut generations: BTreeMap<GroupName, Generations> = BTreeMap::new();
        let mut touched = BTreeSet::new();
        for (name, look) in std::mem::take(&mut self.dirty) {
            self.wakes.remove(&name);
            let Some(object) = self.objects.get_mut(&name) else {
                self.scheduler.remove_workload(&name.0, &name.1);
                continue;
            };
            match &object.wanted {
                Wanted::Unreadable => {}
                Wanted::Nothing => self.remove(term, &name, &mut batch)?,
                Wanted::Is(_) => {
                    let found = self.step(term, &name, look, now, &mut batch).await?;
                    if look == Look::Placement || !found.assign.is_empty() {
                        touched.insert(name.clone());
                    }
                    generations.insert(name, found);
                }
            }
        }
        for change in self.scheduler.settle(now) {
            touched.insert((change.key.group, change.key.name));
        }
        for name in touched {
            let found = match generations.remove(&name) {
                Some(found) => found,
                None => self.generations(term, &name).await?,
            };
            self.assign(term, &name, &found, "", now, &mut batch);
        }
        Ok(batch)
    }

    /// One move that evens out the load.
    pub(super) async fn balance(
        &mut self,
        term: &Term,
        now: Timestamp,
    ) -> Result<AssignmentBatch, Failure> {
        let mut batch = AssignmentBatch::new();
        let onto = match self.nodes.cluster.rebalance {
            smr_wire::Rebalance::Continuous => None,
            _ => Some(self.fresh.clone()),
        };
        let moves = self.scheduler.rebalance(onto.as_ref(), 1);
        if moves.is_empty() {
            self.fresh.clear();
        }
        for it in moves {
            let name = (it.key.group, it.key.name);
            let found = self.generations(term, &name).await?;
            self.assign(term, &name, &found, "to even out the load", now, &mut batch);
        }
        Ok(batch)
    }

    /// Removes what is left of an object that does not exist.
    fn remove(
        &mut self,
        term: &Term,
        name: &GroupName,
        batch: &mut AssignmentBatch,
    ) -> Result<(), Failure> {
        self.scheduler.remove_workload(&name.0, &name.1);
        let Some(object) = self.objects.get_mut(name) else { return Ok(()) };
        object.is_rolling = false;
        if !object.assignments.is_empty() || object.rollout.is_some() {
            batch.require(&ObjectKey::new(Kind::Containers, &name.0, &name.1), 0);
        }
        for (index, (_, seen)) in &object.assignments {
            let replica = ReplicaKey::new(&name.0, &name.1, *index);
            batch.delete(&replica, *seen);
            object.written.insert(*index, None);
            if term.store().get(&keyspace::restart(&replica))?.is_some() {
                batch.delete_restart(&replica);
            }
        }
        if let Some((_, seen)) = &object.rollout {
            batch.delete_rollout(&name.0, &name.1, *seen);
        }
        if object.is_gone() {
            self.objects.remove(name);
        }
        Ok(())
    }

    /// Takes the next step of an object's rollout, and tells the scheduler of what changed.
    async fn step(
        &mut self,
        term: &Term,
        name: &GroupName,
        look: Look,
        now: Timestamp,
        batch: &mut AssignmentBatch,
    ) -> Result<Generations, Failure> {
        let (step, new) = self.roll(term, name, now).await?;
        let Some(object) = self.objects.get_mut(name) else { return Ok(Generations::default()) };
        let Some(current) = object.current() else { return Ok(Generations::default()) };
        if let Some(wake) = step.wake_at {
            self.wakes.insert(name.clone(), wake);
        }
        if let Some(record) = &step.record {
            let key = ObjectKey::new(Kind::Containers, &name.0, &name.1);
            batch.require(&key, current.revision);
            let before = object.rollout.as_ref().filter(|(it, _)| it.uid == record.uid);
            let seen = object.rollout.as_ref().map_or(0, |(_, seen)| *seen);
            batch.put_rollout(&name.0, &name.1, record, seen);
            let is_new = before.is_none_or(|(it, _)| it.to != record.to || it.state.is_over());
            if is_new && !record.state.is_over() {
                let message = format!("from generation {} to {}", record.from, record.to);
                batch.event(&name.0, &name.1, term.event("rollout_started", key.clone(), message));
            }
            if before.map(|(it, _)| it.state) != Some(record.state)
                && let Some(kind) = event_of(record.state)
            {
                batch.event(&name.0, &name.1, term.event(kind, key, record.message.clone()));
            }
            object.written_rollout = Some(record.clone());
        }
        let state = step.record.as_ref().or(object.rollout.as_ref().map(|(it, _)| it));
        object.is_rolling = state.is_some_and(|it| !it.state.is_over());
        if look == Look::Placement || !step.assign.is_empty() {
            self.place(name, &step.assign);
        }
        Ok(Generations { assign: step.assign, new })
    }

    /// Tells the scheduler how an object is.
    fn place(&mut self, name: &GroupName, assign: &BTreeMap<u32, u64>) {
        let first = self.nodes.first();
        let Some(object) = self.objects.get(name) else { return };
        let Some(current) = object.current() else { return };
        let mut replicas = Vec::with_capacity(object.assignments.len());
        for (index, (assignment, _)) in &object.assignments {
            if assignment.uid != current.uid {
                continue;
            }
            let generation = assign.get(index).copied().unwrap_or(assignment.generation);
            let is_current = generation == current.generation;
            let held = (!is_current).then(|| object.request(generation).unwrap_or_default());
            replicas.push(Replica {
                index: *index,
                node: assignment.node,
                changed: is_current && assignment.generation != generation,
                held: held.map(Box::new),
                data_on: object.data_on(*index),
                done: assignment.node.is_some_and(|it| object.is_done(*index, it, generation)),
            });
        }
        if let Some(workload) = current.workload(first) {
            self.scheduler.set_workload(workload.with_replicas(replicas));
        }
    }

    /// The generations of an object about which only the scheduler had something to say.
    async fn generations(&mut self, term: &Term, name: &GroupName) -> Result<Generations, Failure> {
        self.remember(term, name).await?;
        let Some(object) = self.objects.get(name) else { return Ok(Generations::default()) };
        Ok(Generations { assign: BTreeMap::new(), new: object.generation_of_new() })
    }

    /// Asks the planner of rollouts.
    async fn roll(
        &mut self,
        term: &Term,
        name: &GroupName,
        now: Timestamp,
    ) -> Result<(RolloutStep, u64), Failure> {
        self.remember(term, name).await?;
        let Some(object) = self.objects.get(name) else { return Ok(Default::default()) };
        let Some(current) = object.current() else { return Ok(Default::default()) };
        let mine = object.assignments.iter().filter(|(index, (assignment, _))| {
            assignment.uid == current.uid && current.wants(**index)
        });
        let replica = |(index, (assignment, _)): (&u32, &(Assignment, u64))| {
            let reachable = assignment.node.is_some_and(|node| self.nodes.is_reachable(node));
            let statuses = object.statuses.get(index);
            let status = assignment.node.and_then(|node| statuses?.get(&node));
            let replica = RolloutReplica {
                generation: assignment.generation,
                assigned: assignment.since,
                reachable,
                status: status.map(|seen| seen.rollout.clone()),
            };
            (*index, replica)
        };
        let replicas: BTreeMap<u32, RolloutReplica> = mine.map(replica).collect();
        let (same, known) = object.kept();
        let step = rollout(
            now,
            &RolloutInput {
                uid: &current.uid,
                generation: current.generation,
                policy: &current.policy,
                ready_within: term.options.settings.ready_within + current.readiness,
                same: &same,
                known: &known,
                record: object.rollout.as_ref().map(|(record, _)| record),
                replicas: &replicas,
            },
        );
        let record = step.record.as_ref().or(object.rollout.as_ref().map(|(it, _)| it));
        let new =
            generation_of_new(&current.uid, current.generation, &current.policy, &known, record);
        Ok((step, new))
    }

    /// Looks up former definitions that matter and are not known yet.
    async fn remember(&mut self, term: &Term, name: &GroupName) -> Result<(), Failure> {
        let Some(object) = self.objects.get_mut(name) else { return Ok(()) };
        for generation in object.former_generations() {
            if object.former.contains_key(&generation) {
                continue;
            }
            let key = ObjectKey::new(Kind::Containers, &name.0, &name.1);
            let found = term.control().object_at(&key, generation).await.inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(?name, generation, error, "a former definition cannot be read");
            });
            let Some(current) = object.current() else { return Ok(()) };
            let former = found.ok().flatten().filter(|it| it.uid == current.uid).and_then(|it| {
                let smr_model::Spec::Containers(spec, _) = &it.definition.spec else {
                    return None;
                };
                let is_same = is_scale_only(&it.definition, &current.definition);
                Some(Former { request: Request::of(spec), is_same })
            });
            object.former.insert(generation, former);
        }
        Ok(())
    }

    /// Writes where the replicas of an object are to be, as far as it is stored differently.
    fn assign(
        &mut self,
        term: &Term,
        name: &GroupName,
        generations: &Generations,
        why: &str,
        now: Timestamp,
        batch: &mut AssignmentBatch,
    ) {
        let Some(object) = self.objects.get_mut(name) else { return };
        let Wanted::Is(current) = &object.wanted else { return };
        let (uid, revision) = (current.uid.clone(), current.revision);
        let mut writes = 0;
        let mut indexes: BTreeSet<u32> = object.assignments.keys().copied().collect();
        indexes.extend(current.indexes(&self.nodes));
        for index in indexes {
            let replica = ReplicaKey::new(&name.0, &name.1, index);
            let before = object.assignments.get(&index);
            let seen = before.map_or(0, |(_, seen)| *seen);
            let Some(decision) = self.scheduler.decision(&replica) else {
                if before.is_none() {
                    continue;
                }
                batch.delete(&replica, seen);
                object.written.insert(index, None);
                writes += 1;
                if matches!(term.store().get(&keyspace::restart(&replica)), Ok(Some(_))) {
                    batch.delete_restart(&replica);
                }
                continue;
            };
            let mine = before.map(|(it, _)| it).filter(|it| it.uid == uid);
            let generation = generations
                .assign
                .get(&index)
                .copied()
                .or(mine.map(|it| it.generation))
                .unwrap_or(generations.new);
            let after = Assignment {
                node: decision.node(),
                uid: uid.clone(),
                generation,
                reason: decision.reason().cloned(),
                since: mine.map_or(now, |it| it.since),
            };
            if mine == Some(&after) {
                continue;
            }
            let is_same = |one: u64, other: u64| {
                let same =
                    |it: u64| it == current.generation || is_same_as_current(&object.former, it);
                one == other || (same(one) && same(other))
            };
            let stays = mine.is_some_and(|it| {
                it.node == after.node && is_same(it.generation, after.generation)
            });
            let after = if stays { after } else { Assignment { since: now, ..after } };
            if let Some(from) = mine.and_then(|it| it.node)
                && let Some(to) = after.node
                && from != to
            {
                let moved = mine.is_some_and(|it| it.generation != generation);
                let reason = reason(&self.nodes, from, moved, why);
                let message =
                    format!("moved from {} to {}, {reason}", term.name_of(from), term.name_of(to));
                tracing::info!(replica = %replica, %message, "replica moves");
                let key = ObjectKey::new(Kind::Containers, &name.0, replica.generated_name());
                batch.event(&name.0, &name.1, term.event("assigned", key, message));
            }
            batch.put(&replica, &after, seen);
            object.written.insert(index, Some(after));
            writes += 1;
        }
        if writes > 0 {
            batch.require(&ObjectKey::new(Kind::Containers, &name.0, &name.1), revision);
        }
    }
}

impl Object {
    /// Generations that are the same as the current one but for the count, and those that are kept.
    fn kept(&self) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let kept = self.former.iter().filter_map(|(id, it)| Some((*id, it.as_ref()?)));
        let same = kept.clone().filter(|(_, it)| it.is_same).map(|(id, _)| id).collect();
        let current = self.current().map(|it| it.generation);
        (same, kept.map(|(id, _)| id).chain(current).collect())
    }

    fn request(&self, generation: u64) -> Option<Request> {
        self.former.get(&generation)?.as_ref().map(|former| former.request.clone())
    }

    fn generation_of_new(&self) -> u64 {
        let Some(current) = self.current() else { return 0 };
        let (_, known) = self.kept();
        let record = self.rollout.as_ref().map(|(record, _)| record);
        generation_of_new(&current.uid, current.generation, &current.policy, &known, record)
    }
}

fn is_same_as_current(former: &BTreeMap<u64, Option<Former>>, generation: u64) -> bool {
    former.get(&generation).and_then(Option::as_ref).is_some_and(|it| it.is_same)
}

/// Why a replica leaves a node.
fn reason(nodes: &Nodes, from: u64, changed: bool, why: &str) -> String {
    let node = nodes.node(from);
    match node {
        _ if !why.is_empty() => why.to_owned(),
        None => "which is no member any more".to_owned(),
        Some(node) if nodes.is_down(from) => format!("because {} is down", node.name),
        Some(node) if node.availability == Availability::Drain => {
            format!("because {} is drained", node.name)
        }
        Some(_) if changed => "as the new definition says".to_owned(),
        Some(node) => format!("because {} no longer fits", node.name),
    }
}

/// The event that tells of a state the leader brought about.
fn event_of(state: RolloutState) -> Option<&'static str> {
    match state {
        RolloutState::Updating => None,
        RolloutState::Canary => Some("rollout_canary"),
        RolloutState::Paused => Some("rollout_paused"),
        RolloutState::RollingBack => Some("rollout_rolling_back"),
        RolloutState::Completed => Some("rollout_completed"),
        RolloutState::RolledBack => Some("rollout_rolled_back"),
    }
}
