//! Bodies of requests and answers.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as HttpBody, Incoming};

/// Whatever went wrong while a body was sent or received.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is sent or received piece by piece.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that arrives.
pub(crate) fn streamed(body: Incoming) -> Body {
    body.map_err(BoxError::from).boxed_unsync()
}

/// Why a body was not read.
pub(crate) enum ReadError {
    /// It is larger than allowed.
    TooLarge,
    /// It ended early.
    Broken(hyper::Error),
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(mut body: Incoming, limit: usize) -> Result<Vec<u8>, ReadError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ReadError::Broken)?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit {
                return Err(ReadError::TooLarge);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}
