//! Replicas: statuses, logs, restarts, images.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smr_model::{Event, ImageState, ReplicaStatus};

/// Which replicas to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReplicaQuery {
    /// Only this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only replicas of this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Replica statuses at one revision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaList {
    /// Revision of the keyspace the list is of.
    pub revision: u64,
    /// Whether it was answered from the node's own copy, which may be behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Statuses in natural order.
    pub items: Vec<ReplicaStatus>,
}

/// Everything known about one replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaDetail {
    /// Its status.
    pub status: ReplicaStatus,
    /// The definition of its object, confidential values masked.
    pub definition: Value,
    /// Its last events, newest last.
    pub events: Vec<Event>,
}

/// Which part of a log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LogQuery {
    /// `main` (default) or `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Go on with what is written from now on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// Only the last lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// Only what was written after this time: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// A time stamp before each line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub timestamps: bool,
}

/// Replicas that will restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestartResponse {
    /// Revision after the request was stored.
    pub revision: u64,
    /// Generated names.
    pub replicas: Vec<String>,
}

/// An image some replica uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// `containers/<group>/<generated name>`.
    pub container: String,
    /// Reference with tag or digest.
    pub image: String,
    /// Its state on the replica's node.
    pub state: ImageState,
}

/// Images of replicas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageList {
    /// Revision of the keyspace the list is of.
    #[serde(default)]
    pub revision: u64,
    /// Whether it was answered from the node's own copy, which may be behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// One entry per replica.
    pub items: Vec<Image>,
}
