//! Rollouts, and placement explained and planned.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use smr_wire::{ApplyQuery, Code, RolloutAction, RolloutQuery};

use super::objects::UNNAMED;
use crate::{
    api::Api,
    caller::Caller,
    extract::{Path, Query, Reading, Text},
    respond::{Failure, json},
};

/// Which `containers` object.
#[derive(Debug, Deserialize)]
pub(super) struct ContainersPath {
    group: String,
    name: String,
}

/// What to do about the rollout of which object.
#[derive(Debug, Deserialize)]
pub(super) struct ActionPath {
    group: String,
    name: String,
    action: String,
}

pub(super) async fn rollout(
    Reading(control): Reading,
    Path(path): Path<ContainersPath>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.rollout(&path.group, &path.name).await?))
}

pub(super) async fn change_rollout(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<ActionPath>,
    Query(query): Query<RolloutQuery>,
) -> Result<Response, Failure> {
    let ActionPath { group, name, action } = path;
    let known = RolloutAction::ALL.into_iter().find(|known| known.as_str() == action);
    let Some(action) = known else {
        let message = format!("`{action}` is nothing that can be done about a rollout");
        return Err(
            Failure::new(Code::NotFound, message).hint("use pause, resume, promote or undo")
        );
    };
    if query.to.is_some() && action != RolloutAction::Undo {
        let message = format!("parameter `to` means nothing for {}", action.as_str());
        return Err(Failure::new(Code::BadRequest, message).hint("it is for undo"));
    }
    let actor = caller.actor();
    let changed = api.control.change_rollout(&group, &name, action, query.to, &actor);
    Ok(json(StatusCode::OK, &changed.await?))
}

pub(super) async fn explain(
    Reading(control): Reading,
    Path(path): Path<ContainersPath>,
) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.explain_placement(&path.group, &path.name).await?))
}

pub(super) async fn plan(
    Reading(control): Reading,
    caller: Caller,
    Query(query): Query<ApplyQuery>,
    Text(body): Text,
) -> Result<Response, Failure> {
    let source = query.source.as_deref().unwrap_or(UNNAMED);
    Ok(json(StatusCode::OK, &control.plan(&body, source, &caller.actor()).await?))
}
