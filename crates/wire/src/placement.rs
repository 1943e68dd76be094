//! Placement: why replicas are where they are, and where they would go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::{ObjectKey, Reason};

use crate::Warning;

/// Why the replicas of an object are, or are not, on each node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementExplanation {
    /// Revision of the keyspace this is of.
    pub revision: u64,
    /// Whether it was answered from the node's own copy, which may be behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// The object.
    pub key: ObjectKey,
    /// Where its replicas are; only the one that was asked for, if one was.
    pub replicas: Vec<PlacedReplica>,
    /// Generated name of the replica the rest is about: the one that was asked for, or the first one
    /// in trouble, or the first one.
    pub about: String,
    /// What decides, in words: `strategy binpack`.
    pub rule: String,
    /// Every node, the best first, then those that refuse it.
    pub nodes: Vec<NodeVerdict>,
}

/// A replica and its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacedReplica {
    /// Generated name.
    pub name: String,
    /// Id of its node; absent when none is fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// Name of its node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Why it has no node, or waits for the one it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Whether a replica of an object may be on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeVerdict {
    /// Id of the node.
    pub id: u64,
    /// Name of the node.
    pub name: String,
    /// Whether the replica is on it or goes to it.
    pub chosen: bool,
    /// Whether no filter refuses it.
    pub fits: bool,
    /// Replicas of the object that are there now.
    pub replicas: u32,
    /// Every filter that refuses, with the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<FilterRefusal>,
    /// What it is ranked by when it fits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub score: String,
}

/// A filter that refuses a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilterRefusal {
    /// Name of the filter: `constraint`, `memory`, `port`, ...
    pub filter: String,
    /// What is asked for and what there is.
    pub message: String,
}

/// What would happen to one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlanAction {
    /// It would be made.
    Create,
    /// It would stay where it is.
    Keep,
    /// It would stay where it is and be changed.
    Change,
    /// It would go to another node.
    Move,
    /// It would go.
    Remove,
}

/// What would happen to one replica, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedReplica {
    /// The object.
    pub key: ObjectKey,
    /// Generated name.
    pub name: String,
    /// What would happen to it.
    pub action: PlanAction,
    /// Id of the node it would be on; absent when none is fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// Name of the node it would be on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Name of the node it is on now, if it is on one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Why it would have no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Where the replicas of definitions would go. Nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementPlan {
    /// Revision of the keyspace it was made on.
    pub revision: u64,
    /// Whether that was the node's own copy, which may be behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// The replicas of the definitions, and all others that would move.
    pub replicas: Vec<PlannedReplica>,
    /// Suspicious things in the documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}
