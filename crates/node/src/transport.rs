//! The store's way to other nodes, which is there only after the store is open.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use smr_peer::Peers;
use smr_store::{Member, Rpc, Transport, TransportError};

/// Hands messages to [`Peers`] as soon as there are any: whom to talk to, and as whom, is known only once
/// the store was read.
#[derive(Clone, Default)]
pub(crate) struct LatePeers(Arc<OnceLock<Peers>>);

impl LatePeers {
    /// From now on there are peers.
    pub(crate) fn set(&self, peers: Peers) {
        // There is one caller, and it calls once.
        let _ = self.0.set(peers);
    }
}

impl Transport for LatePeers {
    fn call(
        &self,
        target: Member,
        rpc: Rpc,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        match self.0.get() {
            Some(peers) => peers.call(target, rpc),
            None => {
                let source = "this node is still starting".into();
                let error = TransportError { target: target.id, source };
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }
}
