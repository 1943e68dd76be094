//! Parts of requests, read strictly: what cannot be read is refused with the envelope.

use std::time::Duration;

use axum::{
    body::Body,
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

/// Most bytes of a refused body that are read and thrown away.
const DISCARDED: usize = 64 * 1024 * 1024;
/// Longest time for that.
const DISCARDING: Duration = Duration::from_secs(5);

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
        // Who asks first has not sent anything yet.
        let asks = request.headers().contains_key(header::EXPECT);
        let mut body = request.into_body();
        if announced.is_some_and(|bytes| bytes > limit) {
            if !asks {
                discard(body).await;
            }
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(announced.unwrap_or_default().min(1 << 20));
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(Failure::new(Code::BadRequest, "the body was not sent in full"));
            };
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > limit {
                drop(bytes);
                discard(body).await;
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

/// Reads the rest of a body that is refused, within bounds. Most clients look for an answer only
/// after they have sent everything, and lose it when the connection is closed on them before.
async fn discard(mut body: Body) {
    let read = async {
        let mut left = DISCARDED;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DISCARDING, read).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_thrown_away_has_bounds() {
        let piece = || Ok::<_, Infallible>(Bytes::from(vec![0; 64 * 1024]));
        discard(Body::from_stream(stream::repeat_with(piece))).await;
        let start = tokio::time::Instant::now();
        let trickle = stream::iter([piece()]).chain(stream::pending());
        discard(Body::from_stream(trickle)).await;
        assert_eq!(start.elapsed(), DISCARDING);
    }
}
