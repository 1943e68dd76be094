//! Handshakes over an in-memory pipe.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::{io, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use smr_pki::Identity;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// Handshakes are checked against the real clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) type Streams = (server::TlsStream<DuplexStream>, client::TlsStream<DuplexStream>);

/// What each side of a connection that failed says.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) server: Option<io::Error>,
    pub(crate) client: Option<io::Error>,
}

/// Shakes hands and exchanges a byte each way.
pub(crate) async fn dial(
    server: Arc<ServerConfig>,
    client: ClientConfig,
    name: &str,
) -> Result<Streams, Failure> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let serve = async move {
        let mut stream = TlsAcceptor::from(server).accept(near).await?;
        stream.write_all(b"s").await?;
        stream.flush().await?;
        assert_eq!(stream.read_u8().await?, b'c');
        Ok::<_, io::Error>(stream)
    };
    let dial = async move {
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, far).await?;
        stream.write_all(b"c").await?;
        stream.flush().await?;
        assert_eq!(stream.read_u8().await?, b's');
        Ok::<_, io::Error>(stream)
    };
    match tokio::join!(serve, dial) {
        (Ok(server), Ok(client)) => Ok((server, client)),
        (server, client) => Err(Failure { server: server.err(), client: client.err() }),
    }
}

/// Whom the server sees.
pub(crate) fn client_of(streams: &Streams) -> Identity {
    Identity::from_der(&streams.0.get_ref().1.peer_certificates().unwrap()[0]).unwrap()
}

/// Whom the client sees.
pub(crate) fn server_of(streams: &Streams) -> Identity {
    Identity::from_der(&streams.1.get_ref().1.peer_certificates().unwrap()[0]).unwrap()
}
