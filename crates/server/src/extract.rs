//! Parts of requests, read strictly: what cannot be read is refused with the envelope.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use http::header;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use smr_control::Control;
use smr_wire::{Code, ReadQuery};

use crate::{api::Api, caller::Caller, respond::Failure};

/// Largest JSON body of one type; nothing of the kind is anywhere near.
const JSON_LIMIT: usize = 1024 * 1024;

/// Query parameters.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Failure> {
        let refused = |rejection: axum::extract::rejection::QueryRejection| {
            Failure::new(
                Code::BadRequest,
                format!("cannot read the query: {}", rejection.body_text()),
            )
            .hint("the API description at `/api/v1/openapi.json` lists the parameters")
        };
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(refused)
    }
}

/// Elements of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, api).await {
            Ok(path) => Ok(Self(path.0)),
            Err(rejection) => Err(Failure::new(
                Code::BadRequest,
                format!("cannot read the path: {}", rejection.body_text()),
            )),
        }
    }
}

/// The objects as the request wants to read them, see [`ReadQuery`].
pub(crate) struct Reading(pub(crate) Control);

impl FromRequestParts<Api> for Reading {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let Query(ReadQuery { stale }) = Query::from_request_parts(parts, api).await?;
        Ok(Self(api.control.reading(stale)))
    }
}

/// A JSON body of one type. None at all stands for one without fields.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let body = read(request, api.config.body_limit.min(JSON_LIMIT)).await?;
        let body = if body.trim().is_empty() { "{}" } else { &body };
        serde_json::from_str(body).map(Self).map_err(|error| {
            Failure::new(Code::BadRequest, format!("cannot read the body: {error}"))
                .hint("the API description at `/api/v1/openapi.json` has its fields")
        })
    }
}

/// The body as text.
pub(crate) struct Text(pub(crate) String);

impl FromRequest<Api> for Text {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        read(request, api.config.body_limit).await.map(Self)
    }
}

async fn read(request: Request, limit: usize) -> Result<String, Failure> {
    let too_large = || {
        Failure::new(Code::TooLarge, format!("the body is larger than {limit} bytes"))
            .hint("send fewer documents at a time")
    };
    let caller = request.extensions().get::<Caller>().cloned();
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(too_large());
    }
    let mut body = request.into_body();
    let mut bytes = Vec::with_capacity(announced.unwrap_or_default().min(1 << 20));
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Failure::new(Code::BadRequest, "the body was not sent in full"));
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    // Whoever sends slowly may have been shut out meanwhile.
    if let Some(caller) = caller {
        caller.check()?;
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the body is not UTF-8 text, byte {} is wrong", at + 1);
        Failure::new(Code::BadRequest, message)
    })
}
