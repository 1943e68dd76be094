//! Events and watches.

use axum::{extract::State, response::Response};
use http::StatusCode;
use smr_wire::{EventQuery, WatchQuery};

use crate::{
    api::Api,
    extract::Query,
    respond::{Failure, json, lines},
};

pub(super) async fn events(
    State(api): State<Api>,
    Query(query): Query<EventQuery>,
) -> Result<Response, Failure> {
    if !query.follow {
        return Ok(json(StatusCode::OK, &api.control.events(&query).await?));
    }
    Ok(lines(api.control.follow_events(&query).await?, api.stop.clone()))
}

pub(super) async fn watch(
    State(api): State<Api>,
    Query(query): Query<WatchQuery>,
) -> Result<Response, Failure> {
    Ok(lines(api.control.watch(&query).await?, api.stop.clone()))
}
