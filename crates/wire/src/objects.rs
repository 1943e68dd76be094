//! Objects: apply, list, get, delete.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smr_model::ObjectKey;

/// An object as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Identity.
    pub key: ObjectKey,
    /// The definition in canonical form; confidential values are `******` unless revealed.
    pub definition: Value,
    /// Counts changes of the definition, from 1.
    pub generation: u64,
    /// Keyspace revision of the last change.
    pub revision: u64,
    /// When it was made.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// When it was last changed.
    #[schemars(with = "String")]
    pub updated: Timestamp,
}

/// Objects at one revision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectList {
    /// Revision of the keyspace the list is of; watch from `revision + 1`.
    pub revision: u64,
    /// Whether it was answered from the node's own copy, which may be behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// The objects, in key order.
    pub items: Vec<Object>,
}

/// How every read may be answered, beside the parameters it has of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReadQuery {
    /// Answer from the node's own copy, which may be behind, without asking the other nodes. It is
    /// the only way to read without quorum.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// Which objects to list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ObjectQuery {
    /// Only this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only this prefix; all prefixes when absent in lists, the default one otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Label selector: `a=b,c!=d,e,!f`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Show confidential values; administrators only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reveal: bool,
    /// Leave the definitions out (`definition` is null): for names only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub names: bool,
}

/// How to apply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ApplyQuery {
    /// Name of the file the body came from, for messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Validate and compare only; nothing is changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Answer when the node has taken the change in: statuses read from then on are those of the
    /// new definitions. Bounded by some seconds; the change is made either way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settle: bool,
}

/// What was done to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApplyAction {
    /// It did not exist.
    Created,
    /// It was changed.
    Updated,
    /// It was the same already; nothing was written.
    Unchanged,
}

/// A change of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    /// `add`, `remove` or `replace`.
    pub op: String,
    /// Path of the field, for example `spec.tag`.
    pub path: String,
    /// Value before, masked if confidential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// Value after, masked if confidential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
}

/// The result for one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyResult {
    /// The object.
    pub key: ObjectKey,
    /// What was done, or would be done.
    pub action: ApplyAction,
    /// Generation after it.
    pub generation: u64,
    /// Changed fields of an update.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
}

/// Something suspicious that did not stop the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Where and what, in one line.
    pub message: String,
}

/// What an apply did. Documents come in the order of the body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyResponse {
    /// Revision after it.
    pub revision: u64,
    /// One result per document.
    pub results: Vec<ApplyResult>,
    /// Suspicious things.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// How to delete.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeleteQuery {
    /// Prefix of the object; the default one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Name of the file the body came from, for messages (`remove` of documents).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a delete did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteResponse {
    /// Revision after it.
    pub revision: u64,
    /// Objects that were deleted.
    pub deleted: Vec<ObjectKey>,
    /// Objects of the request that did not exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<ObjectKey>,
}
