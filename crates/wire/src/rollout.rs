//! Rollouts: how far a change of a definition is, and which definitions there were.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::{ObjectKey, ReplicaState, Rollout};

/// How a change reaches the replicas of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// Revision of the keyspace this is of.
    pub revision: u64,
    /// Whether it was answered from the node's own copy, which may be behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// The object.
    pub key: ObjectKey,
    /// Generation of the stored definition.
    pub generation: u64,
    /// The rollout under way, or the last one; absent when there was none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The replicas, in order of their index.
    pub replicas: Vec<RolloutReplica>,
    /// Definitions that are kept, newest first.
    pub history: Vec<HistoryEntry>,
}

/// One replica in a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutReplica {
    /// Generated name.
    pub name: String,
    /// Index of the replica, from 1.
    pub index: u32,
    /// Name of the node it is assigned to; empty when none is fit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Generation it is to run.
    pub wanted: u64,
    /// Generation its node says it runs; 0 before the node said anything.
    pub generation: u64,
    /// Its lifecycle state.
    pub state: ReplicaState,
    /// Whether it is ready.
    pub ready: bool,
}

/// One kept definition of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its generation: what `undo --to` takes.
    pub generation: u64,
    /// When it was applied.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Who applied it; empty when that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// What it changed: paths of fields; empty for the oldest that is kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether it is the definition the object has now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub current: bool,
}

/// What to do about a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RolloutAction {
    /// Change no further replica.
    Pause,
    /// Go on.
    Resume,
    /// The canary replicas are good: change all.
    Promote,
    /// Go back to a former definition.
    Undo,
}

impl RolloutAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Promote, Self::Undo];

    /// The text form, as paths have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Undo => "undo",
        }
    }
}

/// Where to go back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RolloutQuery {
    /// Generation to go back to (`undo`); the one before the present one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// What an action on a rollout did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutResponse {
    /// Revision after it.
    pub revision: u64,
    /// Generation of the stored definition after it; `undo` makes a new one.
    pub generation: u64,
    /// The rollout after it; absent after `undo`, which begins a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}
