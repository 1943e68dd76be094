//! Streams: events and watches, one JSON document per line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::{Event, ObjectKey, ReplicaStatus};

use crate::{ApiError, Object};

/// Which events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventQuery {
    /// Only events at or after this revision; without it, all that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Go on with what happens from now on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// Leave out the past: only what happens from now on (with `follow`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
    /// Only of this object or replica: `kind/group/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Only the last so many of the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Past events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventList {
    /// Revision of the keyspace the list is of; follow from `revision + 1`.
    pub revision: u64,
    /// Oldest first.
    pub items: Vec<Event>,
}

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WatchQuery {
    /// First revision wanted; without it, the present state comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// `objects`, `replicas` or `all` (default).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Only this kind of object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Whether something is there or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WatchKind {
    /// It is there, in this form.
    Put,
    /// It is gone.
    Delete,
    /// Everything that was there when the stream began has been sent.
    Synced,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchKind,
    /// Revision at which it happened.
    pub revision: u64,
    /// The object; for a replica, the object of its generated name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ObjectKey>,
    /// The object's new form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// The replica's new status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaStatus>,
}

/// One line of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamItem {
    /// Something happened (event streams).
    Event(Event),
    /// Something changed (watch streams).
    Watch(Box<WatchEvent>),
    /// Nothing happened for a while; the stream is alive. Carries the current revision.
    Progress(u64),
    /// The stream ends here, because of this.
    Error(ApiError),
}
