//! Apply, remove; list, get, patch, delete.

use std::time::Duration;

use axum::{extract::State, response::Response};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use smr_model::{DEFAULT_PREFIX, ObjectKey};
use smr_wire::{ApplyAction, ApplyQuery, Code, DeleteQuery, ObjectQuery};

use crate::{
    api::Api,
    caller::Caller,
    extract::{Path, Query, Reading, Text},
    respond::{Failure, json},
};

/// Name of a body that has none.
pub(super) const UNNAMED: &str = "<request>";

/// Which object.
#[derive(Debug, Deserialize)]
pub(super) struct ObjectPath {
    kind: String,
    group: String,
    name: String,
}

/// How to patch.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct PatchQuery {
    /// Prefix of the object; the default one when absent.
    prefix: Option<String>,
    /// Validate and compare only; nothing is changed.
    dry_run: bool,
    /// Ignored; patches have no file.
    source: Option<String>,
}

impl ObjectPath {
    fn key(self, prefix: Option<String>) -> Result<ObjectKey, Failure> {
        let kind = self.kind.parse().map_err(|error: smr_model::UnknownKind| {
            Failure::new(Code::NotFound, error.to_string())
        })?;
        if [&self.group, &self.name].iter().any(|element| element.contains('/')) {
            // The path of an object of another kind could be written like that.
            let message =
                format!("object `{}/{}/{}` does not exist", self.kind, self.group, self.name);
            return Err(Failure::new(Code::NotFound, message).hint("names hold no `/`"));
        }
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        let prefix = prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        Ok(ObjectKey { prefix, kind, group: self.group, name: self.name })
    }
}

/// How long an answer to `settle` is held back at the most.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn apply(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ApplyQuery>,
    Text(body): Text,
) -> Result<Response, Failure> {
    let source = query.source.as_deref().unwrap_or(UNNAMED);
    let applied = api.control.apply(&body, source, query.dry_run, &caller.actor()).await?;
    let changed = applied.results.iter().any(|result| result.action != ApplyAction::Unchanged);
    if query.settle && !query.dry_run && changed {
        // What takes longer is seen in statuses anyway.
        let settled = api.runtime.settled(applied.revision);
        let _ = tokio::time::timeout(SETTLE_LIMIT, settled).await;
    }
    Ok(json(StatusCode::OK, &applied))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<DeleteQuery>,
    Text(body): Text,
) -> Result<Response, Failure> {
    let source = query.source.as_deref().unwrap_or(UNNAMED);
    Ok(json(StatusCode::OK, &api.control.remove(&body, source, &caller.actor()).await?))
}

pub(super) async fn list(
    Reading(control): Reading,
    Query(query): Query<ObjectQuery>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.list(&query).await?))
}

pub(super) async fn find(
    Reading(control): Reading,
    Path(path): Path<ObjectPath>,
    Query(query): Query<ObjectQuery>,
) -> Result<Response, Failure> {
    let key = path.key(query.prefix)?;
    Ok(json(StatusCode::OK, &control.get(&key, query.reveal).await?))
}

pub(super) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ObjectPath>,
    Query(query): Query<PatchQuery>,
    Text(body): Text,
) -> Result<Response, Failure> {
    let key = path.key(query.prefix)?;
    let patch = serde_json::from_str(&body).map_err(|error| {
        let at = format!("line {}, column {}", error.line(), error.column());
        Failure::new(Code::BadRequest, format!("the patch is not JSON ({at})"))
            .hint("send a JSON merge patch such as `{\"spec\": {\"replicas\": 2}}`")
    })?;
    let patched = api.control.patch(&key, &patch, query.dry_run, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &patched))
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ObjectPath>,
    Query(query): Query<DeleteQuery>,
) -> Result<Response, Failure> {
    let key = path.key(query.prefix)?;
    Ok(json(StatusCode::OK, &api.control.delete(&key, None, &caller.actor()).await?))
}
