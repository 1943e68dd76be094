//! The calling side: everything this node says to others.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use rustls::ClientConfig;
use smr_pki::{PkiError, RevocationList};
use smr_store::{Member, NotSent, Rpc, RpcKind, Transport, TransportError};
use tokio::{sync::watch, time::Instant};

use crate::{
    Body, EnrolAnswer, EnrolRequest, PeerError, PeerStats, Ping, Pong, ProbeResult, Refusal, body,
    lane::Lane, protocol,
};

mod book;
mod proxy;

use book::{Book, Peer};

/// Most bytes of an answer that is read into memory.
const ANSWER: usize = 64 << 20;

/// The least that a network is expected to carry: 4 MB in a second.
const BYTES_PER_MICROSECOND: u64 = 4;

/// Gives the TLS configuration for a new connection to the node with this id; asked each time, so
/// that a renewed certificate and a longer list of revoked ones count at once. See [`crate::tls()`].
pub type ClientTls = Arc<dyn Fn(u64) -> Result<ClientConfig, PkiError> + Send + Sync>;

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// A connection, from the first packet to the end of the TLS handshake.
    pub connect: Duration,
    /// Entries, votes, signs of life: about an election timeout.
    pub raft: Duration,
    /// Writes that are passed to the leader, and questions what is committed.
    pub forward: Duration,
    /// A piece of a snapshot.
    pub snapshot: Duration,
    /// Pings and [`Peers::reach`].
    pub ping: Duration,
    /// [`Peers::probe`]: the other node's own attempt included.
    pub probe: Duration,
    /// A new certificate.
    pub enrol: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            raft: Duration::from_secs(1),
            forward: Duration::from_secs(10),
            snapshot: Duration::from_secs(60),
            ping: Duration::from_secs(1),
            probe: Duration::from_secs(3),
            enrol: Duration::from_secs(15),
        }
    }
}

/// Who this node is, and how it connects.
#[derive(Clone)]
pub struct PeersConfig {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of this node.
    pub id: u64,
    /// TLS configurations.
    pub tls: ClientTls,
    /// How long answers may take.
    pub deadlines: Deadlines,
}

/// Another node says that this one was removed from the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Who says so.
    pub by: u64,
    /// The explanation.
    pub text: String,
}

/// All other nodes. Clones are the same.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    id: u64,
    cluster: HeaderValue,
    sender: HeaderValue,
    version: HeaderValue,
    deadlines: Deadlines,
    /// Paths of the store's messages, made once.
    uris: [(RpcKind, Uri); RpcKind::ALL.len()],
    book: Book,
    removal: watch::Sender<Option<Removal>>,
}

impl Peers {
    /// Nobody is called yet.
    ///
    /// # Panics
    /// When the id of the cluster is not printable ASCII.
    pub fn new(config: PeersConfig) -> Self {
        let (major, minor) = protocol::PROTOCOL;
        let text = |value: String| {
            HeaderValue::try_from(value).expect("ids and versions are printable ASCII")
        };
        Self {
            inner: Arc::new(Inner {
                id: config.id,
                cluster: text(config.cluster),
                sender: text(config.id.to_string()),
                version: text(format!("{major}.{minor}")),
                deadlines: config.deadlines,
                uris: RpcKind::ALL.map(|kind| (kind, uri(&protocol::path(kind)))),
                book: Book::new(config.tls, config.deadlines.connect),
                removal: watch::Sender::new(None),
            }),
        }
    }

    /// Id of this node.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Id of the cluster.
    pub fn cluster(&self) -> &str {
        self.inner.cluster.to_str().unwrap_or_default()
    }

    /// The members as they are recorded, with their addresses (`host:port`). Nodes that are not
    /// among them are forgotten. When the store begins to give another address than it gave
    /// before, that one wins, until this one changes again.
    pub fn set_members(&self, members: BTreeMap<u64, String>) {
        self.inner.book.set_members(members.into_iter().filter(|(id, _)| *id != self.inner.id));
    }

    /// From now on connections end whose other side showed a certificate that is on this list by
    /// then: handshakes look at the list of [`PeersConfig::tls`], and only they do. The first
    /// list counts.
    pub fn refuse(&self, revoked: RevocationList) {
        let _ = self.inner.book.revoked.set(revoked);
    }

    /// Where a node is called.
    pub fn address(&self, id: u64) -> Option<String> {
        Some(self.inner.book.find(id).ok()?.target.address.clone())
    }

    /// A node is there: the next call connects without waiting for the end of a pause.
    /// [`crate::Listener`] says this by itself when a node connects.
    pub fn heard_from(&self, id: u64) {
        if let Ok(peer) = self.inner.book.find(id) {
            peer.counters.heard();
            for lane in [&peer.raft, &peer.snapshot, &peer.api] {
                lane.wake();
            }
        }
    }

    /// A node said something on a connection that it has for a while. That it can reach this node
    /// says nothing new about the way there.
    pub(crate) fn contact(&self, id: u64) {
        if let Ok(peer) = self.inner.book.find(id) {
            peer.counters.heard();
        }
    }

    /// Becomes `Some` when a member says that this node was removed. The node has to stop then.
    pub fn removal(&self) -> watch::Receiver<Option<Removal>> {
        self.inner.removal.subscribe()
    }

    /// How it goes with each node that was ever called or is a member, by id.
    pub fn stats(&self) -> Vec<PeerStats> {
        self.inner.book.all().iter().map(|peer| peer.stats()).collect()
    }

    /// The leader's sign of life.
    pub async fn ping(&self, target: u64, ping: &Ping) -> Result<Pong, PeerError> {
        let body = encode(ping);
        let bytes = self.ask(target, protocol::PING, body, self.inner.deadlines.ping).await?;
        decode(target, &bytes, "a pong")
    }

    /// Whether `target` is there for this node: the answer to a probe by another.
    pub async fn reach(&self, target: u64) -> ProbeResult {
        self.try_now(target);
        let started = Instant::now();
        let answer = self.ask(target, protocol::ALIVE, Vec::new(), self.inner.deadlines.ping).await;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        match answer {
            Ok(_) => ProbeResult { reachable: true, message: String::new(), micros },
            Err(error) => ProbeResult { reachable: false, message: error.report(), micros },
        }
    }

    /// Asks node `via` whether it can reach node `target`.
    pub async fn probe(&self, via: u64, target: u64) -> Result<ProbeResult, PeerError> {
        let path = format!("{}{target}", protocol::PROBE);
        let bytes = self.ask(via, &path, Vec::new(), self.inner.deadlines.probe).await?;
        decode(via, &bytes, "the result of a probe")
    }

    /// Asks node `via` for a new certificate. Works with an expired one, too.
    pub async fn enrol(&self, via: u64, request: &EnrolRequest) -> Result<EnrolAnswer, PeerError> {
        let body = encode(request);
        let bytes = self.ask(via, protocol::ENROL, body, self.inner.deadlines.enrol).await?;
        decode(via, &bytes, "a certificate")
    }

    /// A pause after a failure is no reason to give a wrong verdict.
    fn try_now(&self, target: u64) {
        if let Ok(peer) = self.inner.book.find(target) {
            peer.raft.wake();
        }
    }

    async fn ask(
        &self,
        target: u64,
        path: &str,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, PeerError> {
        let peer = self.inner.book.find(target)?;
        let is_light = matches!(path, protocol::PING | protocol::ALIVE);
        self.inner.exchange(&peer, &peer.raft, uri(path), body, deadline, is_light).await
    }
}

impl Transport for Peers {
    fn call(
        &self,
        target: Member,
        rpc: Rpc,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let id = target.id;
            let peer = inner.book.given(target);
            let deadline = inner.deadline(rpc.kind, rpc.body.len());
            let lane = match rpc.kind {
                RpcKind::InstallSnapshot => &peer.snapshot,
                _ => &peer.raft,
            };
            let uri = inner.uri(rpc.kind);
            let answer =
                inner.exchange(&peer, lane, uri, rpc.body, deadline, is_light(rpc.kind)).await;
            answer.map_err(|error| {
                let is_unsent = error.is_unsent();
                let source = Box::new(error);
                let source = if is_unsent { Box::new(NotSent(source)) as _ } else { source as _ };
                TransportError { target: id, source }
            })
        })
    }
}

/// Whether the answer takes as long as the way there and back: no disk and no third node in it.
fn is_light(kind: RpcKind) -> bool {
    matches!(kind, RpcKind::PreVote | RpcKind::Probe)
}

impl Inner {
    /// What is large may take longer.
    fn deadline(&self, kind: RpcKind, bytes: usize) -> Duration {
        let deadline = match kind {
            RpcKind::AppendEntries | RpcKind::Vote | RpcKind::PreVote | RpcKind::Probe => {
                self.deadlines.raft
            }
            RpcKind::Propose | RpcKind::ReadIndex | RpcKind::TimeoutNow => self.deadlines.forward,
            RpcKind::InstallSnapshot => self.deadlines.snapshot,
        };
        deadline + Duration::from_micros(bytes as u64 / BYTES_PER_MICROSECOND)
    }

    /// One message and its answer.
    async fn exchange(
        &self,
        peer: &Peer,
        lane: &Arc<Lane>,
        uri: Uri,
        body: Vec<u8>,
        deadline: Duration,
        is_light: bool,
    ) -> Result<Vec<u8>, PeerError> {
        let started = Instant::now();
        let talk = async {
            let request = self.request(peer.target.id, uri, body::full(body));
            let response = lane.send(&peer.target, request).await?;
            self.receive(peer.target.id, response).await
        };
        let answer = match tokio::time::timeout(deadline, talk).await {
            Ok(answer) => answer,
            Err(_) => Err(PeerError::TimedOut { target: peer.target.id, after: deadline }),
        };
        match &answer {
            Ok(_) => peer.counters.answered(is_light.then(|| started.elapsed())),
            Err(error) => {
                peer.counters.failed(error);
                self.note_revocation(error);
                if matches!(error, PeerError::Refused { refusal: Refusal::Expired, .. }) {
                    lane.renew();
                }
            }
        }
        answer
    }

    /// A removed node gets no further than the handshake, where nothing but an alert can be said.
    fn note_revocation(&self, error: &PeerError) {
        if let PeerError::Rejected { target, alert } = error
            && alert.is_revoked()
        {
            let text = format!(
                "node `{target}` refuses this node's certificate, which is revoked: the node was \
                 removed from the cluster; to join again as a new node, empty its data directory first"
            );
            self.say_removed(Removal { by: *target, text });
        }
    }

    fn say_removed(&self, removal: Removal) {
        self.removal.send_if_modified(|known| {
            let is_news = known.is_none();
            known.get_or_insert(removal);
            is_news
        });
    }

    fn uri(&self, kind: RpcKind) -> Uri {
        let known = self.uris.iter().find(|(own, _)| *own == kind);
        known.map_or_else(|| uri(&protocol::path(kind)), |(_, uri)| uri.clone())
    }

    fn request(&self, target: u64, uri: Uri, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        self.sign(target, request.headers_mut());
        request
    }

    /// Says who sends it, to whom.
    fn sign(&self, target: u64, headers: &mut http::HeaderMap) {
        headers.insert(protocol::VERSION, self.version.clone());
        headers.insert(protocol::CLUSTER, self.cluster.clone());
        headers.insert(protocol::SENDER, self.sender.clone());
        headers.insert(protocol::TARGET, HeaderValue::from(target));
    }

    async fn receive(
        &self,
        target: u64,
        response: Response<Incoming>,
    ) -> Result<Vec<u8>, PeerError> {
        let status = response.status();
        let refusal = refusal(&response);
        let bytes = match body::read(response.into_body(), ANSWER).await {
            Ok(bytes) => bytes,
            Err(body::ReadError::TooLarge) => {
                return Err(PeerError::BadAnswer { target, expected: "of a reasonable size" });
            }
            Err(body::ReadError::Broken(error)) => {
                return Err(PeerError::Broken { target, source: Arc::new(error) });
            }
        };
        if status == StatusCode::OK {
            return Ok(bytes);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Err(self.refused(target, refusal, text))
    }

    fn refused(&self, target: u64, refusal: Option<Refusal>, text: String) -> PeerError {
        match refusal {
            Some(Refusal::Removed) => {
                self.say_removed(Removal { by: target, text: text.clone() });
                PeerError::Removed { target, text }
            }
            Some(refusal) => PeerError::Refused { target, refusal, text },
            None => PeerError::Failed { target, text },
        }
    }
}

/// The host is the connection's business; HTTP/2 wants one anyway.
fn uri(path: &str) -> Uri {
    format!("https://node{path}").parse().expect("our paths are valid")
}

fn refusal<B>(response: &Response<B>) -> Option<Refusal> {
    Refusal::parse(response.headers().get(protocol::REFUSAL)?.to_str().ok()?)
}

fn encode(message: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("our messages have string keys only")
}

fn decode<T: serde::de::DeserializeOwned>(
    target: u64,
    bytes: &[u8],
    expected: &'static str,
) -> Result<T, PeerError> {
    serde_json::from_slice(bytes).map_err(|_| PeerError::BadAnswer { target, expected })
}
