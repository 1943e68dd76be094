//! Answers: JSON, streams, and the one error envelope.

use std::convert::Infallible;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use smr_wire::{ApiError, Code, ErrorBody, StreamItem, routes};

use crate::{LogChunk, caller::End};

/// A failure on its way out.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self(self.0.hint(hint))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<smr_control::Error> for Failure {
    /// What only an operator of the node can understand goes to its log, with all causes.
    fn from(error: smr_control::Error) -> Self {
        if matches!(error.code(), Code::Internal | Code::Unavailable) {
            tracing::error!(error = &error as &dyn std::error::Error, "request failed in the node");
        }
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, &ErrorBody { error: self.0 });
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // Perhaps not all of the body was read.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A JSON answer.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("wire types are plain data with string keys");
    typed(status, "application/json", Body::from(body))
}

/// An answer of any type; never stored by anybody on the way.
pub(crate) fn typed(status: StatusCode, media: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The items until something ends them; a reason, if there is one, is the last.
fn until<T>(
    items: impl Stream<Item = T> + Send + 'static,
    end: End,
    last: fn(ApiError) -> T,
) -> impl Stream<Item = T> + Send + 'static
where
    T: Send + 'static,
{
    let state = Some((items.boxed(), Box::pin(end.wait())));
    stream::unfold(state, move |state| async move {
        let (mut items, mut end) = state?;
        tokio::select! {
            biased;
            reason = &mut end => reason.map(|reason| (last(reason), None)),
            item = items.next() => item.map(|item| (item, Some((items, end)))),
        }
    })
}

/// One JSON document per line, until the stream ends or its caller may not see it any more.
pub(crate) fn lines(items: impl Stream<Item = StreamItem> + Send + 'static, end: End) -> Response {
    let lines = until(items, end, StreamItem::Error).map(|item| {
        let mut line = serde_json::to_vec(&item).expect("wire types are plain data");
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    });
    typed(StatusCode::OK, routes::NDJSON, Body::from_stream(lines))
}

/// Log frames, until the stream ends or its caller may not see it any more. A failure is the last
/// frame, with stream id 3 and the error as JSON.
pub(crate) fn frames(
    chunks: impl Stream<Item = Result<LogChunk, ApiError>> + Send + 'static,
    end: End,
) -> Response {
    let frames = until(chunks, end, Err).map(|chunk| {
        Ok::<_, Infallible>(match chunk {
            Ok(chunk) => frame(if chunk.stderr { 2 } else { 1 }, &chunk.data),
            Err(error) => frame(3, &serde_json::to_vec(&error).expect("wire types are plain data")),
        })
    });
    typed(StatusCode::OK, routes::MULTIPLEXED, Body::from_stream(frames))
}

/// Text as it comes, until the stream ends or its caller may not see it any more.
pub(crate) fn text(pieces: impl Stream<Item = Bytes> + Send + 'static, end: End) -> Response {
    let last = |error: ApiError| Bytes::from(format!("({error})\n"));
    let pieces = until(pieces, end, last).map(Ok::<_, Infallible>);
    typed(StatusCode::OK, "text/plain; charset=utf-8", Body::from_stream(pieces))
}

fn frame(stream: u8, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + data.len());
    frame.put_slice(&[stream, 0, 0, 0]);
    frame.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
    frame.put_slice(data);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_shape_of_the_docker_api() {
        assert_eq!(&frame(2, b"abc")[..], b"\x02\0\0\0\0\0\0\x03abc");
    }
}
