//! Join tokens, issued certificates, the authorities.

use axum::{extract::State, response::Response};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use smr_wire::{CertificateRequest, RevokeRequest, RotateRequest, TokenCreate, UserCreate};

use crate::{
    api::Api,
    caller::Caller,
    extract::{Json, Path, Reading},
    respond::{Failure, json},
};

/// Which join token.
#[derive(Debug, Deserialize)]
pub(super) struct TokenPath {
    id: String,
}

/// Which certificate, by serial number, or whose, by name.
#[derive(Debug, Deserialize)]
pub(super) struct CertificatePath {
    serial: String,
}

pub(super) async fn tokens(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.tokens(Timestamp::now()).await?))
}

pub(super) async fn create_token(
    State(api): State<Api>,
    caller: Caller,
    Json(wanted): Json<TokenCreate>,
) -> Result<Response, Failure> {
    let created = api.control.create_token(&wanted, &caller.actor(), Timestamp::now()).await?;
    Ok(json(StatusCode::OK, &created))
}

pub(super) async fn delete_token(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<TokenPath>,
) -> Result<Response, Failure> {
    let deleted = api.control.delete_token(&path.id, &caller.actor(), Timestamp::now()).await?;
    Ok(json(StatusCode::OK, &deleted))
}

pub(super) async fn create_user(
    State(api): State<Api>,
    caller: Caller,
    Json(wanted): Json<UserCreate>,
) -> Result<Response, Failure> {
    let (lifetime, actor) = (api.config.user_lifetime, caller.actor());
    let made = api.control.create_user(&wanted, lifetime, &actor, Timestamp::now()).await?;
    Ok(json(StatusCode::OK, &made))
}

pub(super) async fn list(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.certificates(Timestamp::now()).await?))
}

pub(super) async fn renew(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<CertificateRequest>,
) -> Result<Response, Failure> {
    let lifetime = api.config.node_lifetime;
    let renewed = api.control.renew(&request, caller.identity(), lifetime, Timestamp::now());
    Ok(json(StatusCode::OK, &renewed.await?))
}

pub(super) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<CertificatePath>,
    Json(request): Json<RevokeRequest>,
) -> Result<Response, Failure> {
    let (actor, now) = (caller.actor(), Timestamp::now());
    Ok(json(StatusCode::OK, &api.control.revoke(&path.serial, &request, &actor, now).await?))
}

pub(super) async fn authorities(Reading(control): Reading) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, &control.authorities_info(Timestamp::now()).await?))
}

pub(super) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<RotateRequest>,
) -> Result<Response, Failure> {
    let lifetime = api.config.authority_lifetime;
    let (actor, now) = (caller.actor(), Timestamp::now());
    Ok(json(StatusCode::OK, &api.control.rotate(request, lifetime, &actor, now).await?))
}
