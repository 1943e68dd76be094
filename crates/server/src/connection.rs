//! Accepting connections and serving HTTP on them, with limits on everything a stranger controls.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use rustls::ServerConfig as TlsConfig;
use smr_pki::Identity;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{ServerConfig, addresses::Addresses, caller::Peer, prompt::Prompt};

/// Most header lines of a request.
const HEADERS: usize = 100;
/// Most bytes of the headers of a request.
const HEADER_BYTES: usize = 64 * 1024;
/// Most requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// A quiet HTTP/2 connection is asked this often whether it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Pause when the system is out of file handles, which nothing tells the end of.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) tls: Option<Arc<TlsConfig>>,
    pub(crate) handshake_timeout: Duration,
    /// Connections that are not served yet.
    pending: Arc<Semaphore>,
    addresses: Addresses,
    handshakes: Semaphore,
    connections: Semaphore,
    http: Builder<TokioExecutor>,
    /// Ends accepting, and connections when their requests are answered.
    pub(crate) closed: CancellationToken,
    /// Ends connections at once.
    pub(crate) cut: CancellationToken,
    /// Every task of every connection.
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    pub(crate) fn new(router: Router, tls: Option<Arc<TlsConfig>>, config: &ServerConfig) -> Self {
        Self {
            router,
            tls,
            handshake_timeout: config.handshake_timeout,
            pending: Arc::new(Semaphore::new(config.connections.max(config.handshakes))),
            addresses: Addresses::new(config.handshakes_per_address),
            handshakes: Semaphore::new(config.handshakes),
            connections: Semaphore::new(config.connections),
            http: http(config.handshake_timeout),
            closed: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

fn http(header_timeout: Duration) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX));
    http
}

/// Accepts until the server closes. Handshakes run in tasks of their own, so that a slow client
/// keeps nobody waiting.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let permit = shared.pending.clone().acquire_owned();
        let accepted = tokio::select! {
            () = shared.closed.cancelled() => return,
            accepted = async { (permit.await, listener.accept().await) } => accepted,
        };
        let (Ok(permit), accepted) = accepted else { return };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if is_exhausted(&error) {
                    tracing::warn!(%error, "cannot accept connections, trying again");
                    tokio::time::sleep(EXHAUSTED).await;
                }
                continue;
            }
        };
        shared.tasks.spawn(connect(stream, peer, shared.clone(), permit));
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    // The rest is about a connection that is gone already.
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// One connection from handshake to end. The permit is for the time until it is served.
async fn connect(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    permit: tokio::sync::OwnedSemaphorePermit,
) {
    // Answers are written in one piece; waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = shared.tls.clone() else {
        drop(permit);
        return serve(stream, None, &shared).await;
    };
    let refused = || metrics::counter!("smr_api_handshakes_refused_total").increment(1);
    let Some(place) = shared.addresses.enter(address.ip()) else {
        tracing::debug!(peer.address = %address, "too many unfinished handshakes of this address");
        return refused();
    };
    let handshake = async {
        let _turn = place.turn().await;
        let _one_of_all = shared.handshakes.acquire().await;
        TlsAcceptor::from(tls).accept(stream).await
    };
    let stream = match tokio::time::timeout(shared.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer.address = %address, %error, "connection refused in the handshake");
            return refused();
        }
        Err(_) => {
            tracing::debug!(peer.address = %address, "handshake took too long");
            return refused();
        }
    };
    drop(place);
    drop(permit);
    let peer = identity(&stream);
    if let Err(reason) = &peer {
        tracing::warn!(peer.address = %address, %reason, "certificate of the cluster without use here");
    }
    serve(stream, Some(peer), &shared).await;
}

fn identity(stream: &TlsStream<TcpStream>) -> Peer {
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(<[_]>::first);
    let certificate = certificate.ok_or("a client certificate of the cluster is required")?;
    let identity = Identity::from_der(certificate).map_err(|error| error.to_string())?;
    Ok(Arc::new(identity))
}

async fn serve<S>(stream: S, peer: Option<Peer>, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(_permit) = shared.connections.acquire().await else { return };
    let router = shared.router.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        router.clone().oneshot(request)
    });
    let stream = TokioIo::new(Prompt::new(stream, shared.handshake_timeout));
    let connection = shared.http.serve_connection_with_upgrades(stream, service);
    let mut connection = std::pin::pin!(connection);
    let mut closing = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended early");
                }
                return;
            }
            () = shared.closed.cancelled(), if !closing => {
                // Requests that are being answered go on; no new ones are taken.
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shared.cut.cancelled() => return,
        }
    }
}
