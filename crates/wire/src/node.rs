//! Nodes, health, versions, backups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::NodeStatus;

/// Known nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeList {
    /// In order of id.
    pub items: Vec<NodeStatus>,
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
}
