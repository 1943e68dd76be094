//! The leader's way to find out who answers.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use smr_leader::{PeerProbe, ProbeError};
use smr_peer::{PeerError, Peers, Ping};
use smr_store::Store;

/// Pings over the connections between nodes.
pub(crate) struct Pings {
    pub(crate) peers: Peers,
    pub(crate) store: Store,
}

fn silent(node: u64) -> impl Fn(PeerError) -> ProbeError {
    move |source| ProbeError { node, source: Box::new(source) }
}

impl PeerProbe for Pings {
    fn ping(&self, node: u64) -> BoxFuture<'static, Result<(), ProbeError>> {
        let peers = self.peers.clone();
        let term = self.store.status().term;
        Box::pin(async move {
            let ping = Ping { leader: peers.id(), term, time: Timestamp::now() };
            peers.ping(node, &ping).await.map(drop).map_err(silent(node))
        })
    }

    fn probe(&self, via: u64, node: u64) -> BoxFuture<'static, Result<bool, ProbeError>> {
        let peers = self.peers.clone();
        Box::pin(async move {
            let result = peers.probe(via, node).await.map_err(silent(via))?;
            Ok(result.reachable)
        })
    }
}
