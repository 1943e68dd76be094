//! Where replicas go, when they move, and how a change reaches them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::GoDuration;

/// Rules for the choice of nodes. Without it, and without `spread`, replicas go to the node that
/// received the apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// How nodes that are fit are ranked; `binpack` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What a node must be, for example `node.labels.zone==eu`, `node.platform.arch!=arm64`,
    /// `node.cpus>4`, `node.hostname==web*`, `node.labels.disk==/ssd|nvme/`. A `~` after the operator
    /// (`==~ssd`) makes it a preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    /// What must, or must not, run on the same node: `containers/shop/db`, `label.tier==cache`,
    /// `!containers/shop/web`. A `~` in front makes it a preference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affinity: Vec<String>,
    /// Node attributes over whose values replicas are spread evenly, for example `node.labels.zone`;
    /// at most 4, from the widest to the narrowest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread_over: Vec<String>,
    /// Most replicas of the object on one node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_node: Option<u32>,
    /// Platforms the image runs on, for example `linux/amd64`; any when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// How nodes that are fit are ranked.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Fill the fullest node first.
    #[default]
    Binpack,
    /// Take the emptiest node first.
    Spread,
    /// One replica on every node that satisfies constraints and platforms; `replicas` does not
    /// count, and the index of a replica is the id of its node.
    Global,
    /// Any fit node, the same one for the same object and index.
    Random,
}

/// When a replica may leave the node it was placed on.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Reschedule {
    /// When the node is lost or drained.
    #[default]
    OnNodeFailure,
    /// Also when the node no longer fits, or to even out the load.
    Always,
    /// Only when the definition changes.
    Never,
}

/// How a change reaches the replicas.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdatePolicy {
    /// Replicas changed at the same time; 0 is all of them. 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// Pause between two steps; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<GoDuration>,
    /// Whether the new container starts before the old one stops. `start-first` where the replica
    /// publishes no host port and writes to no volume, `stop-first` otherwise, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<UpdateOrder>,
    /// How long a changed replica must stay ready before the next one is changed. When absent, the next
    /// one follows at once, and all are watched for 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<GoDuration>,
    /// Share of changed replicas that may fail, 0 to 1; 0 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failure_ratio: Option<f64>,
    /// What happens when more fail; `pause` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<FailureAction>,
    /// Change only so many replicas, then wait for `rollout promote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<u32>,
}

/// Which of two containers of a replica runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The old one stops, then the new one starts.
    StopFirst,
    /// The new one becomes ready, then the old one stops.
    StartFirst,
}

/// What happens when a rollout fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailureAction {
    /// It stops and waits for a person.
    Pause,
    /// Changed replicas go back to the definition from before.
    Rollback,
    /// It goes on.
    Continue,
}
