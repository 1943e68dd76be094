//! Requests of users that another node answers: both bodies are streamed, and a connection that
//! is taken over (a websocket) is taken over on both sides.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::{Peer, Peers};
use crate::{Body, OnBehalfOf, PeerError, body, protocol};

/// Headers that are about one connection and not about the message.
const HOP: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

impl Peers {
    /// Lets node `target` answer a request of a user. Path and query go there as they are
    /// (`/api/...`); the answer comes back as the other node gives it, errors of the API
    /// included. There is no deadline beyond the connection's; who calls knows how long a request
    /// may take.
    ///
    /// A request with an `Upgrade` header gets a connection of its own. When the request came
    /// from a server (it can be upgraded itself), both ends are joined; otherwise the answer can
    /// be upgraded by the caller.
    pub async fn proxy(
        &self,
        target: u64,
        user: &OnBehalfOf,
        request: Request<Body>,
    ) -> Result<Response<Body>, PeerError> {
        let peer = self.inner.book.find(target)?;
        let answer = if request.headers().contains_key(header::UPGRADE) {
            self.take_over(&peer, user, request).await
        } else {
            self.pass_on(&peer, user, request).await
        };
        match &answer {
            Ok(_) => peer.counters.answered(None),
            Err(error) => peer.counters.failed(error),
        }
        answer
    }

    async fn pass_on(
        &self,
        peer: &Peer,
        user: &OnBehalfOf,
        request: Request<Body>,
    ) -> Result<Response<Body>, PeerError> {
        let (mut parts, body) = request.into_parts();
        for name in HOP {
            parts.headers.remove(name);
        }
        parts.headers.remove(header::HOST);
        self.endorse(peer, user, &mut parts.headers);
        parts.extensions.clear();
        parts.version = Version::HTTP_2;
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(http::uri::Scheme::HTTPS);
        uri.authority = Some(http::uri::Authority::from_static("node"));
        parts.uri = Uri::from_parts(uri).unwrap_or_default();
        let response = peer.api.send(&peer.target, Request::from_parts(parts, body)).await?;
        self.hand_back(peer, response).await
    }

    async fn take_over(
        &self,
        peer: &Peer,
        user: &OnBehalfOf,
        request: Request<Body>,
    ) -> Result<Response<Body>, PeerError> {
        let target = peer.target.id;
        let (mut parts, body) = request.into_parts();
        let near = parts.extensions.remove::<OnUpgrade>();
        parts.headers.insert(header::HOST, HeaderValue::from_static("node"));
        self.endorse(peer, user, &mut parts.headers);
        parts.extensions.clear();
        parts.version = Version::HTTP_11;
        let mut uri = parts.uri.into_parts();
        (uri.scheme, uri.authority) = (None, None);
        parts.uri = Uri::from_parts(uri).unwrap_or_default();

        let (stream, gauge) = peer.target.dial(protocol::H1).await?;
        let broken = |error| crate::lane::failure(&gauge, target, error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(Request::from_parts(parts, body)).await;
        let mut response = response.map_err(broken)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.hand_back(peer, response).await;
        }
        if let Some(near) = near {
            let far = hyper::upgrade::on(&mut response);
            tokio::spawn(join(near, far));
        }
        Ok(response.map(|_| body::empty()))
    }

    /// Says who sends it, and for whom. What a user says of itself in these headers is dropped.
    fn endorse(&self, peer: &Peer, user: &OnBehalfOf, headers: &mut http::HeaderMap) {
        for name in protocol::OURS {
            headers.remove(name);
        }
        self.inner.sign(peer.target.id, headers);
        if let Ok(name) = HeaderValue::try_from(&user.user) {
            headers.insert(protocol::USER, name);
        }
        headers.insert(protocol::ROLE, HeaderValue::from_static(user.role.as_str()));
    }

    /// An answer of the API, or a refusal of the node in front of it.
    async fn hand_back(
        &self,
        peer: &Peer,
        response: Response<hyper::body::Incoming>,
    ) -> Result<Response<Body>, PeerError> {
        let Some(refusal) = super::refusal(&response) else {
            return Ok(response.map(body::streamed));
        };
        let target = peer.target.id;
        let text = match body::read(response.into_body(), super::ANSWER).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(body::ReadError::Broken(error)) => {
                return Err(PeerError::Broken { target, source: Arc::new(error) });
            }
            Err(body::ReadError::TooLarge) => String::new(),
        };
        Err(self.inner.refused(target, Some(refusal), text))
    }
}

/// Carries bytes both ways until one side ends.
async fn join(near: OnUpgrade, far: OnUpgrade) {
    let (near, far) = match futures_util::future::try_join(near, far).await {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "a connection was not taken over");
            return;
        }
    };
    let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
    if let Err(error) = copy_bidirectional(&mut near, &mut far).await {
        tracing::debug!(%error, "a connection that was taken over ended early");
    }
}
