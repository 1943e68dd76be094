//! What this node answers to other nodes.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use smr_agent::EngineStatus;
use smr_control::{Control, RemovedMember, keyspace};
use smr_peer::{
    Caller, EnrolAnswer, EnrolRequest, Membership, Peers, Ping, Pong, ProbeResult, Service,
    ServiceError,
};
use smr_pki::RevocationList;
use smr_store::{KeyRange, Rpc, Store};
use smr_wire::CertificateRequest;
use tokio::sync::watch;

use crate::stop::Stop;

/// Pause before a failed reading of the keyspace is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Who belongs to the cluster, kept in memory because it is asked with every message.
#[derive(Default)]
struct Roster {
    members: BTreeMap<u64, String>,
    removed: BTreeMap<u64, String>,
    /// The cluster went on from an older state, or is about to: nodes of another past, which hold
    /// certificates of the same authority, may be out there.
    is_recovered: bool,
}

impl Roster {
    /// Whether a node is talked to whose certificate the authority of the cluster signed.
    fn verdict(&self, id: u64) -> Membership {
        if let Some(text) = self.removed.get(&id) {
            return Membership::Removed(text.clone());
        }
        // Who was admitted while this node was away may be who leads now, or whom the others need
        // this node's vote for: only from it can this node hear that it is a member. The same for
        // a node without state.
        if self.members.contains_key(&id) || self.members.is_empty() || !self.is_recovered {
            Membership::Member
        } else {
            Membership::Unknown
        }
    }
}

/// The roster, the revoked certificates and the address book, as the local copy of the keyspace has them.
#[derive(Clone)]
pub(crate) struct Circle {
    roster: Arc<RwLock<Roster>>,
    revoked: RevocationList,
    peers: Peers,
    /// This node is about to go on alone.
    is_alone: bool,
}

impl Circle {
    pub(crate) fn new(peers: Peers, revoked: RevocationList, is_alone: bool) -> Self {
        peers.refuse(revoked.clone());
        Self { roster: Arc::default(), revoked, peers, is_alone }
    }

    /// Takes over what the local copy says.
    pub(crate) fn refresh(&self, control: &Control) -> Result<(), smr_control::Error> {
        // First of all: it needs nothing but keys, so a damaged record keeps it from nothing.
        self.revoked.replace(control.revoked_serials()?);
        let members: BTreeMap<u64, String> =
            control.members()?.into_iter().map(|member| (member.id, member.peer)).collect();
        let found = control.store().list(keyspace::REMOVED)?;
        let records = found.kvs.iter().filter_map(|kv| {
            serde_json::from_slice::<RemovedMember>(&kv.value)
                .inspect_err(|error| tracing::error!(key = %kv.key, %error, "damaged record"))
                .ok()
        });
        let removed = records.map(|removed| {
            let text = format!(
                "node `{}` (`{}`) was removed from the cluster by {} at {}; to join again as a new \
                 node, empty its data directory first",
                removed.id, removed.name, removed.by, removed.at
            );
            (removed.id, text)
        });
        let removed = removed.collect();
        if !members.is_empty() {
            self.peers.set_members(members.clone());
        }
        let is_recovered =
            self.is_alone || control.store().get(keyspace::CLUSTER_RECOVERED)?.is_some();
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) =
            Roster { members, removed, is_recovered };
        Ok(())
    }

    /// Follows the local copy until `stop`; `changed` is called after each change.
    pub(crate) async fn follow(self, control: Control, changed: impl Fn(), mut stop: Stop) {
        let ranges = [keyspace::MEMBERS, keyspace::REMOVED, keyspace::REVOKED];
        'anew: loop {
            let store = control.store();
            let watches: Result<Vec<_>, _> =
                ranges.iter().map(|it| store.watch(KeyRange::prefix(*it), None)).collect();
            let read = watches.map_err(smr_control::Error::from).and_then(|watches| {
                self.refresh(&control)?;
                Ok(watches)
            });
            let mut watches = match read {
                Ok(watches) => watches,
                Err(error) => {
                    tracing::warn!(%error, "the list of members cannot be read, trying again");
                    tokio::select! {
                        () = stop.stopped() => return,
                        () = tokio::time::sleep(RETRY) => continue,
                    }
                }
            };
            changed();
            loop {
                let news = futures_util::future::select_all(
                    watches.iter_mut().map(|watch| Box::pin(watch.next())),
                );
                let more = tokio::select! {
                    () = stop.stopped() => return,
                    (batch, _, _) = news => batch.is_some(),
                };
                if !more {
                    continue 'anew;
                }
                if let Err(error) = self.refresh(&control) {
                    tracing::warn!(%error, "the list of members cannot be read, trying again");
                    continue 'anew;
                }
                changed();
            }
        }
    }
}

/// The answering side of this node.
pub(crate) struct NodeService {
    pub(crate) store: Store,
    pub(crate) control: Control,
    pub(crate) peers: Peers,
    pub(crate) circle: Circle,
    pub(crate) epoch: u64,
    /// Lifetime of node certificates.
    pub(crate) lifetime: Duration,
    /// The state of the engine, once there is an agent that looks at it.
    pub(crate) engine: Arc<OnceLock<watch::Receiver<EngineStatus>>>,
}

#[async_trait]
impl Service for NodeService {
    fn membership(&self, caller: &Caller) -> Membership {
        if self.circle.revoked.is_revoked(&caller.identity.serial) {
            let text = "its certificate was revoked; remove the node with `smrctl node rm`, and let \
                        it join again with an empty data directory, for its key may be in other hands";
            return Membership::Revoked(text.to_owned());
        }
        let roster = self.circle.roster.read().unwrap_or_else(PoisonError::into_inner);
        roster.verdict(caller.id)
    }

    async fn raft(&self, _: u64, rpc: Rpc) -> Result<Vec<u8>, ServiceError> {
        Ok(self.store.handle(rpc).await?)
    }

    async fn ping(&self, _: u64, _: Ping) -> Pong {
        Pong {
            epoch: self.epoch,
            applied: self.store.revision(),
            engine_ready: self.engine.get().is_some_and(|it| *it.borrow() == EngineStatus::Ready),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    async fn probe(&self, _: u64, target: u64) -> ProbeResult {
        self.peers.reach(target).await
    }

    async fn enrol(
        &self,
        from: &Caller,
        request: EnrolRequest,
    ) -> Result<EnrolAnswer, ServiceError> {
        let request =
            CertificateRequest { request: request.request, ..CertificateRequest::default() };
        let answer = self
            .control
            .renew(&request, &from.identity, self.lifetime, Timestamp::now())
            .await
            .map_err(|error| ServiceError(error.to_string()))?;
        Ok(EnrolAnswer { certificate: answer.certificate, authorities: answer.authorities })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_while_the_node_was_away_is_listened_to() {
        let members = |ids: &[u64]| ids.iter().map(|id| (*id, String::new())).collect();
        let mut roster = Roster {
            members: members(&[1, 2, 3]),
            removed: [(2, "gone".to_owned())].into(),
            is_recovered: false,
        };
        assert_eq!(roster.verdict(1), Membership::Member);
        assert_eq!(roster.verdict(2), Membership::Removed("gone".to_owned()));
        assert_eq!(roster.verdict(4), Membership::Member, "it may lead, and bring the news of it");
        roster.is_recovered = true;
        assert_eq!(roster.verdict(4), Membership::Unknown, "it may be of another past");
        assert_eq!(roster.verdict(3), Membership::Member);
        roster.members.clear();
        assert_eq!(roster.verdict(4), Membership::Member, "a node without state hears everybody");
    }
}
