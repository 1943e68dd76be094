//! Events and watches.

use axum::{extract::State, response::Response};
use http::StatusCode;
use smr_wire::{EventQuery, WatchQuery};

use crate::{
    api::Api,
    caller::Caller,
    extract::{Query, Reading},
    respond::{Failure, json, lines},
};

pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    Reading(control): Reading,
    Query(query): Query<EventQuery>,
) -> Result<Response, Failure> {
    if !query.follow {
        return Ok(json(StatusCode::OK, &control.events(&query).await?));
    }
    Ok(lines(control.follow_events(&query).await?, api.end(caller)))
}

pub(super) async fn watch(
    State(api): State<Api>,
    caller: Caller,
    Reading(control): Reading,
    Query(query): Query<WatchQuery>,
) -> Result<Response, Failure> {
    Ok(lines(control.watch(&query).await?, api.end(caller)))
}
