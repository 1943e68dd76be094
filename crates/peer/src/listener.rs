//! The answering side: sockets, handshakes and connections, with limits on what a stranger
//! controls.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Body as HttpBody;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service as TowerService, ServiceExt as _};

use crate::{Body, BoxError, Peers, Service};

mod answer;
mod connection;
mod cut;
mod strangers;

/// Connections the kernel keeps ready to be accepted.
const BACKLOG: i32 = 1024;
/// The kernel asks a quiet connection this often whether the other end is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Gives the TLS configuration for a new connection; asked each time.
pub type ServerTls = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

/// What strangers, and nodes that run wild, are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes at a time.
    pub handshakes: usize,
    /// Handshakes at a time from one address, or one /64 network of IPv6 addresses; further ones
    /// are closed.
    pub handshakes_per_address: usize,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Requests at a time on one connection.
    pub streams: u32,
    /// Bytes of a message of the store.
    pub message_bytes: usize,
    /// Time for a message to arrive.
    pub message_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            handshakes_per_address: 32,
            handshake_timeout: Duration::from_secs(5),
            connections: 1024,
            streams: 1024,
            message_bytes: 64 << 20,
            message_timeout: Duration::from_secs(60),
        }
    }
}

/// Where and how to listen.
pub struct ListenerConfig {
    /// Addresses; port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// TLS configurations.
    pub tls: ServerTls,
    /// Limits.
    pub limits: Limits,
    /// The control API, for requests that other nodes pass on.
    pub api: Option<Api>,
}

/// Why there is no listening.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// No address was given, or none that this machine can have.
    #[error("there is no address to listen on for other nodes")]
    NoAddress,
    /// The address cannot be had.
    #[error("cannot listen on `{address}` for other nodes")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The control API behind `/api`. It gets requests that another node has admitted, with
/// [`crate::OnBehalfOf`] and [`crate::Caller`] among their extensions.
#[derive(Clone)]
pub struct Api(Arc<Handler>);

type Handler = dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync;

impl Api {
    /// From any service, such as the router of a web framework.
    pub fn new<S, B>(service: S) -> Self
    where
        S: TowerService<Request<Body>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |request| {
            // No `async` block: the compiler cannot see that a generic one may change threads.
            Box::pin(service.clone().oneshot(request).map(|answered| {
                let Ok(response) = answered;
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            }))
        }))
    }

    async fn call(&self, request: Request<Body>) -> Response<Body> {
        (self.0)(request).await
    }
}

/// Listens until it is shut down or dropped.
pub struct Listener {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    service: Arc<dyn Service>,
    api: Option<Api>,
    peers: Peers,
    tls: ServerTls,
    limits: Limits,
    /// Ends accepting, and connections when their requests are answered.
    closed: CancellationToken,
    /// Ends connections at once.
    cut: CancellationToken,
    /// The same per node.
    nodes: Mutex<BTreeMap<u64, CancellationToken>>,
    tasks: TaskTracker,
}

impl Listener {
    /// Listens on every address and answers with `service`. `peers` says who this node is, and is
    /// told who calls. On a machine without IPv6, `[::]` is left out if there is another address.
    pub fn start(
        config: ListenerConfig,
        peers: Peers,
        service: Arc<dyn Service>,
    ) -> Result<Self, ListenError> {
        let listeners = listen_all(&config.addresses)?;
        let addresses = listeners.iter().filter_map(|it| it.local_addr().ok()).collect();
        let shared = Arc::new(Shared {
            service,
            api: config.api,
            peers,
            tls: config.tls,
            limits: config.limits,
            closed: CancellationToken::new(),
            cut: CancellationToken::new(),
            nodes: Mutex::default(),
            tasks: TaskTracker::new(),
        });
        let gates = Arc::new(connection::Gates::new(&config.limits));
        for listener in listeners {
            let accept = connection::accept(listener, shared.clone(), gates.clone());
            shared.tasks.spawn(accept);
        }
        Ok(Self { addresses, shared })
    }

    /// Where it listens, with the ports it got.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends all connections of a node at once, websockets too: it was removed, or its certificate
    /// revoked.
    pub fn cut(&self, id: u64) {
        let token = self.shared.nodes.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Takes no new requests, answers those that are there, and cuts what is left after `grace`.
    pub async fn shutdown(self, grace: Duration) {
        self.shared.closed.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            tracing::info!("requests of other nodes were still being answered, they are cut off");
            self.shared.cut.cancel();
            self.shared.tasks.wait().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.closed.cancel();
        self.shared.cut.cancel();
    }
}

impl Shared {
    /// Ends the connections of this node.
    fn cut_of(&self, id: u64) -> CancellationToken {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.entry(id).or_insert_with(|| self.cut.child_token()).clone()
    }
}

fn listen_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut left_out = None;
    for &address in addresses {
        match listen(address) {
            Ok(listener) => listeners.push(listener),
            Err(source) if address.ip() == Ipv6Addr::UNSPECIFIED && is_no_ipv6(&source) => {
                left_out = Some(ListenError::Listen { address, source });
            }
            Err(source) => return Err(ListenError::Listen { address, source }),
        }
    }
    if listeners.is_empty() {
        return Err(left_out.unwrap_or(ListenError::NoAddress));
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Messages are small and somebody waits for each; a node that lost its power says nothing.
fn prepare(stream: &tokio::net::TcpStream) {
    let _ = stream.set_nodelay(true);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keep_alive);
}
