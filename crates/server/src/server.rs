//! A running server.

use std::{net::SocketAddr, sync::Arc};

use rustls::ServerConfig as TlsConfig;
use smr_control::Control;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Runtime, ServerConfig, api,
    connection::{Shared, accept},
    listen::listen_all,
};

/// The control API, being served. Dropping it leaves it running; stop it with
/// [`Server::shutdown`].
pub struct Server {
    addresses: Vec<SocketAddr>,
    running: Running,
    drain_timeout: std::time::Duration,
}

/// Listeners and connections of one router.
pub(crate) struct Running {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Server {
    /// Listens and serves. `tls` must require client certificates, as
    /// `smr_pki::TlsMaterial::server_config` does; a certificate renewed there is used from the
    /// next connection on.
    ///
    /// # Errors
    /// An address that cannot be listened on; nothing is left listening then.
    pub async fn start(
        config: ServerConfig,
        tls: Arc<TlsConfig>,
        control: Control,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, Error> {
        let listeners = listen_all(&config.listen)?;
        let stop = CancellationToken::new();
        let drain_timeout = config.drain_timeout;
        let router = api::router(control, runtime, config.clone(), stop.clone());
        let shared = Shared::new(router, Some(tls), &config);
        let (running, addresses) = Running::start(listeners, shared, stop);
        for address in &addresses {
            tracing::info!(%address, "control API is served");
        }
        Ok(Self { addresses, running, drain_timeout })
    }

    /// The addresses it listens on, with the ports the system chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops: accepts nothing more, ends streams, lets requests finish for as long as
    /// [`ServerConfig::drain_timeout`] allows.
    pub async fn shutdown(self) {
        self.running.shutdown(self.drain_timeout).await;
    }
}

impl Running {
    pub(crate) fn start(
        listeners: Vec<TcpListener>,
        shared: Shared,
        stop: CancellationToken,
    ) -> (Self, Vec<SocketAddr>) {
        let shared = Arc::new(shared);
        let mut addresses = Vec::with_capacity(listeners.len());
        for listener in listeners {
            addresses.extend(listener.local_addr());
            shared.tasks.spawn(accept(listener, shared.clone()));
        }
        (Self { shared, stop }, addresses)
    }

    pub(crate) async fn shutdown(self, drain: std::time::Duration) {
        let Self { shared, stop } = self;
        shared.closed.cancel();
        stop.cancel();
        shared.tasks.close();
        if tokio::time::timeout(drain, shared.tasks.wait()).await.is_err() {
            tracing::warn!(open = shared.tasks.len(), "requests were cut off by the shutdown");
        }
        shared.cut.cancel();
    }
}
