//! What is asked, by whom, and whether that node is talked to at all.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};
use smr_pki::Role;
use smr_store::Rpc;

use super::Shared;
use crate::{
    Body, Caller, Membership, OnBehalfOf, Refusal, ServiceError,
    body::{self, ReadError},
    protocol,
};

/// Most bytes of a message that is not the store's.
const SMALL: usize = 256 << 10;

/// A refusal with its sentence.
struct Refused(Refusal, String);

/// Why there is no answer.
enum Failure {
    Refused(Refused),
    Failed(ServiceError),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error)
    }
}

/// The other end of a connection.
pub(super) struct Guest {
    /// Who it is, or why it is nobody.
    pub(super) caller: Result<Caller, String>,
    /// Whether it was let in before.
    pub(super) is_known: AtomicBool,
}

/// Answers one request.
pub(super) async fn answer(
    shared: &Shared,
    guest: &Guest,
    request: Request<Incoming>,
) -> Response<Body> {
    let answered = match admit(shared, &guest.caller, &request) {
        Ok(caller) => {
            if guest.is_known.swap(true, Relaxed) {
                shared.peers.contact(caller.id);
            } else {
                shared.peers.heard_from(caller.id);
            }
            route(shared, caller, request).await
        }
        Err(refused) => Err(refused.into()),
    };
    match answered {
        Ok(response) => response,
        Err(Failure::Refused(Refused(refusal, text))) => {
            tracing::debug!(refusal = refusal.as_str(), %text, "a peer is refused");
            let mut response = Response::new(body::full(text));
            *response.status_mut() = refusal.status();
            let word = HeaderValue::from_static(refusal.as_str());
            response.headers_mut().insert(protocol::REFUSAL, word);
            response
        }
        Err(Failure::Failed(error)) => {
            let mut response = Response::new(body::full(error.0));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The caller, if it is one that this node talks to.
fn admit<'a>(
    shared: &Shared,
    caller: &'a Result<Caller, String>,
    request: &Request<Incoming>,
) -> Result<&'a Caller, Refused> {
    let caller = caller.as_ref().map_err(|text| Refused(Refusal::Role, text.clone()))?;
    let headers = request.headers();
    let (major, minor) = protocol::PROTOCOL;
    let version = text(headers, &protocol::VERSION);
    if protocol::version(version).is_none_or(|(theirs, _)| theirs != major) {
        let text = format!(
            "node `{}` speaks version {major}.{minor} of the protocol between nodes, and does not \
             understand version `{version}`; upgrade the older node",
            shared.peers.id(),
        );
        return Err(Refused(Refusal::Protocol, text));
    }
    let cluster = text(headers, &protocol::CLUSTER);
    if cluster != shared.peers.cluster() {
        let text = format!(
            "node `{}` belongs to cluster `{}`, not to `{cluster}`; correct the address",
            shared.peers.id(),
            shared.peers.cluster(),
        );
        return Err(Refused(Refusal::Cluster, text));
    }
    let (sender, target) = (text(headers, &protocol::SENDER), text(headers, &protocol::TARGET));
    if sender.parse() != Ok(caller.id) {
        let text = format!(
            "the certificate is of node `{}`, the request says it is from node `{sender}`",
            caller.id
        );
        return Err(Refused(Refusal::Node, text));
    }
    if target.parse() != Ok(shared.peers.id()) {
        let text = format!("this is node `{}`, not node `{target}`", shared.peers.id());
        return Err(Refused(Refusal::Node, text));
    }
    match shared.service.membership(caller) {
        Membership::Member => {}
        Membership::Removed(text) => return Err(Refused(Refusal::Removed, text)),
        Membership::Revoked(text) => return Err(Refused(Refusal::Revoked, text)),
        Membership::Unknown => {
            let text = format!(
                "node `{}` does not know node `{}` as a member",
                shared.peers.id(),
                caller.id
            );
            return Err(Refused(Refusal::Unknown, text));
        }
    }
    if request.uri().path() != protocol::ENROL && caller.is_expired() {
        let text = format!(
            "the certificate of node `{}` was valid until {}; it has to ask for a new one",
            caller.id, caller.identity.not_after
        );
        return Err(Refused(Refusal::Expired, text));
    }
    Ok(caller)
}

async fn route(
    shared: &Shared,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let limits = shared.limits;
    let path = request.uri().path();
    if let Some(kind) = protocol::kind(path) {
        let body = read(request, limits.message_bytes, limits.message_timeout).await?;
        let answer = shared.service.raft(caller.id, Rpc { kind, body }).await?;
        return Ok(Response::new(body::full(answer)));
    }
    if let Some(target) = path.strip_prefix(protocol::PROBE) {
        let target = target.parse().map_err(|_| {
            Refused(Refusal::Message, format!("`{target}` is not the id of a node"))
        })?;
        return json(&shared.service.probe(caller.id, target).await);
    }
    match path {
        protocol::PING => {
            let ping = parse(request, limits.message_timeout).await?;
            json(&shared.service.ping(caller.id, ping).await)
        }
        protocol::ALIVE => Ok(Response::new(body::empty())),
        protocol::ENROL => {
            let enrol = parse(request, limits.message_timeout).await?;
            json(&shared.service.enrol(caller, enrol).await?)
        }
        path if path == protocol::API || path.starts_with("/api/") => {
            pass_on(shared, caller, request).await
        }
        path => {
            let text = format!("there is no `{path}` between nodes; upgrade the older node");
            Err(Refused(Refusal::Path, text).into())
        }
    }
}

/// A request of a user, which another node has authenticated.
async fn pass_on(
    shared: &Shared,
    caller: &Caller,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let Some(api) = &shared.api else {
        let text = "this node has no control API".to_owned();
        return Err(Refused(Refusal::Path, text).into());
    };
    let user = text(request.headers(), &protocol::USER).to_owned();
    let Ok(role) = text(request.headers(), &protocol::ROLE).parse::<Role>() else {
        let text = "the request does not say for which user it is passed on".to_owned();
        return Err(Refused(Refusal::Message, text).into());
    };
    if user.is_empty() {
        let text = "the request does not say for which user it is passed on".to_owned();
        return Err(Refused(Refusal::Message, text).into());
    }
    let mut request = request.map(body::streamed);
    for name in protocol::OURS {
        request.headers_mut().remove(name);
    }
    request.extensions_mut().insert(OnBehalfOf { user, role });
    request.extensions_mut().insert(caller.clone());
    Ok(api.call(request).await)
}

async fn read(
    request: Request<Incoming>,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<u8>, Refused> {
    let refused = |text: String| Err(Refused(Refusal::Message, text));
    match tokio::time::timeout(timeout, body::read(request.into_body(), limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(ReadError::TooLarge)) => {
            refused(format!("the message is larger than {limit} bytes"))
        }
        Ok(Err(ReadError::Broken(error))) => refused(format!("the message broke off: {error}")),
        Err(_) => refused(format!("the message did not arrive within {timeout:?}")),
    }
}

async fn parse<T: DeserializeOwned>(
    request: Request<Incoming>,
    timeout: Duration,
) -> Result<T, Refused> {
    let bytes = read(request, SMALL, timeout).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Refused(Refusal::Message, format!("the message is not understood: {error}"))
    })
}

fn json(message: &impl Serialize) -> Result<Response<Body>, Failure> {
    let bytes = serde_json::to_vec(message).map_err(|error| ServiceError(error.to_string()))?;
    Ok(Response::new(body::full(bytes)))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
}
