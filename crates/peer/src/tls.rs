//! TLS configurations from what the node has.

use std::sync::Arc;

use smr_pki::{ExpectedPeer, ExpiredPeers, PkiError, TlsMaterial};

use crate::{ClientTls, ServerTls};

/// What [`crate::Peers`] and [`crate::Listener`] use: the certificate, authorities and revocations
/// that `material` has at the time of a handshake. Nodes with an expired certificate come through
/// the handshake; the listener answers them nothing but [`crate::Peers::enrol`].
pub fn tls(material: &TlsMaterial) -> Result<(ClientTls, ServerTls), PkiError> {
    let server = material.peer_server_config(ExpiredPeers::Admit)?;
    let client = material.clone();
    Ok((
        Arc::new(move |id| client.peer_client_config(ExpectedPeer::Node(id))),
        Arc::new(move || server.clone()),
    ))
}
