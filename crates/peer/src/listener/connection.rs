//! Accepting connections and serving HTTP on them.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    Limits, Shared,
    answer::{Guest, answer},
    cut::Cut,
    prepare,
    strangers::Strangers,
};
use crate::{
    Body, caller,
    protocol::{H1, H2},
};

/// A quiet connection is asked this often whether the other side is there.
const ALIVE: Duration = Duration::from_secs(10);
/// Pause when the system is out of file handles, which nothing tells the end of.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// Bytes that may be on their way per request.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes that may be on their way per connection.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// How many may come in.
pub(super) struct Gates {
    handshakes: Arc<Semaphore>,
    strangers: Strangers,
    connections: Semaphore,
}

impl Gates {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            strangers: Strangers::new(limits.handshakes_per_address),
            connections: Semaphore::new(limits.connections),
        }
    }
}

/// Accepts until the listener closes. Handshakes run in tasks of their own, so that a slow one
/// keeps nobody waiting.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, gates: Arc<Gates>) {
    loop {
        let permit = gates.handshakes.clone().acquire_owned();
        let (permit, accepted) = tokio::select! {
            () = shared.closed.cancelled() => return,
            next = async { (permit.await, listener.accept().await) } => next,
        };
        let Ok(permit) = permit else { return };
        match accepted {
            Ok((stream, address)) => {
                let connection = connect(stream, address, shared.clone(), gates.clone(), permit);
                shared.tasks.spawn(connection);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections of other nodes, trying again");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// One connection from handshake to end. The permit is for the handshake only.
async fn connect(
    stream: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    gates: Arc<Gates>,
    permit: OwnedSemaphorePermit,
) {
    let Some(place) = gates.strangers.enter(address.ip()) else {
        return refused(address, "its address has too many unfinished handshakes");
    };
    prepare(&stream);
    let mut tls = rustls::ServerConfig::clone(&(shared.tls)());
    tls.alpn_protocols = vec![H2.to_vec(), H1.to_vec()];
    let handshake = TlsAcceptor::from(Arc::new(tls)).accept(stream);
    let handshake = tokio::time::timeout(shared.limits.handshake_timeout, handshake);
    let outcome = tokio::select! {
        outcome = handshake => outcome,
        () = shared.closed.cancelled() => return,
    };
    let stream = match outcome {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return refused(address, &error.to_string()),
        Err(_) => return refused(address, "it took too long"),
    };
    drop((permit, place));
    let (_, session) = stream.get_ref();
    let caller = caller::read(session.peer_certificates().and_then(<[_]>::first));
    let cut = match &caller {
        Ok(caller) => shared.cut_of(caller.id),
        Err(reason) => {
            tracing::warn!(peer.address = %address, %reason, "certificate without use here");
            shared.cut.clone()
        }
    };
    let Ok(_permit) = gates.connections.acquire().await else { return };
    let guest = Arc::new(Guest { caller, is_known: AtomicBool::new(false) });
    serve(stream, guest, cut, shared).await;
}

fn refused(address: SocketAddr, reason: &str) {
    tracing::debug!(peer.address = %address, %reason, "connection refused in the handshake");
    metrics::counter!("smr_peer_handshakes_refused_total").increment(1);
}

async fn serve(
    stream: TlsStream<TcpStream>,
    guest: Arc<Guest>,
    cut: CancellationToken,
    shared: Arc<Shared>,
) {
    let is_h1 = stream.get_ref().1.alpn_protocol() == Some(H1);
    let limits = shared.limits;
    let closed = shared.closed.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, guest) = (shared.clone(), guest.clone());
        let answered: BoxFuture<'static, Result<Response<Body>, Infallible>> =
            Box::pin(async move { Ok(answer(&shared, &guest, request).await) });
        answered
    });
    // Two types of connections with the same methods and no trait in common.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            let mut closing = false;
            loop {
                tokio::select! {
                    ended = &mut connection => {
                        if let Err(error) = ended {
                            tracing::debug!(%error, "connection of a peer ended early");
                        }
                        return;
                    }
                    () = closed.cancelled(), if !closing => {
                        // Requests that are being answered go on; no new ones are taken.
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    () = cut.cancelled() => return,
                }
            }
        }};
    }
    if is_h1 {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.handshake_timeout);
        let stream = TokioIo::new(Cut::new(stream, cut.clone()));
        run!(http.serve_connection(stream, service).with_upgrades())
    }
    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(1 << 20)
        .max_concurrent_streams(limits.streams)
        .auto_date_header(false)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    run!(http.serve_connection(TokioIo::new(stream), service))
}
