//! This node: health, versions, backups, the API description.

use axum::{body::Body, extract::State, response::Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use smr_wire::{ApiError, Code, routes};
use tokio_util::io::ReaderStream;

use crate::{
    api::Api,
    caller::Caller,
    respond::{Failure, json, typed},
};

pub(super) async fn health(State(api): State<Api>) -> Response {
    let health = api.runtime.health().await;
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &health)
}

pub(super) async fn version(State(api): State<Api>) -> Response {
    json(StatusCode::OK, &api.runtime.version())
}

pub(super) async fn backup(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let lock = headers.get(routes::BACKUP_LOCK).map(HeaderValue::to_str).transpose();
    let lock = lock.map_err(|_| {
        ApiError::new(Code::BadRequest, format!("the header `{}` is no text", routes::BACKUP_LOCK))
    })?;
    let file = api.runtime.backup(lock).await?;
    let size = file.metadata().await.map(|metadata| metadata.len());
    // Cut short, which the announced length gives away, when the caller is shut out.
    let shut_out = async move { caller.refused().await };
    let pieces = ReaderStream::with_capacity(file, 64 * 1024).take_until(Box::pin(shut_out));
    let body = Body::from_stream(pieces);
    let mut response = typed(StatusCode::OK, "application/octet-stream", body);
    if let Ok(size) = size {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    Ok(response)
}

pub(super) async fn openapi(State(api): State<Api>) -> Response {
    typed(StatusCode::OK, "application/json", Body::from(api.openapi.clone()))
}

pub(super) async fn connect() -> Response {
    typed(StatusCode::OK, "text/plain; charset=utf-8", Body::from("connected\n"))
}
