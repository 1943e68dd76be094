//! The plain port for metrics and health, meant for the loopback interface: no certificates, no
//! data of users.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::StatusCode;
use smr_wire::Code;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Runtime, ServerConfig,
    connection::Shared,
    listen::listen_all,
    respond::{Failure, json, typed},
    server::Running,
};

/// Writes all metrics in the Prometheus text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// How long requests may go on after the shutdown began.
const DRAIN: Duration = Duration::from_secs(2);

/// The running port.
pub struct Telemetry {
    address: SocketAddr,
    running: Running,
}

#[derive(Clone)]
struct Parts {
    render: RenderMetrics,
    runtime: Arc<dyn Runtime>,
}

/// Serves `/metrics`, `/healthz` (the process answers) and `/readyz` (every part works) without
/// TLS.
///
/// # Errors
/// An address that cannot be listened on.
pub async fn start_telemetry(
    address: SocketAddr,
    render: RenderMetrics,
    runtime: Arc<dyn Runtime>,
) -> Result<Telemetry, Error> {
    let listeners = listen_all(&[address])?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(no_route)
        .with_state(Parts { render, runtime });
    let config = ServerConfig { connections: 64, ..ServerConfig::new(vec![address]) };
    let shared = Shared::new(router, None, &config);
    let (running, addresses) = Running::start(listeners, shared, CancellationToken::new());
    let address = addresses.first().copied().unwrap_or(address);
    tracing::info!(%address, "metrics and health are served");
    Ok(Telemetry { address, running })
}

impl Telemetry {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    pub async fn shutdown(self) {
        self.running.shutdown(DRAIN).await;
    }
}

async fn metrics(State(parts): State<Parts>) -> Response {
    typed(StatusCode::OK, "text/plain; version=0.0.4", Body::from((parts.render)()))
}

async fn healthz() -> &'static str {
    "the node answers\n"
}

async fn readyz(State(parts): State<Parts>) -> Response {
    let health = parts.runtime.health().await;
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &health)
}

async fn no_route() -> Response {
    Failure::new(Code::NotFound, "there is nothing here")
        .hint("use /metrics, /healthz or /readyz")
        .into_response()
}
