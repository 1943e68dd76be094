//! A cluster's authority, nodes with certificates, and a service that tells what it was asked.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use smr_peer::{
    Api, Caller, Deadlines, EnrolAnswer, EnrolRequest, Limits, Listener, ListenerConfig,
    Membership, PeerError, Peers, PeersConfig, Ping, Pong, ProbeResult, Service, ServiceError,
};
use smr_pki::{Authority, RevocationList, Subject, TlsMaterial};
use smr_store::{Member, NotSent, Rpc, RpcKind, Transport as _};

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const CLUSTER: &str = "c0ffee";

type Raft = dyn Fn(u64, Rpc) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>> + Send + Sync;

/// What a node answers.
pub(crate) struct Fake {
    pub(crate) membership: Mutex<Membership>,
    raft: Box<Raft>,
    /// Probes are made with these.
    peers: Mutex<Option<Peers>>,
}

#[async_trait]
impl Service for Fake {
    fn membership(&self, _: &Caller) -> Membership {
        self.membership.lock().unwrap().clone()
    }

    async fn raft(&self, from: u64, rpc: Rpc) -> Result<Vec<u8>, ServiceError> {
        (self.raft)(from, rpc).await
    }

    async fn ping(&self, from: u64, ping: Ping) -> Pong {
        Pong { epoch: from, applied: ping.term, engine_ready: true, version: "0.1.0".to_owned() }
    }

    async fn probe(&self, _: u64, target: u64) -> ProbeResult {
        let peers = self.peers.lock().unwrap().clone().unwrap();
        peers.reach(target).await
    }

    async fn enrol(
        &self,
        from: &Caller,
        request: EnrolRequest,
    ) -> Result<EnrolAnswer, ServiceError> {
        if request.request.is_empty() {
            return Err(ServiceError("the request is empty".to_owned()));
        }
        let certificate = format!("for {}: {}", from.identity.name, request.request);
        Ok(EnrolAnswer { certificate, authorities: from.identity.key_id.clone() })
    }
}

/// The authority.
pub(crate) struct Cluster {
    pub(crate) authority: Authority,
    pub(crate) revoked: RevocationList,
}

/// A node that listens.
pub(crate) struct Node {
    pub(crate) listener: Listener,
    pub(crate) service: Arc<Fake>,
    pub(crate) peers: Peers,
    /// Connections that were begun.
    pub(crate) handshakes: Arc<AtomicUsize>,
}

impl Node {
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.addresses()[0]
    }

    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(SeqCst)
    }
}

/// How a node is made.
pub(crate) struct Plan {
    pub(crate) id: u64,
    pub(crate) port: u16,
    pub(crate) api: Option<Api>,
    pub(crate) limits: Limits,
}

impl Plan {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, port: 0, api: None, limits: Limits::default() }
    }
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let authority = Authority::create(HOUR * 100, Timestamp::now() - HOUR * 50).unwrap();
        Self { authority, revoked: RevocationList::new() }
    }

    /// The certificate of a member.
    pub(crate) fn member(&self, id: u64) -> TlsMaterial {
        self.member_since(id, Timestamp::now())
    }

    /// The certificate of a member, valid for an hour from `since`.
    pub(crate) fn member_since(&self, id: u64, since: Timestamp) -> TlsMaterial {
        let subject = Subject::member(&format!("node-{id}"), id, &[], &[]).unwrap();
        self.material(&subject, since)
    }

    pub(crate) fn material(&self, subject: &Subject, since: Timestamp) -> TlsMaterial {
        let credentials = self.authority.issue(subject, HOUR, since).unwrap();
        TlsMaterial::new(&credentials).unwrap().with_revocation(self.revoked.clone())
    }

    /// The calling side of node `id` with a certificate of its own.
    pub(crate) fn peers(&self, id: u64) -> Peers {
        peers(id, &self.member(id), CLUSTER, Deadlines::default())
    }

    /// A node that answers every message with the sender, the kind and the body.
    pub(crate) fn node(&self, id: u64) -> Node {
        self.node_with(Plan::new(id), |from, rpc| {
            Box::pin(async move {
                let mut answer = format!("{from} {} ", rpc.kind.name()).into_bytes();
                answer.extend(rpc.body);
                Ok(answer)
            })
        })
    }

    pub(crate) fn node_with(
        &self,
        plan: Plan,
        raft: impl Fn(u64, Rpc) -> BoxFuture<'static, Result<Vec<u8>, ServiceError>>
        + Send
        + Sync
        + 'static,
    ) -> Node {
        let material = self.member(plan.id);
        let (_, server) = smr_peer::tls(&material).unwrap();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let counter = handshakes.clone();
        let peers = peers(plan.id, &material, CLUSTER, Deadlines::default());
        peers.refuse(self.revoked.clone());
        let service = Arc::new(Fake {
            membership: Mutex::new(Membership::Member),
            raft: Box::new(raft),
            peers: Mutex::new(Some(peers.clone())),
        });
        let config = ListenerConfig {
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], plan.port))],
            tls: Arc::new(move || {
                counter.fetch_add(1, SeqCst);
                server()
            }),
            limits: plan.limits,
            api: plan.api,
        };
        let listener = Listener::start(config, peers.clone(), service.clone()).unwrap();
        Node { listener, service, peers, handshakes }
    }
}

pub(crate) fn peers(id: u64, material: &TlsMaterial, cluster: &str, deadlines: Deadlines) -> Peers {
    let (tls, _) = smr_peer::tls(material).unwrap();
    Peers::new(PeersConfig { cluster: cluster.to_owned(), id, tls, deadlines })
}

/// Sends a message of the store; the error is ours, whatever it is wrapped in.
pub(crate) async fn call(
    peers: &Peers,
    id: u64,
    address: impl ToString,
    kind: RpcKind,
    body: impl Into<Vec<u8>>,
) -> Result<Vec<u8>, PeerError> {
    let target = Member { id, address: address.to_string() };
    let rpc = Rpc { kind, body: body.into() };
    peers.call(target, rpc).await.map_err(|error| {
        assert_eq!(error.target, id);
        match error.source.downcast::<NotSent>() {
            Ok(unsent) => *unsent.0.downcast::<PeerError>().unwrap(),
            Err(other) => {
                let error = *other.downcast::<PeerError>().unwrap();
                assert!(!error.is_unsent(), "{error}");
                error
            }
        }
    })
}

/// The same for a short message.
pub(crate) async fn knock(peers: &Peers, node: &Node) -> Result<Vec<u8>, PeerError> {
    call(peers, node.peers.id(), node.address(), RpcKind::Probe, "x").await
}

pub(crate) fn ping() -> Ping {
    Ping { leader: 1, term: 7, time: Timestamp::UNIX_EPOCH }
}
