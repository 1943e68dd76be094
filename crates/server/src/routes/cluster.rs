//! The cluster: its members, joining it, who leads, settings.

use axum::{extract::State, response::Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use smr_wire::{
    ClusterSettingsPatch, Code, JoinRequest, NodePatch, NodeRemoveQuery, TransferRequest,
};

use crate::{
    api::Api,
    caller::Caller,
    extract::{Json, Path, Query, Reading},
    respond::{Failure, json},
};

/// Which node, by id or name.
#[derive(Debug, Deserialize)]
pub(super) struct NodePath {
    node: String,
}

pub(super) async fn status(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.cluster_status().await?))
}

pub(super) async fn join(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<JoinRequest>,
) -> Result<Response, Failure> {
    let lifetime = api.config.node_lifetime;
    let joined = api.control.join(&request, caller.identity(), lifetime, Timestamp::now());
    Ok(json(StatusCode::OK, &joined.await?))
}

pub(super) async fn transfer(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<TransferRequest>,
) -> Result<Response, Failure> {
    let status = api.control.cluster_status().await?;
    if caller.role().is_node() && status.leader != Some(status.node) {
        // It was handed on already; going on like that might never end.
        let message = "this node does not lead any more";
        return Err(Failure::new(Code::NoLeader, message).hint("try again"));
    }
    let to = match &request.to {
        Some(to) => Some(api.control.find_member(to)?.id),
        None => None,
    };
    api.runtime.transfer(to).await?;
    // Perhaps the new leader is not heard of everywhere yet; the lead is with it all the same.
    let status = match api.control.cluster_status().await {
        Ok(status) => status,
        Err(_) => api.control.reading(true).cluster_status().await?,
    };
    Ok(json(StatusCode::OK, &status))
}

pub(super) async fn settings(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.cluster_status().await?.settings))
}

pub(super) async fn patch_settings(
    State(api): State<Api>,
    caller: Caller,
    Json(patch): Json<ClusterSettingsPatch>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &api.control.patch_settings(&patch, &caller.actor()).await?))
}

pub(super) async fn nodes(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.nodes().await?))
}

pub(super) async fn node(
    Reading(control): Reading,
    Path(path): Path<NodePath>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.node(&path.node).await?))
}

pub(super) async fn patch_node(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<NodePath>,
    Json(patch): Json<NodePatch>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &api.control.patch_node(&path.node, &patch, &caller.actor()).await?))
}

pub(super) async fn remove_node(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<NodePath>,
    Query(query): Query<NodeRemoveQuery>,
) -> Result<Response, Failure> {
    let node = api.control.node(&path.node).await?;
    let (actor, now) = (caller.actor(), Timestamp::now());
    api.control.remove_node(&path.node, query.force, &actor, now).await?;
    Ok(json(StatusCode::OK, &node))
}
