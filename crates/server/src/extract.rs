//! Parts of requests, read strictly: what cannot be read is refused with the envelope.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::request::Parts,
};
use http::header;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use smr_wire::Code;

use crate::{api::Api, respond::Failure};

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

/// The body as text.
pub(crate) struct Text(pub(crate) String);

impl FromRequest<Api> for Text {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let limit = api.config.body_limit;
        let too_large = || {
            Failure::new(Code::TooLarge, format!("the body is larger than {limit} bytes"))
                .hint("send fewer documents at a time")
        };
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
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self(text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let message = format!("the body is not UTF-8 text, byte {} is wrong", at + 1);
                Err(Failure::new(Code::BadRequest, message))
            }
        }
    }
}
