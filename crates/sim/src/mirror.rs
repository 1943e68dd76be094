//! What watches brought: the keyspace, read, as agents and the leader's controllers know it.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use smr_model::{
    Assignment, Definition, Health, Member, NodeHealth, NodeSettings, NodeStatus, ObjectKey,
    ReplicaKey, ReplicaStatus, Rollout, Spec, spec::ContainersSpec,
};
use smr_reconcile::Objects;
use smr_scheduler::Node;
use smr_state::{Commit, EventKind, KeyValue, MemoryView, RangeQuery};

use crate::keyspace;

/// An object as it is stored here: what the product's record carries, without sealing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) definition: Rc<Definition>,
    pub(crate) uid: String,
    pub(crate) generation: u64,
    pub(crate) home: u64,
    pub(crate) updated: Timestamp,
    #[serde(skip)]
    pub(crate) revision: u64,
}

impl Object {
    pub(crate) fn spec(&self) -> Option<&ContainersSpec> {
        match &self.definition.spec {
            Spec::Containers(spec, _) => Some(spec),
            _ => None,
        }
    }
}

/// The keyspace, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mirror {
    pub(crate) revision: u64,
    pub(crate) objects: BTreeMap<ObjectKey, Object>,
    pub(crate) former: BTreeMap<(ObjectKey, u64), Object>,
    pub(crate) assignments: BTreeMap<ReplicaKey, (Assignment, u64)>,
    pub(crate) statuses: BTreeMap<ReplicaKey, BTreeMap<u64, (ReplicaStatus, u64)>>,
    pub(crate) rollouts: BTreeMap<ReplicaName, (Rollout, u64)>,
    pub(crate) restarts: BTreeMap<ReplicaKey, String>,
    pub(crate) health: BTreeMap<u64, (NodeHealth, u64)>,
    pub(crate) settings: BTreeMap<u64, (NodeSettings, u64)>,
    pub(crate) members: BTreeMap<u64, (Member, u64)>,
    pub(crate) removed: BTreeSet<u64>,
    pub(crate) node_statuses: BTreeMap<u64, NodeStatus>,
}

/// Group and name of a `containers` object.
pub(crate) type ReplicaName = (String, String);

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touched {
    Object(ObjectKey),
    Replica(ReplicaKey),
    Rollout(ReplicaName),
    /// Everything may look different.
    Nodes,
    Nothing,
}

impl Objects for Mirror {
    fn get(&self, key: &ObjectKey) -> Option<&Definition> {
        self.objects.get(key).map(|it| &*it.definition)
    }
}

impl Mirror {
    /// Reads everything.
    pub(crate) fn load(view: &MemoryView) -> Self {
        let mut mirror = Self::default();
        let Ok(found) = smr_state::range(view, &RangeQuery::prefix("/smr/")) else {
            return mirror;
        };
        for kv in found.kvs {
            mirror.take(&kv.key, Some(&kv));
        }
        mirror.revision = found.revision;
        mirror
    }

    /// Takes in what a watch tells; `sees` says which keys it is told of.
    pub(crate) fn follow(
        &mut self,
        commit: &Commit,
        mut sees: impl FnMut(&str) -> bool,
    ) -> Vec<Touched> {
        self.revision = commit.revision;
        let mut touched = Vec::new();
        for event in &commit.events {
            if sees(&event.kv.key) {
                let kv = (event.kind == EventKind::Put).then_some(&event.kv);
                touched.push(self.take(&event.kv.key, kv));
            }
        }
        touched
    }

    fn take(&mut self, key: &str, kv: Option<&KeyValue>) -> Touched {
        if let Some((replica, node)) = keyspace::parse_status(key) {
            let of_replica = self.statuses.entry(replica.clone()).or_default();
            put(of_replica, node, kv);
            if of_replica.is_empty() {
                self.statuses.remove(&replica);
            }
            return Touched::Replica(replica);
        }
        if let Some(replica) = keyspace::parse_assignment(key) {
            put(&mut self.assignments, replica.clone(), kv);
            return Touched::Replica(replica);
        }
        if let Some(replica) = keyspace::parse_restart(key) {
            match kv {
                Some(kv) => {
                    let token = String::from_utf8_lossy(&kv.value).into_owned();
                    self.restarts.insert(replica.clone(), token);
                }
                None => drop(self.restarts.remove(&replica)),
            }
            return Touched::Replica(replica);
        }
        if let Some(object) = keyspace::parse_object(key) {
            put_object(&mut self.objects, object.clone(), kv);
            return Touched::Object(object);
        }
        if let Some(former) = keyspace::parse_history(key) {
            put_object(&mut self.former, former.clone(), kv);
            return Touched::Object(former.0);
        }
        if let Some(name) = keyspace::parse_rollout(key) {
            put(&mut self.rollouts, name.clone(), kv);
            return Touched::Rollout(name);
        }
        self.take_node(key, kv)
    }

    fn take_node(&mut self, key: &str, kv: Option<&KeyValue>) -> Touched {
        let id = |prefix: &str| keyspace::parse_id(prefix, key);
        if let Some(id) = id(keyspace::HEALTH) {
            put(&mut self.health, id, kv);
        } else if let Some(id) = id(keyspace::NODE_SETTINGS) {
            put(&mut self.settings, id, kv);
        } else if let Some(id) = id(keyspace::MEMBERS) {
            put(&mut self.members, id, kv);
        } else if let Some(id) = id(keyspace::NODES) {
            match kv.and_then(read) {
                Some(status) => drop(self.node_statuses.insert(id, status)),
                None => drop(self.node_statuses.remove(&id)),
            }
        } else if let Some(id) = id(keyspace::REMOVED) {
            self.removed.insert(id);
        } else {
            return Touched::Nothing;
        }
        Touched::Nodes
    }

    /// The node for the scheduler, if it is a member.
    pub(crate) fn node(&self, id: u64) -> Option<Node> {
        let (member, _) = self.members.get(&id).filter(|_| !self.removed.contains(&id))?;
        Some(Node::from_records(
            member,
            self.node_statuses.get(&id),
            self.settings.get(&id).map(|(it, _)| it),
            self.health.get(&id).map(|(it, _)| it),
        ))
    }

    pub(crate) fn is_down(&self, id: u64) -> bool {
        self.health.get(&id).is_some_and(|(it, _)| it.state == Health::Down)
    }

    /// The definition an object had, or has, at a generation.
    pub(crate) fn at(&self, key: &ObjectKey, uid: &str, generation: u64) -> Option<&Object> {
        let present = self.objects.get(key).filter(|it| it.generation == generation);
        let found = present.or_else(|| self.former.get(&(key.clone(), generation)))?;
        (found.uid == uid).then_some(found)
    }
}

fn read<T: DeserializeOwned>(kv: &KeyValue) -> Option<T> {
    serde_json::from_slice(&kv.value).ok()
}

fn put<K: Ord, T: DeserializeOwned>(
    map: &mut BTreeMap<K, (T, u64)>,
    key: K,
    kv: Option<&KeyValue>,
) {
    match kv.and_then(|kv| Some((read(kv)?, kv.mod_revision))) {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn put_object<K: Ord>(map: &mut BTreeMap<K, Object>, key: K, kv: Option<&KeyValue>) {
    match kv.and_then(|kv| Some(Object { revision: kv.mod_revision, ..read(kv)? })) {
        Some(object) => drop(map.insert(key, object)),
        None => drop(map.remove(&key)),
    }
}
