//! Making a connection: TCP, TLS, and that the right node is at the other end.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{CertificateError, OtherError, pki_types::ServerName};
use smr_pki::{PeerRefusal, RevocationList};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    ClientTls, PeerError,
    alert::{Gauge, Gauged, Traffic},
    caller,
    error::Alert,
};

/// The kernel asks a quiet connection this often whether the other end is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The stream of a connection.
pub(crate) type Stream = Gauged<TlsStream<TcpStream>>;

/// Whom to call, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) timeout: Duration,
    pub(crate) tls: ClientTls,
    pub(crate) traffic: Arc<Traffic>,
    /// Certificates that count no more; handshakes look at that by themselves.
    pub(crate) revoked: Arc<OnceLock<RevocationList>>,
}

impl Target {
    /// Connects and offers one protocol.
    pub(crate) async fn dial(&self, protocol: &[u8]) -> Result<(Stream, Arc<Gauge>), PeerError> {
        match tokio::time::timeout(self.timeout, self.connect(protocol)).await {
            Ok(connected) => connected,
            Err(_) => Err(self.unreachable(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {:?}", self.timeout),
            ))),
        }
    }

    async fn connect(&self, protocol: &[u8]) -> Result<(Stream, Arc<Gauge>), PeerError> {
        let name = server_name(&self.address).ok_or_else(|| PeerError::BadAddress {
            target: self.id,
            address: self.address.clone(),
        })?;
        let stream = TcpStream::connect(&self.address).await.map_err(|e| self.unreachable(e))?;
        // Messages are small and somebody waits for each.
        stream.set_nodelay(true).map_err(|error| self.unreachable(error))?;
        let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive);
        let mut config = (self.tls)(self.id).map_err(|error| self.unreachable(error))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| self.handshake(error))?;
        let (_, session) = stream.get_ref();
        let found = caller::read(session.peer_certificates().and_then(<[_]>::first));
        let serial = match found {
            Ok(caller) if caller.id == self.id => caller.identity.serial,
            Ok(caller) => return Err(self.wrong(node(caller.id))),
            Err(_) => {
                return Err(self.wrong("something that is no node of this cluster".to_owned()));
            }
        };
        let gauge = Arc::new(Gauge { serial, ..Gauge::default() });
        Ok((Gauged::new(stream, gauge.clone(), self.traffic.clone()), gauge))
    }

    /// Whether the certificate that was good when a connection was made counts no more.
    pub(crate) fn is_revoked(&self, gauge: &Gauge) -> bool {
        self.revoked.get().is_some_and(|revoked| revoked.is_revoked(&gauge.serial))
    }

    fn wrong(&self, found: String) -> PeerError {
        PeerError::WrongPeer { target: self.id, address: self.address.clone(), found }
    }

    fn handshake(&self, error: io::Error) -> PeerError {
        let tls = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
        match tls {
            // Here the other side has not shown yet who it is: whoever has its address may say so.
            // A member says that a certificate is revoked after that, see `alert`.
            Some(rustls::Error::AlertReceived(alert)) if !Alert(*alert).is_revoked() => {
                PeerError::Rejected { target: self.id, alert: Alert(*alert) }
            }
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) => {
                match other.downcast_ref() {
                    Some(PeerRefusal::OtherNode { found, .. }) => self.wrong(node(*found)),
                    _ => self.unreachable(error),
                }
            }
            _ => self.unreachable(error),
        }
    }

    pub(crate) fn unreachable(
        &self,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> PeerError {
        PeerError::Unreachable {
            target: self.id,
            address: self.address.clone(),
            source: Arc::new(error),
        }
    }
}

fn node(id: u64) -> String {
    format!("node `{id}`")
}

/// The host of `host:port`, `[::1]:port`.
fn server_name(address: &str) -> Option<ServerName<'static>> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_host_and_a_port() {
        for good in ["127.0.0.1:9212", "[::1]:9212", "node-1.example.com:1"] {
            assert!(server_name(good).is_some(), "{good}");
        }
        for bad in ["", "node-1", "node-1:", "node-1:x", ":9212", "a b:1", "node-1:99999"] {
            assert!(server_name(bad).is_none(), "{bad}");
        }
    }
}
