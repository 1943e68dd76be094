//! Nodes, assignments and rollouts as they are stored in the keyspace and shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::Reason;

/// Which node runs a replica, and which definition of it. Written by the leader alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Id of the node; `None` while no node is fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Uid of the object it is for.
    pub uid: String,
    /// Generation of the definition the replica runs.
    pub generation: u64,
    /// Why it has no node, with counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// When it was decided.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Whether a node answers.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It answers.
    #[default]
    Ready,
    /// It was silent for longer than allowed, and a second node could not reach it either.
    Down,
}

/// The leader's verdict on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeHealth {
    /// Whether it answers.
    pub state: Health,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// What the verdict rests on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What may be placed on a node.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// New replicas may come.
    #[default]
    Active,
    /// What is there stays, nothing new comes.
    Pause,
    /// What is there goes elsewhere, nothing new comes.
    Drain,
}

impl Availability {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

/// What a node may become.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// It may be given a vote.
    #[default]
    Voter,
    /// It never votes.
    Worker,
}

impl NodeRole {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Worker => "worker",
        }
    }
}

/// A member of the cluster, from the day it joined to the day it is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Id, small, stable, never used again.
    pub id: u64,
    /// Name, unique in the cluster.
    pub name: String,
    /// Where other nodes reach it: `host:9212`.
    pub peer: String,
    /// Where its control API is reached: `https://host:1443`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api: String,
    /// What it may become.
    #[serde(default)]
    pub role: NodeRole,
    /// SHA-256 of its public key, hex: another key is another machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key_id: String,
    /// How often its data directory was opened. An older count is a copy.
    #[serde(default)]
    pub epoch: u64,
    /// When it joined.
    #[schemars(with = "String")]
    pub joined: Timestamp,
}

/// What administrators say about a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSettings {
    /// What may be placed on it.
    pub availability: Availability,
    /// Labels that are added to, or win over, those of its configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Replicas are being changed.
    #[default]
    Updating,
    /// The canary replicas are changed; `promote` goes on.
    Canary,
    /// Stopped by a person or by failures; `resume` goes on.
    Paused,
    /// Changed replicas go back to the definition from before.
    RollingBack,
    /// Every replica has the new definition.
    Completed,
    /// Every replica has the definition from before again.
    RolledBack,
}

impl RolloutState {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Updating => "updating",
            Self::Canary => "canary",
            Self::Paused => "paused",
            Self::RollingBack => "rolling_back",
            Self::Completed => "completed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether nothing more is going to happen by itself or by `resume`.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack)
    }
}

/// A change of a definition on its way to the replicas. Written by the leader, paused and resumed by
/// users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Uid of the object.
    pub uid: String,
    /// Generation replicas had before.
    pub from: u64,
    /// Generation replicas get.
    pub to: u64,
    /// How far it is.
    pub state: RolloutState,
    /// What to say about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The canary replicas were found good: go on to all.
    #[serde(default)]
    pub promoted: bool,
    /// Indexes that were changed by it, with the time of the change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<u32, String>")]
    pub changed: BTreeMap<u32, Timestamp>,
    /// Indexes that failed after the change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<u32>,
    /// When it began.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When its state changed last.
    #[schemars(with = "String")]
    pub since: Timestamp,
}
