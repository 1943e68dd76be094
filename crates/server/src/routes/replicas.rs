//! Replicas: statuses, restarts, logs, images.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use smr_wire::{Code, LogQuery, ReplicaQuery};

use crate::{
    api::Api,
    caller::Caller,
    extract::{Path, Query, Reading},
    respond::{self, Failure, json},
};

/// Which replica.
#[derive(Debug, Deserialize)]
pub(super) struct ReplicaPath {
    pub(super) group: String,
    pub(super) replica: String,
}

pub(super) async fn list(
    Reading(control): Reading,
    Query(query): Query<ReplicaQuery>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.replicas(&query).await?))
}

pub(super) async fn find(
    Reading(control): Reading,
    Path(path): Path<ReplicaPath>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.replica(&path.group, &path.replica).await?))
}

pub(super) async fn restart(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ReplicaPath>,
) -> Result<Response, Failure> {
    let restarting = api.control.restart(&path.group, &path.replica, &caller.actor()).await?;
    Ok(json(StatusCode::OK, &restarting))
}

pub(super) async fn images(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.images().await?))
}

pub(super) async fn logs(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ReplicaPath>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Failure> {
    if let Some(other) = query.container.as_deref().filter(|c| !["", "main", "init"].contains(c)) {
        let message = format!("parameter `container` cannot be `{other}`");
        return Err(Failure::new(Code::BadRequest, message).hint("use `main` or `init`"));
    }
    let replica = api.control.find_replica(&path.group, &path.replica).await?.key;
    let chunks = api.runtime.logs(&replica, &query).await?;
    Ok(respond::frames(chunks, api.end(caller)))
}

pub(super) async fn debug(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ReplicaPath>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Failure> {
    let replica = api.control.find_replica(&path.group, &path.replica).await?.key;
    let lines = api.runtime.debug_log(&replica, &query).await?;
    Ok(respond::text(lines, api.end(caller)))
}
