//! Everything the agent knows: objects, restart requests, and one slot for each replica.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use smr_control::{Control, Error, Loaded, StoredObject, keyspace};
use smr_model::{
    Definition, Kind, ObjectKey, Reason, ReplicaKey, ReplicaState, ReplicaStatus, Spec,
    spec::{ContainersSpec, Dependency, Strategy, UpdateOrder},
};
use smr_reconcile::{
    DependencyState, Duty, Memory, NodeFacts, Objects, Peers, Rendered, Replica, Sighting, Target,
    Wanted, dependencies, handover, handover_order, render, replacement_order,
};
use smr_store::{KeyValue, RangeQuery};
use tokio_util::sync::CancellationToken;

use self::cluster::Cluster;
use crate::infrastructure::{Desired, Ready};

pub(crate) mod cluster;

/// One replica, with what planning does not need.
pub(crate) struct Slot {
    pub(crate) replica: Replica,
    /// The rendered form and what it was made from.
    rendering: Option<Rendering>,
    /// Drops the action under way.
    pub(crate) cancel: Option<CancellationToken>,
    /// When time alone could change the plan.
    pub(crate) wake_at: Option<Timestamp>,
    /// Status as last handed to the reporter.
    pub(crate) reported: Option<ReplicaStatus>,
    /// Count of the last change by an action or an event; a listing from before it is stale.
    pub(crate) touched: u64,
    /// Groups it waits for replicas of before it starts.
    depends: BTreeSet<String>,
}

struct Rendering {
    uid: String,
    generation: u64,
    used: BTreeSet<ObjectKey>,
    target: Result<Arc<Target>, Reason>,
}

/// The world of one node.
pub(crate) struct World {
    pub(crate) node_id: u64,
    pub(crate) node: NodeFacts,
    pub(crate) objects: BTreeMap<ObjectKey, StoredObject>,
    /// Objects that exist but cannot be read: what was made for them stays as it is.
    pub(crate) unreadable: BTreeSet<ObjectKey>,
    pub(crate) tokens: BTreeMap<ReplicaKey, String>,
    /// Assignments, and what other nodes say.
    pub(crate) cluster: Cluster,
    /// Former definitions that replicas here are, or were, assigned at.
    former: BTreeMap<(ObjectKey, u64), StoredObject>,
    pub(crate) slots: BTreeMap<ReplicaKey, Slot>,
    /// What the replicas of an object wait for at a generation, as long as nothing that tells
    /// changed.
    pub(crate) waits: BTreeMap<(ObjectKey, u64), DependencyState>,
    /// Networks and volumes: there, or why not.
    pub(crate) ready: Ready,
    /// Revision up to which the keyspace is in here.
    pub(crate) loaded: u64,
}

impl Objects for World {
    fn get(&self, key: &ObjectKey) -> Option<&Definition> {
        self.objects.get(key).map(|object| &object.definition)
    }
}

impl Peers for World {
    fn group(&self, group: &str) -> Vec<(ReplicaKey, Option<Sighting>)> {
        let first = ObjectKey::new(Kind::Containers, group, "");
        let of_group = self
            .objects
            .range(first..)
            .take_while(|(key, _)| key.kind == Kind::Containers && key.group == group);
        let mut replicas = Vec::new();
        for (key, object) in of_group {
            let Spec::Containers(spec, _) = &object.definition.spec else { continue };
            let keys: Vec<ReplicaKey> = if is_global(spec) {
                let assigned = self.cluster.assigned(&key.group, &key.name);
                assigned.map(|(replica, _)| replica.clone()).collect()
            } else {
                let index = |index| ReplicaKey::new(&key.group, &key.name, index);
                (1..=spec.replica_count()).map(index).collect()
            };
            replicas.extend(keys.into_iter().map(|key| {
                let sighting = self.sighting(&key);
                (key, sighting)
            }));
        }
        replicas
    }
}

fn is_global(spec: &ContainersSpec) -> bool {
    spec.placement.as_ref().is_some_and(|p| p.strategy == Some(Strategy::Global))
}

impl World {
    /// Reads objects, restart requests and this node's statuses.
    pub(crate) async fn load(control: &Control) -> Result<Self, Error> {
        let mut world = Self {
            node_id: control.node_id(),
            node: NodeFacts { name: control.node_name().to_owned() },
            objects: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            tokens: BTreeMap::new(),
            cluster: Cluster::default(),
            former: BTreeMap::new(),
            slots: BTreeMap::new(),
            waits: BTreeMap::new(),
            ready: Ready::new(),
            loaded: 0,
        };
        world.reload(control).await?;
        world.take_statuses(control).await?;
        Ok(world)
    }

    /// Gives every stored status of this node a slot if it has none, so that those of replicas
    /// that are gone are removed.
    pub(crate) async fn take_statuses(&mut self, control: &Control) -> Result<(), Error> {
        let found = control.store().range(&RangeQuery::prefix(keyspace::STATUSES))?;
        for kv in found.kvs {
            let Some((key, node)) = keyspace::parse_status(&kv.key) else { continue };
            if node != self.node_id || self.slots.contains_key(&key) {
                continue;
            }
            match serde_json::from_slice::<ReplicaStatus>(&kv.value) {
                Ok(status) => {
                    let mut slot = Slot::new(status.clone());
                    slot.reported = Some(status);
                    self.slots.insert(key, slot);
                }
                Err(error) => tracing::error!(key = %kv.key, %error, "a status cannot be read"),
            }
        }
        Ok(())
    }

    /// Reads everything but statuses of this node anew, for example after a watch fell behind.
    /// What is known is never replaced by something older.
    pub(crate) async fn reload(&mut self, control: &Control) -> Result<(), Error> {
        let Loaded { revision, objects, unreadable } = control.objects().await?;
        if revision < self.loaded {
            tracing::error!(revision, known = self.loaded, "the keyspace went back; not followed");
            return Ok(());
        }
        // Of the same revision: what is newer would be told of again by the watch, behind what is
        // older.
        let tokens = RangeQuery::prefix(keyspace::RESTARTS).at(revision);
        let tokens = control.store().range(&tokens)?;
        self.cluster = Cluster::load(control, self.node_id, revision)?;
        self.loaded = revision;
        self.waits.clear();
        self.former.clear();
        self.objects = objects.into_iter().map(|object| (object.key(), object)).collect();
        self.unreadable = unreadable.into_iter().collect();
        let token = |kv: KeyValue| {
            Some((keyspace::parse_restart(&kv.key)?, String::from_utf8(kv.value).ok()?))
        };
        self.tokens = tokens.kvs.into_iter().filter_map(token).collect();
        // Which objects changed in between is not known.
        for slot in self.slots.values_mut() {
            slot.rendering = None;
            if !self.tokens.contains_key(&slot.replica.status.key) {
                slot.replica.status.restart_token.clear();
            }
        }
        Ok(())
    }

    /// Networks and volumes that objects ask for.
    pub(crate) fn desired_infrastructure(&self) -> Desired {
        let definitions = self.objects.values().map(|object| &object.definition);
        Desired::of(definitions, &self.unreadable)
    }

    /// Every replica this node should run, and every one it has.
    pub(crate) fn all_replicas(&self) -> BTreeSet<ReplicaKey> {
        let mut keys: BTreeSet<_> = self.slots.keys().cloned().collect();
        let here = self.cluster.assignments.iter().filter(|(_, a)| a.node == Some(self.node_id));
        keys.extend(here.map(|(key, _)| key.clone()));
        keys
    }

    /// The replicas of `object` this node should run.
    pub(crate) fn replicas_of(&self, object: &ObjectKey) -> Vec<ReplicaKey> {
        let assigned = self.cluster.assigned(&object.group, &object.name);
        let here = assigned.filter(|(_, a)| a.node == Some(self.node_id));
        here.map(|(key, _)| key.clone()).collect()
    }

    fn containers(&self, object: &ObjectKey) -> Option<&ContainersSpec> {
        containers(self.objects.get(object)?)
    }

    /// What is known of a replica, wherever it runs.
    fn sighting(&self, key: &ReplicaKey) -> Option<Sighting> {
        let node = self.cluster.assignments.get(key)?.node?;
        if node == self.node_id {
            return self.slots.get(key).map(|slot| Sighting::of(&slot.replica.status));
        }
        self.cluster.sighting(key, node)
    }

    /// The replicas that have to be looked at because `object` changed.
    pub(crate) fn affected_by(&self, object: &ObjectKey) -> BTreeSet<ReplicaKey> {
        let mut keys = BTreeSet::new();
        if object.kind == Kind::Containers {
            keys.extend(self.replicas_of(object));
            keys.extend(self.dependents_of(&object.group));
        }
        for (key, slot) in &self.slots {
            let of_object = key.object() == *object;
            if of_object || slot.rendering.as_ref().is_some_and(|r| r.used.contains(object)) {
                keys.insert(key.clone());
            }
        }
        keys
    }

    /// The replicas that wait for something in `group`. Others ask when they come to it.
    pub(crate) fn dependents_of(&self, group: &str) -> Vec<ReplicaKey> {
        let waits = |slot: &Slot| {
            matches!(
                slot.replica.status.state,
                ReplicaState::DependsChecking | ReplicaState::DependsFailed
            )
        };
        self.slots
            .iter()
            .filter(|(_, slot)| waits(slot) && slot.depends.contains(group))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Forgets rendered forms that were made from `object`.
    pub(crate) fn forget_renderings(&mut self, object: &ObjectKey) {
        for slot in self.slots.values_mut() {
            if slot.rendering.as_ref().is_some_and(|r| r.used.contains(object)) {
                slot.rendering = None;
                slot.replica.try_again();
            }
        }
    }

    /// The slot of a replica, made if there is none. Tells whether it was made.
    pub(crate) fn slot(&mut self, key: &ReplicaKey, now: Timestamp) -> (&mut Slot, bool) {
        let fresh = !self.slots.contains_key(key);
        if fresh {
            let mut status = ReplicaStatus::new(key.clone(), &self.node.name, self.node_id, now);
            // Requests from before the replica existed are not for it.
            status.restart_token = self.tokens.get(key).cloned().unwrap_or_default();
            self.slots.insert(key.clone(), Slot::new(status));
        }
        (self.slots.get_mut(key).expect("inserted just now if it was not there"), fresh)
    }

    /// Brings the wish for a replica up to date in its slot, if there is a slot.
    pub(crate) fn refresh_wanted(&mut self, control: &Control, key: &ReplicaKey) {
        let wanted = self.wanted(control, key);
        if let Some(slot) = self.slots.get_mut(key) {
            slot.replica.wanted = wanted;
        }
    }

    /// Whether this node should run the replica, now or later.
    pub(crate) fn is_wanted(&self, key: &ReplicaKey) -> bool {
        let Some(object) = self.objects.get(&key.object()) else { return false };
        let assignment = self.cluster.assignments.get(key);
        assignment.is_some_and(|a| a.node == Some(self.node_id) && a.uid == object.uid)
    }

    /// What is asked of a replica that cannot be decided about: nothing, and to stay.
    fn held(&self, key: &ReplicaKey, reason: Reason) -> Option<Wanted> {
        let status = &self.slots.get(key)?.replica.status;
        Some(Wanted {
            generation: status.generation,
            target: Err(reason),
            transfer: None,
            missing: None,
            order: UpdateOrder::StopFirst,
            restart_token: status.restart_token.clone(),
            dependencies: DependencyState::Solved,
            dependency_names: status.dependencies.clone(),
        })
    }

    /// Reads the definition of a generation, if it is not the present one and not known already.
    fn fetch(&mut self, control: &Control, owner: &ObjectKey, generation: u64) {
        let id = (owner.clone(), generation);
        if self.objects.get(owner).is_some_and(|object| object.generation == generation)
            || self.former.contains_key(&id)
        {
            return;
        }
        let read = || {
            let kv = control.store().get(&keyspace::history(owner, generation))?;
            kv.map(|kv| control.decode_history(&kv)).transpose()
        };
        match read() {
            Ok(Some(object)) => {
                self.former.insert(id, object);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(object = %owner, generation, %error, "a former definition of `{owner}` cannot be read");
            }
        }
    }

    /// The definition of a generation, as far as it is known.
    fn definition(&self, owner: &ObjectKey, uid: &str, generation: u64) -> Option<&StoredObject> {
        let present = self.objects.get(owner).filter(|object| object.generation == generation);
        let found = present.or_else(|| self.former.get(&(owner.clone(), generation)))?;
        (found.uid == uid).then_some(found)
    }

    fn runs_here(&self, key: &ReplicaKey) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.replica.runs())
    }

    fn wanted(&mut self, control: &Control, key: &ReplicaKey) -> Option<Wanted> {
        let owner = key.object();
        if self.unreadable.contains(&owner) {
            return self.held(key, unreadable_object(&owner));
        }
        let spec = self.containers(&owner)?;
        let counts = !is_global(spec) && key.index <= spec.replica_count();
        let uid = self.objects.get(&owner)?.uid.clone();
        let assignment = self.cluster.assignments.get(key).filter(|a| a.uid == uid).cloned();
        let Some(assignment) = assignment else {
            // An object that has just been made, or is from a time before there were assignments.
            let why = || Reason::new("Unassigned", "no node has been chosen for it yet");
            return self.held(key, why()).filter(|_| counts && self.runs_here(key));
        };
        let generation = assignment.generation;
        self.fetch(control, &owner, generation);
        let spec = self.definition(&owner, &uid, generation).and_then(containers);
        let order = || spec.map_or(UpdateOrder::StopFirst, handover_order);
        let others = self.cluster.others(key);
        let runs_here = self.runs_here(key);
        let transfer = match handover(self.node_id, Some(&assignment), runs_here, &others, order) {
            Duty::Leave => return None,
            Duty::Run => None,
            Duty::Wait(node) => {
                let message = format!("waits until {} has stopped it", self.cluster.name(node));
                Some(Reason::new("Transfering", message))
            }
            Duty::Keep(node) => {
                let message = format!("{} takes it over", self.cluster.name(node));
                return self.held(key, Reason::new("Transfering", message));
            }
        };
        let known = spec.map(|spec| (spec.dependencies.clone(), replacement_order(spec)));
        let Some((depends, order)) = known else {
            let message = format!("the definition of generation {generation} is not known");
            return self.held(key, Reason::new("UnknownGeneration", message));
        };
        let target = self.target(control, key, &uid, generation)?;
        let waits = self.dependency_state(key, &depends, generation);
        if let Some(slot) = self.slots.get_mut(key) {
            slot.depends = depends.iter().map(|d| d.group.clone()).collect();
        }
        Some(Wanted {
            generation,
            transfer,
            missing: target.as_ref().ok().and_then(|target| self.missing(target)),
            target,
            order,
            restart_token: self.tokens.get(key).cloned().unwrap_or_default(),
            dependencies: waits,
            dependency_names: depends.iter().map(|d| format!("{}.{}", d.group, d.name)).collect(),
        })
    }

    /// What the replica waits for: the same for all replicas of the object at a generation, since
    /// none waits for its own kind.
    fn dependency_state(
        &mut self,
        key: &ReplicaKey,
        depends: &[Dependency],
        generation: u64,
    ) -> DependencyState {
        if depends.is_empty() {
            return DependencyState::Solved;
        }
        let id = (key.object(), generation);
        if let Some(known) = self.waits.get(&id) {
            return known.clone();
        }
        let found = dependencies(key, depends, self);
        self.waits.insert(id, found.clone());
        found
    }

    /// The rendered form: kept as long as nothing it was made from changed.
    fn target(
        &mut self,
        control: &Control,
        key: &ReplicaKey,
        uid: &str,
        generation: u64,
    ) -> Option<Result<Arc<Target>, Reason>> {
        let kept = self.slots.get(key).and_then(|slot| slot.rendering.as_ref());
        if let Some(kept) = kept
            && kept.uid == uid
            && kept.generation == generation
        {
            return Some(kept.target.clone());
        }
        let object = self.definition(&key.object(), uid, generation)?;
        let (rendered, used) = render(key, &object.definition, self, &self.node, object.updated);
        // What was rendered as if it did not exist, such as a volume, would be another container.
        let rendered = match used.iter().find(|key| self.unreadable.contains(key)) {
            Some(unreadable) => Err(unreadable_object(unreadable)),
            None => rendered,
        };
        let target = rendered.map(|rendered| {
            let (main_hash, init_hash) = digests(control, &rendered);
            Arc::new(Target { rendered, main_hash, init_hash })
        });
        if let Some(slot) = self.slots.get_mut(key) {
            if let Ok(target) = &target {
                slot.replica.last_stop_timeout = Some(target.rendered.stop_timeout);
            }
            // Credentials and pull policy are in no digest of a container, but may be what was corrected.
            if slot.rendering.is_some() {
                slot.replica.try_again();
            }
            let uid = uid.to_owned();
            slot.rendering = Some(Rendering { uid, generation, used, target: target.clone() });
        }
        Some(target)
    }

    /// Drops former definitions of an object that was removed or made anew.
    pub(crate) fn forget_former(&mut self, object: &ObjectKey) {
        let uid = self.objects.get(object).map(|object| object.uid.as_str());
        self.former.retain(|(key, _), former| key != object || Some(former.uid.as_str()) == uid);
    }

    /// Why a needed network or volume is not there, if so.
    fn missing(&self, target: &Target) -> Option<Reason> {
        target.rendered.needs.iter().find_map(|object| match self.ready.get(object) {
            Some(Ok(())) => None,
            Some(Err(why)) => {
                Some(Reason::new("MissingObject", format!("`{object}` cannot be made: {why}")))
            }
            None => Some(Reason::new("MissingObject", format!("`{object}` is being made"))),
        })
    }
}

fn containers(object: &StoredObject) -> Option<&ContainersSpec> {
    match &object.definition.spec {
        Spec::Containers(spec, _) => Some(spec),
        _ => None,
    }
}

fn unreadable_object(key: &ObjectKey) -> Reason {
    Reason::new("UnreadableObject", format!("the stored object `{key}` cannot be read"))
}

/// Digests of the main and the init container. A main container is also what ran before it: another
/// init container is another one.
fn digests(control: &Control, rendered: &Rendered) -> (String, String) {
    let Some(init) = &rendered.init else {
        return (control.fingerprint(&rendered.main), String::new());
    };
    let init_hash = control.fingerprint(init);
    let mut main = rendered.main.clone();
    main.labels.insert("init container".to_owned(), init_hash.clone());
    (control.fingerprint(&main), init_hash)
}

impl Slot {
    fn new(status: ReplicaStatus) -> Self {
        Self {
            replica: Replica {
                wanted: None,
                main: None,
                init: None,
                previous: None,
                status,
                memory: Memory::default(),
                busy: None,
                engine_down: None,
                last_stop_timeout: None,
            },
            rendering: None,
            cancel: None,
            wake_at: None,
            reported: None,
            touched: 0,
            depends: BTreeSet::new(),
        }
    }
}
