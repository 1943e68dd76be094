//! The address book: which nodes there are, and where each is called.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use smr_pki::RevocationList;
use smr_store::Member;

use super::ClientTls;
use crate::{
    PeerError, PeerStats,
    alert::Traffic,
    dial::Target,
    lane::{Lane, Patience},
    stats::Counters,
};

/// All nodes that are known, by id.
pub(super) struct Book {
    tls: ClientTls,
    timeout: Duration,
    peers: RwLock<BTreeMap<u64, Arc<Peer>>>,
    pub(super) revoked: Arc<OnceLock<RevocationList>>,
}

/// Another node, at one address: a new address makes a new one of these.
pub(super) struct Peer {
    pub(super) target: Target,
    /// What the record of the member said last.
    booked: Option<String>,
    /// What the store said last.
    given: Option<String>,
    pub(super) counters: Arc<Counters>,
    pub(super) raft: Arc<Lane>,
    pub(super) snapshot: Arc<Lane>,
    pub(super) api: Arc<Lane>,
}

impl Book {
    pub(super) fn new(tls: ClientTls, timeout: Duration) -> Self {
        Self { tls, timeout, peers: RwLock::default(), revoked: Arc::default() }
    }

    /// The node with this id.
    pub(super) fn find(&self, target: u64) -> Result<Arc<Peer>, PeerError> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&target).cloned().ok_or(PeerError::NoAddress { target })
    }

    /// All nodes.
    pub(super) fn all(&self) -> Vec<Arc<Peer>> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.values().cloned().collect()
    }

    /// Takes over the records of the members; who is not among them is forgotten.
    pub(super) fn set_members(&self, members: impl Iterator<Item = (u64, String)>) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *peers);
        for (id, address) in members {
            let known = old.remove(&id);
            let is_news = known.as_ref().is_none_or(|it| it.booked.as_ref() != Some(&address));
            let given = known.as_ref().and_then(|it| it.given.clone());
            let peer = match known {
                Some(known) if !is_news => known,
                known => self.peer(id, address.clone(), Some(address), given, known.as_deref()),
            };
            peers.insert(id, peer);
        }
    }

    /// The node that the store names, at the address that it gives if that is news. What it says
    /// first is none where there is a record: a node writes its record at every start.
    pub(super) fn given(&self, member: Member) -> Arc<Peer> {
        let Member { id, address } = member;
        let known = self.find(id).ok();
        if let Some(known) = known.filter(|known| known.given.as_ref() == Some(&address)) {
            return known;
        }
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        let known = peers.get(&id).cloned();
        let booked = known.as_ref().and_then(|known| known.booked.clone());
        let current = match &known {
            Some(known) if known.given.is_none() && booked.is_some() => {
                known.target.address.clone()
            }
            _ => address.clone(),
        };
        let peer = self.peer(id, current, booked, Some(address), known.as_deref());
        peers.insert(id, peer.clone());
        peer
    }

    /// Connections stay as long as the address does, the counting in any case.
    fn peer(
        &self,
        id: u64,
        address: String,
        booked: Option<String>,
        given: Option<String>,
        known: Option<&Peer>,
    ) -> Arc<Peer> {
        let (counters, traffic) = match known {
            Some(known) => (known.counters.clone(), known.target.traffic.clone()),
            None => (Arc::<Counters>::default(), Arc::<Traffic>::default()),
        };
        let (raft, snapshot, api) = match known {
            Some(it) if it.target.address == address => {
                (it.raft.clone(), it.snapshot.clone(), it.api.clone())
            }
            _ => (
                Arc::new(Lane::new(Patience::SHORT)),
                Arc::new(Lane::new(Patience::LONG)),
                Arc::new(Lane::new(Patience::LONG)),
            ),
        };
        let (timeout, tls, revoked) = (self.timeout, self.tls.clone(), self.revoked.clone());
        let target = Target { id, address, timeout, tls, traffic, revoked };
        Arc::new(Peer { target, booked, given, counters, raft, snapshot, api })
    }
}

impl Peer {
    /// How it goes with it.
    pub(super) fn stats(&self) -> PeerStats {
        let mut stats = PeerStats {
            id: self.target.id,
            address: self.target.address.clone(),
            connected: self.raft.is_open(),
            sent_bytes: self.target.traffic.sent.load(Relaxed),
            received_bytes: self.target.traffic.received.load(Relaxed),
            ..PeerStats::default()
        };
        self.counters.fill(&mut stats);
        stats
    }
}
