//! What is left of the body of a request that is refused.
//!
//! Most clients look for an answer only after they have sent everything, and lose it when the
//! connection, or the stream, is closed on them before. So the rest is read and thrown away, within
//! bounds.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Most bytes that are thrown away.
const BYTES: usize = 64 * 1024 * 1024;
/// Longest time for that.
const TIME: Duration = Duration::from_secs(5);

/// Answers a refused request after its body was read.
pub(crate) async fn discard(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Who asks first sends nothing before the body is looked at.
    let asks = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(Inner { body, begun: false }));
    let body = Body::new(Shared(shared.clone()));
    let response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    // What took too long is waited for no longer.
    let refused = status.is_client_error() || status.is_server_error();
    if refused && status != StatusCode::GATEWAY_TIMEOUT && (!asks || begun(&shared)) {
        drain(Body::new(Shared(shared))).await;
    }
    response
}

struct Inner {
    body: Body,
    /// Whether anybody looked at it.
    begun: bool,
}

/// A body of which the rest can still be had when its reader has dropped it.
struct Shared(Arc<Mutex<Inner>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.begun = true;
        Pin::new(&mut inner.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}

fn begun(shared: &Mutex<Inner>) -> bool {
    shared.lock().unwrap_or_else(PoisonError::into_inner).begun
}

async fn drain(mut body: Body) {
    let read = async {
        let mut left = BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(bytes) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(TIME, read).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_thrown_away_has_bounds() {
        let piece = || Ok::<_, Infallible>(Bytes::from(vec![0; 64 * 1024]));
        drain(Body::from_stream(stream::repeat_with(piece))).await;
        let start = tokio::time::Instant::now();
        let trickle = stream::iter([piece()]).chain(stream::pending());
        drain(Body::from_stream(trickle)).await;
        assert_eq!(start.elapsed(), TIME);
    }
}
