//! What the agent knows of the rest of the cluster: who is to run what, who is down, and how far
//! replicas on other nodes are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};
use smr_control::{Control, Error, keyspace};
use smr_model::{Assignment, EngineState, Health, NodeHealth, ReplicaKey, ReplicaState};
use smr_reconcile::{OtherNode, Sighting, has_container};
use smr_store::{Event, EventKind, KeyRange, KeyValue, RangeQuery};

/// The part of a status that is of interest to other nodes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Brief {
    state: ReplicaState,
    ready: bool,
    generation: u64,
    #[serde(default)]
    engine_state: Option<EngineState>,
    #[serde(default)]
    container_id: String,
}

/// The part of a member or node record that is of interest here.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The rest of the cluster.
#[derive(Default)]
pub(crate) struct Cluster {
    me: u64,
    /// Every assignment, of whatever node.
    pub(crate) assignments: BTreeMap<ReplicaKey, Assignment>,
    /// What other nodes say of replicas.
    sightings: BTreeMap<ReplicaKey, BTreeMap<u64, Sighting>>,
    down: BTreeSet<u64>,
    names: BTreeMap<u64, String>,
}

/// What a change of the keyspace means to this node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Nothing,
    /// Another node, or another generation.
    Assigned(ReplicaKey),
    /// Another node says something new; whether dependents have to hear of it.
    Sighted(ReplicaKey, bool),
    /// A node went down or came back: whatever it says of these replicas counts otherwise now.
    Node(Vec<ReplicaKey>),
}

/// The keys an agent follows: everything between the first and the last prefix it needs. What else
/// lies there changes rarely.
pub(crate) fn followed() -> KeyRange {
    let after = format!("{}0", keyspace::STATUSES.trim_end_matches('/'));
    KeyRange::Range { start: keyspace::HEALTH.to_owned(), end: after }
}

impl Cluster {
    /// Reads everything as it was at `revision`.
    pub(crate) fn load(control: &Control, me: u64, revision: u64) -> Result<Self, Error> {
        let mut cluster = Self { me, ..Self::default() };
        let prefixes = [
            keyspace::ASSIGNMENTS,
            keyspace::STATUSES,
            keyspace::HEALTH,
            keyspace::MEMBERS,
            keyspace::NODES,
        ];
        for prefix in prefixes {
            let found = control.store().range(&RangeQuery::prefix(prefix).at(revision))?;
            for kv in found.kvs {
                cluster.put(&kv);
            }
        }
        Ok(cluster)
    }

    /// Takes in one change.
    pub(crate) fn take(&mut self, event: &Event) -> Change {
        match event.kind {
            EventKind::Put => self.put(&event.kv),
            EventKind::Delete => self.delete(&event.kv.key),
        }
    }

    fn put(&mut self, kv: &KeyValue) -> Change {
        if let Some((replica, node)) = keyspace::parse_status(&kv.key) {
            // What this node says it has not to be told.
            if node == self.me {
                return Change::Nothing;
            }
            let Some(brief) = read::<Brief>(kv) else { return Change::Nothing };
            let Brief { state, ready, generation, engine_state, container_id } = brief;
            let container = has_container(state, engine_state, &container_id);
            let sighting = Sighting { state, ready, generation, container };
            let of_replica = self.sightings.entry(replica.clone()).or_default();
            let before = of_replica.insert(node, sighting);
            if before == Some(sighting) {
                return Change::Nothing;
            }
            let told = before.map(|s| telling((s.ready, s.state)));
            return Change::Sighted(replica, told != Some(telling((ready, state))));
        }
        if let Some(replica) = keyspace::parse_assignment(&kv.key) {
            let Some(assignment) = read(kv) else { return Change::Nothing };
            self.assignments.insert(replica.clone(), assignment);
            return Change::Assigned(replica);
        }
        if let Some(node) = keyspace::parse_id(keyspace::HEALTH, &kv.key) {
            let Some(health) = read::<NodeHealth>(kv) else { return Change::Nothing };
            let changed = match health.state {
                Health::Down => self.down.insert(node),
                Health::Ready => self.down.remove(&node),
            };
            return if changed { self.on(node) } else { Change::Nothing };
        }
        if let Some(node) = name_of(&kv.key)
            && let Some(Named { name }) = read(kv)
        {
            self.names.insert(node, name);
        }
        Change::Nothing
    }

    fn delete(&mut self, key: &str) -> Change {
        if let Some((replica, node)) = keyspace::parse_status(key) {
            let Some(of_replica) = self.sightings.get_mut(&replica) else { return Change::Nothing };
            if of_replica.remove(&node).is_none() {
                return Change::Nothing;
            }
            if of_replica.is_empty() {
                self.sightings.remove(&replica);
            }
            return Change::Sighted(replica, true);
        }
        if let Some(replica) = keyspace::parse_assignment(key) {
            self.assignments.remove(&replica);
            return Change::Assigned(replica);
        }
        if let Some(node) = keyspace::parse_id(keyspace::HEALTH, key)
            && self.down.remove(&node)
        {
            return self.on(node);
        }
        Change::Nothing
    }

    /// The replicas `node` says something of.
    fn on(&self, node: u64) -> Change {
        let seen = self.sightings.iter().filter(|(_, by)| by.contains_key(&node));
        Change::Node(seen.map(|(replica, _)| replica.clone()).collect())
    }

    /// What other nodes say of a replica.
    pub(crate) fn others(&self, replica: &ReplicaKey) -> Vec<OtherNode> {
        let Some(of_replica) = self.sightings.get(replica) else { return Vec::new() };
        let other =
            |(&node, &sighting)| OtherNode { node, down: self.down.contains(&node), sighting };
        of_replica.iter().map(other).collect()
    }

    /// What that node says of a replica.
    pub(crate) fn sighting(&self, replica: &ReplicaKey, node: u64) -> Option<Sighting> {
        self.sightings.get(replica)?.get(&node).copied()
    }

    /// The indexes of an object's replicas that have an assignment.
    pub(crate) fn assigned(
        &self,
        group: &str,
        name: &str,
    ) -> impl Iterator<Item = (&ReplicaKey, &Assignment)> {
        let range = ReplicaKey::new(group, name, 0)..=ReplicaKey::new(group, name, u32::MAX);
        self.assignments.range(range)
    }

    /// The node as messages name it.
    pub(crate) fn name(&self, node: u64) -> String {
        match self.names.get(&node) {
            Some(name) => format!("node `{name}`"),
            None => format!("node {node}"),
        }
    }
}

/// As much of a replica's state as matters to those that depend on it: the steps on its way up do
/// not.
pub(crate) fn telling((ready, state): (bool, ReplicaState)) -> (bool, Option<ReplicaState>) {
    let told = state.is_trouble() || state.is_done() || state == ReplicaState::Pending;
    (ready, told.then_some(state))
}

fn name_of(key: &str) -> Option<u64> {
    keyspace::parse_node(key).or_else(|| keyspace::parse_id(keyspace::MEMBERS, key))
}

fn read<T: DeserializeOwned>(kv: &KeyValue) -> Option<T> {
    serde_json::from_slice(&kv.value)
        .inspect_err(|error| tracing::error!(key = %kv.key, %error, "cannot be read"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_needed_is_followed_and_events_are_not() {
        let KeyRange::Range { start, end } = followed() else { panic!("one range") };
        let inside = |prefix: &str| start.as_str() <= prefix && prefix < end.as_str();
        for prefix in [
            keyspace::OBJECTS,
            keyspace::STATUSES,
            keyspace::RESTARTS,
            keyspace::ASSIGNMENTS,
            keyspace::HEALTH,
            keyspace::MEMBERS,
            keyspace::NODES,
        ] {
            assert!(inside(prefix), "{prefix}");
        }
        let status = keyspace::status(&ReplicaKey::new("zz", "zz", 9), 9);
        assert!(inside(&status));
        assert!(!inside(keyspace::EVENTS) && !inside(keyspace::CERTIFICATES));
    }
}
