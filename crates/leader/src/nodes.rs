//! What the keyspace says about nodes, kept up to date by the watch of the placement controller.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use smr_control::keyspace;
use smr_model::{Health, Member, NodeHealth, NodeSettings, NodeStatus};
use smr_scheduler::Node;
use smr_store::{KeyValue, Revision};
use smr_wire::ClusterSettings;

use crate::Settings;

/// Everything about nodes, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    /// Whether the keyspace was read.
    pub(crate) is_loaded: bool,
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) removed: BTreeSet<u64>,
    /// Verdicts, with the revision of the record.
    pub(crate) health: BTreeMap<u64, (NodeHealth, Revision)>,
    settings: BTreeMap<u64, NodeSettings>,
    statuses: BTreeMap<u64, NodeStatus>,
    pub(crate) cluster: ClusterSettings,
}

/// What a record was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touched {
    /// This node.
    Node(u64),
    /// The settings of the cluster.
    Settings,
}

impl Nodes {
    /// Takes in a record that was written, or removed when `value` is `None`; `None` when it is not
    /// about nodes.
    pub(crate) fn take(&mut self, key: &str, kv: Option<&KeyValue>) -> Option<Touched> {
        if key == keyspace::CLUSTER_SETTINGS {
            self.cluster = kv.and_then(parse).unwrap_or_default();
            return Some(Touched::Settings);
        }
        let id = |prefix: &str| keyspace::parse_id(prefix, key);
        if let Some(id) = id(keyspace::MEMBERS) {
            put(&mut self.members, id, kv);
            return Some(Touched::Node(id));
        }
        if let Some(id) = id(keyspace::HEALTH) {
            match kv.and_then(|kv| Some((parse(kv)?, kv.mod_revision))) {
                Some(health) => self.health.insert(id, health),
                None => self.health.remove(&id),
            };
            return Some(Touched::Node(id));
        }
        if let Some(id) = id(keyspace::NODE_SETTINGS) {
            put(&mut self.settings, id, kv);
            return Some(Touched::Node(id));
        }
        if let Some(id) = id(keyspace::NODES) {
            put(&mut self.statuses, id, kv);
            return Some(Touched::Node(id));
        }
        let id = id(keyspace::REMOVED)?;
        if kv.is_some() {
            self.removed.insert(id)
        } else {
            self.removed.remove(&id)
        };
        Some(Touched::Node(id))
    }

    /// The node for the scheduler; `None` when it is no member.
    pub(crate) fn node(&self, id: u64) -> Option<Node> {
        let member = self.members.get(&id).filter(|_| !self.removed.contains(&id))?;
        let health = self.health.get(&id).map(|(health, _)| health);
        Some(Node::from_records(member, self.statuses.get(&id), self.settings.get(&id), health))
    }

    /// Whether the verdict on a node is that it is down.
    pub(crate) fn is_down(&self, id: u64) -> bool {
        self.health.get(&id).is_some_and(|(health, _)| health.state == Health::Down)
    }

    /// Whether a replica on this node can be heard of.
    pub(crate) fn is_reachable(&self, id: u64) -> bool {
        self.members.contains_key(&id) && !self.removed.contains(&id) && !self.is_down(id)
    }

    /// The member for which objects of old count as applied.
    pub(crate) fn first(&self) -> u64 {
        self.members.keys().next().copied().unwrap_or(1)
    }

    /// What verdicts and votes rest on: the settings of the cluster over those given.
    pub(crate) fn membership(&self, settings: &Settings) -> smr_membership::Settings {
        let mut membership = settings.membership.clone();
        membership.voters = self.cluster.voters as usize;
        if let Some(millis) = self.cluster.down_after_millis {
            membership.down_after = std::time::Duration::from_millis(millis);
        }
        membership
    }
}

fn put<T: DeserializeOwned>(map: &mut BTreeMap<u64, T>, id: u64, kv: Option<&KeyValue>) {
    match kv.map(|kv| parse(kv)) {
        Some(Some(value)) => drop(map.insert(id, value)),
        // What cannot be read stays as it was last known.
        Some(None) => {}
        None => drop(map.remove(&id)),
    }
}

/// Reads a record; one that cannot be read is logged.
pub(crate) fn parse<T: DeserializeOwned>(kv: &KeyValue) -> Option<T> {
    serde_json::from_slice(&kv.value)
        .inspect_err(|error| tracing::error!(key = %kv.key, %error, "record cannot be read"))
        .ok()
}
