//! Everything the agent knows: objects, restart requests, and one slot for each replica.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use smr_control::{Control, Error, Loaded, StoredObject, keyspace};
use smr_model::{
    Definition, Kind, ObjectKey, Reason, ReplicaKey, ReplicaStatus, Spec, spec::ContainersSpec,
};
use smr_reconcile::{
    DependencyState, Memory, NodeFacts, Objects, Peers, Rendered, Replica, Target, Wanted,
    dependencies, local_indexes, render,
};
use smr_store::{KeyValue, RangeQuery};
use tokio_util::sync::CancellationToken;

use crate::infrastructure::{Desired, Ready};

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
    pub(crate) slots: BTreeMap<ReplicaKey, Slot>,
    /// What the replicas of an object wait for, as long as nothing that tells changed.
    pub(crate) waits: BTreeMap<ObjectKey, DependencyState>,
    /// Networks and volumes: there, or why not.
    pub(crate) ready: Ready,
    /// Revision at which objects and tokens were read; what watches tell is newer.
    pub(crate) loaded: u64,
}

impl Objects for World {
    fn get(&self, key: &ObjectKey) -> Option<&Definition> {
        self.objects.get(key).map(|object| &object.definition)
    }
}

impl Peers for World {
    fn group(&self, group: &str) -> Vec<(ReplicaKey, Option<&ReplicaStatus>)> {
        let first = ObjectKey::new(Kind::Containers, group, "");
        let of_group = self
            .objects
            .range(first..)
            .take_while(|(key, _)| key.kind == Kind::Containers && key.group == group);
        let mut replicas = Vec::new();
        for (key, object) in of_group {
            let Spec::Containers(spec, _) = &object.definition.spec else { continue };
            for index in 1..=spec.replica_count() {
                let key = ReplicaKey::new(&key.group, &key.name, index);
                let status = self.slots.get(&key).map(|slot| &slot.replica.status);
                replicas.push((key, status));
            }
        }
        replicas
    }
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
        let (_, statuses) = control.statuses().await?;
        for status in statuses.into_iter().filter(|s| s.node_id == self.node_id) {
            self.slots.entry(status.key.clone()).or_insert_with(|| {
                let mut slot = Slot::new(status.clone());
                slot.reported = Some(status);
                slot
            });
        }
        Ok(())
    }

    /// Reads objects and restart requests anew, for example after a watch fell behind.
    pub(crate) async fn reload(&mut self, control: &Control) -> Result<(), Error> {
        let Loaded { revision, objects, unreadable } = control.objects().await?;
        // Of the same revision: a token that is newer would be told of again by the watch, behind
        // an older one.
        let tokens = RangeQuery::prefix(keyspace::RESTARTS).at(revision);
        let tokens = control.store().range(&tokens)?;
        self.loaded = revision;
        self.waits.clear();
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
        for key in self.objects.keys().filter(|key| key.kind == Kind::Containers) {
            keys.extend(self.replicas_of(key));
        }
        keys
    }

    /// The replicas of `object` this node should run.
    pub(crate) fn replicas_of(&self, object: &ObjectKey) -> Vec<ReplicaKey> {
        let Some(spec) = self.containers(object) else { return Vec::new() };
        local_indexes(spec, self.node_id, &[self.node_id], self.node_id)
            .into_iter()
            .map(|index| ReplicaKey::new(&object.group, &object.name, index))
            .collect()
    }

    fn containers(&self, object: &ObjectKey) -> Option<&ContainersSpec> {
        match &self.objects.get(object)?.definition.spec {
            Spec::Containers(spec, _) => Some(spec),
            _ => None,
        }
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

    /// The replicas that depend on something in `group`.
    pub(crate) fn dependents_of(&self, group: &str) -> Vec<ReplicaKey> {
        self.slots
            .iter()
            .filter(|(key, _)| {
                self.containers(&key.object())
                    .is_some_and(|spec| spec.dependencies.iter().any(|d| d.group == group))
            })
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

    /// Whether this node should run the replica.
    pub(crate) fn is_wanted(&self, key: &ReplicaKey) -> bool {
        self.containers(&key.object()).is_some_and(|spec| {
            local_indexes(spec, self.node_id, &[self.node_id], self.node_id).contains(&key.index)
        })
    }

    /// What is asked of a replica whose object cannot be read: nothing, and to stay.
    fn held(&self, key: &ReplicaKey) -> Option<Wanted> {
        let status = &self.slots.get(key)?.replica.status;
        Some(Wanted {
            generation: status.generation,
            target: Err(unreadable_object(&key.object())),
            missing: None,
            restart_token: status.restart_token.clone(),
            dependencies: DependencyState::Solved,
            dependency_names: status.dependencies.clone(),
        })
    }

    fn wanted(&mut self, control: &Control, key: &ReplicaKey) -> Option<Wanted> {
        if self.unreadable.contains(&key.object()) {
            return self.held(key);
        }
        if !self.is_wanted(key) {
            return None;
        }
        let target = self.target(control, key)?;
        let owner = key.object();
        let object = self.objects.get(&owner)?;
        let Spec::Containers(spec, _) = &object.definition.spec else { return None };
        let waits = match self.waits.get(&owner) {
            _ if spec.dependencies.is_empty() => DependencyState::Solved,
            Some(known) => known.clone(),
            // The same for all replicas of the object, since none waits for its own kind.
            None => {
                let found = dependencies(key, &spec.dependencies, self);
                self.waits.insert(owner.clone(), found.clone());
                found
            }
        };
        let object = self.objects.get(&owner)?;
        let Spec::Containers(spec, _) = &object.definition.spec else { return None };
        Some(Wanted {
            generation: object.generation,
            missing: target.as_ref().ok().and_then(|target| self.missing(target)),
            target,
            restart_token: self.tokens.get(key).cloned().unwrap_or_default(),
            dependencies: waits,
            dependency_names: spec
                .dependencies
                .iter()
                .map(|d| format!("{}.{}", d.group, d.name))
                .collect(),
        })
    }

    /// The rendered form: kept as long as nothing it was made from changed.
    fn target(
        &mut self,
        control: &Control,
        key: &ReplicaKey,
    ) -> Option<Result<Arc<Target>, Reason>> {
        let object = self.objects.get(&key.object())?;
        let kept = self.slots.get(key).and_then(|slot| slot.rendering.as_ref());
        if let Some(kept) = kept
            && kept.uid == object.uid
            && kept.generation == object.generation
        {
            return Some(kept.target.clone());
        }
        let (uid, generation) = (object.uid.clone(), object.generation);
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
            slot.rendering = Some(Rendering { uid, generation, used, target: target.clone() });
        }
        Some(target)
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
        }
    }
}
