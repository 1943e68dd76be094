//! The node as a member: which one it is, how it reaches the others, and what makes it stop being one.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use smr_agent::EngineStatus;
use smr_config::Config;
use smr_control::{Actor, Control, MemberFacts, Registration, keyspace};
use smr_peer::{
    ClientTls, Deadlines, Limits, Listener, ListenerConfig, Peers, PeersConfig, ServerTls,
};
use smr_pki::{ExpectedPeer, ExpiredPeers, TlsMaterial};
use smr_store::{KeyRange, Store};
use tokio::sync::watch;

use crate::{
    identity::{Identity, founder},
    join::{api_url, join},
    peers::{Circle, NodeService},
    record::NodeRecord,
    run::{FIRST_NODE, reachable, store_dir},
    stop::Stop,
    transport::LatePeers,
};

/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A node that waits to be let in says so this often.
const REMINDER: Duration = Duration::from_secs(10);
/// How long a node waits at its start for what the cluster says of it.
const EARLY: Duration = Duration::from_secs(3);
/// How long other nodes' requests may go on when the node stops.
const GRACE: Duration = Duration::from_secs(2);

/// Set when this node must stop: it is not, or no longer, the member it takes itself for.
pub(crate) type Fatal = watch::Sender<Option<String>>;

/// Who this node is: as it was told before, by joining, or as the founder of a cluster of its own.
pub(crate) async fn who(config: &Config) -> anyhow::Result<NodeRecord> {
    let data = &config.data.dir;
    let has_store = store_dir(config).exists();
    if let Some(record) = NodeRecord::load(data)? {
        match config.node.id.filter(|id| *id != record.id) {
            // The cluster gives out ids; a node that was let in once must not be locked out by its own
            // configuration.
            Some(id) if record.joined => tracing::warn!(
                configured = id,
                id = record.id,
                "the node keeps the id the cluster gave it"
            ),
            Some(id) => bail!(
                "`node.id` is {id}, but `{}` is the data directory of node {}; ids never change",
                data.display(),
                record.id
            ),
            None => {}
        }
        if !has_store && record.epoch > 0 && !record.cluster.is_empty() {
            bail!(
                "the state of node {} of cluster `{}` is missing from `{}`: put it back, restore a \
                 backup with `smr backup restore`, or empty the directory to begin anew",
                record.id,
                record.cluster,
                data.display()
            );
        }
        if record.joined && record.name != config.node.name {
            tracing::warn!(
                configured = config.node.name,
                name = record.name,
                "the node keeps the name it joined with"
            );
        }
        return Ok(record);
    }
    if config.cluster.joins() && !has_store {
        return join(config).await.context("cannot join the cluster");
    }
    Ok(founder(config, config.node.id.unwrap_or(FIRST_NODE)))
}

/// The connections between this node and the others.
pub(crate) struct Links {
    pub(crate) peers: Peers,
    pub(crate) circle: Circle,
    pub(crate) engine: Arc<OnceLock<watch::Receiver<EngineStatus>>>,
    listener: Option<Listener>,
}

/// Begins to talk to other nodes and to answer them.
pub(crate) fn link(
    config: &Config,
    identity: &Identity,
    cluster: &str,
    control: &Control,
    late: &LatePeers,
) -> anyhow::Result<Links> {
    let election = config.cluster.election_timeout;
    let peers = Peers::new(PeersConfig {
        cluster: cluster.to_owned(),
        id: identity.record.id,
        tls: client_tls(&identity.tls),
        deadlines: Deadlines { raft: election, ..Deadlines::default() },
    });
    let circle = Circle::new(peers.clone(), identity.revoked.clone(), identity.record.alone);
    circle.refresh(control)?;
    let engine = Arc::new(OnceLock::new());
    let service = NodeService {
        store: control.store().clone(),
        control: control.clone(),
        peers: peers.clone(),
        circle: circle.clone(),
        epoch: identity.record.epoch,
        lifetime: config.certificates.node,
        engine: Arc::clone(&engine),
    };
    let listener = if config.cluster.listen.is_empty() {
        None
    } else {
        let listen = ListenerConfig {
            addresses: reachable(&config.cluster.listen),
            tls: server_tls(&identity.tls)?,
            limits: Limits::default(),
            api: None,
        };
        let listener = Listener::start(listen, peers.clone(), Arc::new(service))?;
        for address in listener.addresses() {
            tracing::info!(%address, "other nodes are answered");
        }
        Some(listener)
    };
    late.set(peers.clone());
    Ok(Links { peers, circle, engine, listener })
}

impl Links {
    /// Where other nodes reach this one.
    pub(crate) fn address(&self, config: &Config) -> String {
        let bound =
            self.listener.as_ref().and_then(|listener| listener.addresses().first().copied());
        bound.map_or_else(String::new, |bound| config.cluster.address_with(bound.port()))
    }

    /// Answers no other node any more.
    pub(crate) async fn shutdown(self) {
        if let Some(listener) = self.listener {
            listener.shutdown(GRACE).await;
        }
    }
}

/// A configuration is made anew for each connection, because certificates and authorities change.
fn client_tls(tls: &Arc<TlsMaterial>) -> ClientTls {
    let tls = Arc::clone(tls);
    Arc::new(move |id| tls.peer_client_config(ExpectedPeer::Node(id)))
}

fn server_tls(tls: &Arc<TlsMaterial>) -> anyhow::Result<ServerTls> {
    let config = tls.peer_server_config(ExpiredPeers::Admit)?;
    Ok(Arc::new(move || Arc::clone(&config)))
}

/// What this node says of itself.
pub(crate) fn facts(config: &Config, identity: &Identity, peer: String) -> MemberFacts {
    let started = Timestamp::now().as_nanosecond();
    MemberFacts {
        name: identity.record.name.clone(),
        peer,
        api: api_url(config),
        key_id: identity.key_id(),
        epoch: identity.record.epoch,
        instance: format!("{started}-{}", std::process::id()),
    }
}

/// Begins the cluster, if this node is to be its first member and it is not there yet, or is of the time
/// when there were no members.
pub(crate) async fn found(
    identity: &Identity,
    control: &Control,
    facts: &MemberFacts,
) -> anyhow::Result<()> {
    if control.cluster_id()?.is_none() || control.members()?.is_empty() {
        match control.register_founder(facts, Timestamp::now()).await? {
            Registration::Registered(_) => {}
            Registration::Refused(refused) => bail!(refused),
        }
    }
    identity.store_authorities(control).await
}

/// Waits until the state of the cluster has come to a node that just joined.
pub(crate) async fn wait_for_state(store: &Store) -> anyhow::Result<()> {
    loop {
        let mut news = store.watch(KeyRange::prefix(keyspace::AUTHORITIES), None)?;
        if store.get(keyspace::AUTHORITIES)?.is_some() {
            return Ok(());
        }
        tracing::info!("waiting for the leader of the cluster to send its state");
        let _ = tokio::time::timeout(REMINDER, news.next()).await;
    }
}

/// Says to the cluster that this node runs, as soon as there is a leader; stops the node when the
/// cluster says that it is not the member it takes itself for.
pub(crate) async fn register(control: Control, facts: MemberFacts, fatal: Fatal, mut stop: Stop) {
    let mut leadership = control.store().leadership();
    loop {
        let registered = async {
            let _ = leadership.wait_for(|it| it.leader.is_some()).await;
            control.register_self(&facts).await
        };
        let outcome = tokio::select! {
            () = stop.stopped() => return,
            outcome = registered => outcome,
        };
        match outcome {
            Ok(Registration::Registered(_)) => break,
            Ok(Registration::Refused(refused)) => {
                fatal.send_replace(Some(refused.to_string()));
                return;
            }
            Err(error) => tracing::warn!(%error, "the node cannot be registered, trying again"),
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// After a restore or a recovery this node is the cluster: the others, should they come back, are of
/// another past.
pub(crate) async fn alone(
    config: &Config,
    control: &Control,
    facts: &MemberFacts,
) -> anyhow::Result<()> {
    let actor = Actor::node(control.node_name());
    control.refound(facts, &actor, Timestamp::now()).await?;
    if let Some(record) = NodeRecord::load(&config.data.dir)? {
        NodeRecord { alone: false, ..record }.save(&config.data.dir)?;
    }
    tracing::warn!("this node goes on as the only member of the cluster");
    Ok(())
}

/// How the leader watches over the others.
pub(crate) fn leader_settings(config: &Config) -> smr_leader::Settings {
    let mut settings = smr_leader::Settings::default();
    settings.membership.down_after = config.cluster.down_after;
    settings
}

/// Stops the node when another member says that it was removed.
pub(crate) async fn removal(
    mut removal: watch::Receiver<Option<smr_peer::Removal>>,
    fatal: Fatal,
    mut stop: Stop,
) {
    tokio::select! {
        () = stop.stopped() => {}
        said = removal.wait_for(Option::is_some) => {
            let text = said.ok().and_then(|said| said.clone()).map(|removal| removal.text);
            fatal.send_replace(text);
        }
    }
}

/// Tries to register before the node touches anything: a node that was removed, or is a copy of another one,
/// should not get as far as its containers. Without a leader it goes on after a short while; what it has
/// may run, and the cluster says later what it thinks of that.
pub(crate) async fn register_early(
    control: &Control,
    facts: &MemberFacts,
    peers: &Peers,
) -> anyhow::Result<()> {
    let mut leadership = control.store().leadership();
    let mut removal = peers.removal();
    let registered = async {
        let _ = leadership.wait_for(|it| it.leader.is_some()).await;
        control.register_self(facts).await
    };
    tokio::select! {
        () = tokio::time::sleep(EARLY) => {}
        said = removal.wait_for(Option::is_some) => {
            if let Some(removal) = said.ok().and_then(|said| said.clone()) {
                bail!(removal.text);
            }
        }
        outcome = registered => match outcome {
            Ok(Registration::Refused(refused)) => bail!(refused),
            Ok(Registration::Registered(_)) => {}
            Err(error) => tracing::warn!(%error, "the node cannot be registered yet"),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_id_that_the_cluster_gave_counts() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("smr.toml");
        let data = dir.path().join("data");
        let text = format!("[data]\ndir = \"{}\"\n[node]\nid = 2\n", data.display());
        std::fs::write(&file, text).unwrap();
        let host = smr_config::Host { hostname: "n".to_owned(), home: dir.path().to_owned() };
        let config = Config::load(&file, &host).unwrap();
        smr_pki::ensure_private_dir(&data).unwrap();
        let record = NodeRecord { joined: true, ..founder(&config, 5) };
        record.save(&data).unwrap();
        assert_eq!(who(&config).await.unwrap(), record);
        NodeRecord { joined: false, ..record }.save(&data).unwrap();
        let refused = who(&config).await.unwrap_err().to_string();
        assert!(refused.contains("directory of node 5"), "{refused}");
    }
}
