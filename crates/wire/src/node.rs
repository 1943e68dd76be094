//! Nodes, health, versions, backups.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::{Availability, Member, NodeHealth, NodeRole, NodeStatus};

/// Known nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeList {
    /// In order of id.
    pub items: Vec<NodeView>,
}

/// What a node has in consensus.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RaftRole {
    /// It has a vote.
    Voter,
    /// It has a full copy and no vote.
    Learner,
}

impl RaftRole {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
        }
    }
}

/// Everything known of a node: what it says of itself, what the cluster says of it, what is placed
/// on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// What it says of itself. A member that has not started yet has said nothing: its version is
    /// empty.
    #[serde(flatten)]
    pub status: NodeStatus,
    /// Its membership; `None` for a node alone that never made a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Member>,
    /// The leader's verdict; `None` until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<NodeHealth>,
    /// What may be placed on it.
    #[serde(default)]
    pub availability: Availability,
    /// What it has in consensus; `None` while it is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft: Option<RaftRole>,
    /// Whether it leads.
    #[serde(default)]
    pub leader: bool,
    /// Log entries it lacks, as the leader counts them; `None` where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Labels of its configuration (`labels`) with those of administrators, which win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effective_labels: BTreeMap<String, String>,
    /// Replicas assigned to it, and those on it that were moved away and are not gone yet.
    #[serde(default)]
    pub replicas: u64,
    /// Processors these ask for, in thousandths.
    #[serde(default)]
    pub requested_cpu_millis: u64,
    /// Bytes of memory these ask for.
    #[serde(default)]
    pub requested_memory: u64,
}

impl NodeView {
    /// What is known of a node that nobody says more about than itself.
    pub fn new(status: NodeStatus) -> Self {
        let effective_labels = status.labels.clone();
        Self {
            status,
            member: None,
            health: None,
            availability: Availability::Active,
            raft: None,
            leader: false,
            lag: None,
            effective_labels,
            replicas: 0,
            requested_cpu_millis: 0,
            requested_memory: 0,
        }
    }
}

/// A change to a node; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodePatch {
    /// What may be placed on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// Labels to add or replace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Labels of administrators to take away; those of the node's configuration come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_labels: Vec<String>,
    /// Whether it may be given a vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<NodeRole>,
}

/// How a node is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodeRemoveQuery {
    /// Also a node that is ready.
    pub force: bool,
}

/// One part of the node and whether it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// `store`, `engine`, `certificates`, ...
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What is wrong, or a fact.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Whether the node works.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Whether every part works.
    pub ok: bool,
    /// The parts.
    pub checks: Vec<HealthCheck>,
    /// The store.
    pub store: StoreInfo,
}

/// Facts about the replicated store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreInfo {
    /// Current revision.
    pub revision: u64,
    /// Oldest revision kept.
    pub compacted: u64,
    /// Id of the leader, if known.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Index of the last applied log entry.
    pub applied: u64,
}

/// Versions of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// Version of smr, for example `0.1.0`.
    pub version: String,
    /// Name of the node.
    pub node: String,
    /// Engine and version.
    #[serde(default)]
    pub engine: String,
}

/// What a backup file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupInfo {
    /// Revision of the keyspace.
    pub revision: u64,
    /// Number of keys.
    pub keys: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Id of the cluster; empty for a file that does not say.
    #[serde(default)]
    pub cluster: String,
    /// Name of the node it was made on; empty for a file that does not say.
    #[serde(default)]
    pub node: String,
    /// Whether the key to what is sealed is in the file, under a passphrase.
    #[serde(default)]
    pub has_key: bool,
    /// Whether it was proved that nothing was changed since it was made.
    #[serde(default)]
    pub authentic: bool,
}
