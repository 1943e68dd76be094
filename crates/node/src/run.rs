//! The life of a node, from its configuration to its last stored status.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use smr_agent::{Agent, EngineStatus};
use smr_config::Config;
use smr_control::Control;
use smr_engine::{ContainerEngine, DockerEngine, EngineInfo, Owner};
use smr_leader::Leader;
use smr_pki::ensure_private_dir;
use smr_server::{Runtime, Server, ServerConfig, start_telemetry};
use smr_store::Store;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    cluster::{self, Fatal, Links},
    identity::{BUNDLE, DATA_KEY, Identity, NODE_KEY},
    logging, manifests, presence,
    probe::Pings,
    record::NodeRecord,
    runtime::NodeRuntime,
    stop::Stop,
    telemetry,
    transport::LatePeers,
};

/// Id of a node that names none: the first one of a cluster.
pub(crate) const FIRST_NODE: u64 = 1;
/// How long an engine that neither answers nor refuses keeps the node from being called ready.
const ENGINE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the node tries to hand the lead over when it stops.
const HANDOVER: Duration = Duration::from_secs(5);
/// Threads: requests, consensus and planning never need many.
const THREADS: usize = 4;

/// Runs a node until it is asked to stop by SIGTERM or SIGINT.
///
/// # Errors
/// Whatever keeps the node from starting; nothing is left running then.
pub fn run(config: Config) -> anyhow::Result<()> {
    logging::start(&config.telemetry);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(32)
        .thread_name("smr")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(node(config));
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

async fn node(config: Config) -> anyhow::Result<()> {
    // Before anything is there to be stopped: no signal is lost.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    refuse_somebody_elses(&config.data.dir)?;
    ensure_private_dir(&config.data.dir)?;
    let late = LatePeers::default();
    let (fatal, mut doomed) = watch::channel(None);
    let opened = async {
        let record = cluster::who(&config).await?;
        let store = open_store(&config, &record, &late).await?;
        // Counted when the directory is locked: two processes never count the same start.
        Ok::<_, anyhow::Error>((record.started(&config.data.dir)?, store))
    };
    let (record, store) = tokio::select! {
        opened = opened => opened?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let result = tokio::select! {
        started = serve(&config, record, &store, &late, &fatal) => match started {
            Ok(mut parts) => {
                let outcome = tokio::select! {
                    _ = terminate.recv() => Ok(()),
                    _ = interrupt.recv() => Ok(()),
                    why = doomed.wait_for(Option::is_some) => {
                        let why = why.ok().and_then(|why| why.clone()).unwrap_or_default();
                        Err(anyhow::anyhow!(why))
                    }
                    () = parts.agent.ended() => {
                        Err(anyhow::anyhow!("the agent ended; its log lines say why"))
                    }
                    fault = broken(&store) => {
                        Err(anyhow::anyhow!("the store stopped: {fault}"))
                    }
                };
                parts.stop(&store).await;
                outcome
            }
            Err(error) => Err(error),
        },
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    store.shutdown().await;
    tracing::info!("stopped; containers go on running");
    result
}

/// Resolves when the store has stopped though nobody asked it to, because of its disk for example. The
/// node must not stay: it would answer the leader's pings and never do what it is told.
async fn broken(store: &Store) -> String {
    let mut leadership = store.leadership();
    loop {
        if let Some(fault) = store.status().fault {
            return fault;
        }
        // Who stops says that nobody leads any more.
        if leadership.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where the replicated state of the node is.
pub(crate) fn store_dir(config: &Config) -> PathBuf {
    config.data.dir.join("store")
}

async fn open_store(
    config: &Config,
    record: &NodeRecord,
    late: &LatePeers,
) -> anyhow::Result<Store> {
    let mut options = smr_store::Options::new(store_dir(config));
    options.node_id = record.id;
    options.bootstrap = !record.joined;
    options.address.clone_from(&config.cluster.address);
    options.keep_revisions = config.store.keep_revisions;
    options.snapshot_log_entries = config.store.snapshot_every;
    options.heartbeat = config.cluster.heartbeat;
    options.election_timeout = config.cluster.election_timeout;
    options.transport = Arc::new(late.clone());
    Ok(Store::open(options).await?)
}

/// The parts of a running node, in the order they were started.
struct Parts {
    stop: watch::Sender<bool>,
    links: Links,
    leader: Leader,
    agent: Agent,
    server: Server,
    telemetry: Vec<smr_server::Telemetry>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

async fn serve(
    config: &Config,
    record: NodeRecord,
    store: &Store,
    late: &LatePeers,
    fatal: &Fatal,
) -> anyhow::Result<Parts> {
    let (node_id, joined, alone) = (record.id, record.joined, record.alone);
    let identity = Arc::new(Identity::open(config, record, store)?);
    let options = smr_control::Options { node_id, node_name: identity.record.name.clone() };
    let control = Control::new(store.clone(), Arc::clone(&identity.data_key), options);
    let mut facts = cluster::facts(config, &identity, config.cluster.address.clone());
    if !joined {
        cluster::found(&identity, &control, &facts).await?;
    }
    let cluster = match control.cluster_id()? {
        Some(id) => id,
        None => identity.record.cluster.clone(),
    };
    identity.remember_cluster(&cluster)?;
    let links = cluster::link(config, &identity, &cluster, &control, late)?;
    facts.peer = links.address(config);
    if joined {
        cluster::wait_for_state(store).await?;
    }
    if alone {
        cluster::alone(config, &control, &facts).await?;
    }
    cluster::register_early(&control, &facts, &links.peers).await?;
    // The id, not the name: a renamed node still owns its containers.
    let owner = Owner { cluster, node: node_id.to_string() };
    let limit = config.docker.request_timeout;
    let engine: Arc<dyn ContainerEngine> =
        Arc::new(DockerEngine::new(&config.docker.host, owner).with_limits(limit, limit));
    let agent = Agent::start(smr_agent::Options {
        control: control.clone(),
        engine: Arc::clone(&engine),
        parallelism: config.docker.parallelism,
    })
    .await?;
    let _ = links.engine.set(agent.engine_status());
    let scratch = config.data.dir.join("backup");
    prepare_scratch(&scratch)?;
    let (engine_info, engine_info_receiver) = watch::channel(EngineInfo::default());
    let runtime: Arc<dyn Runtime> = Arc::new(NodeRuntime {
        control: control.clone(),
        identity: Arc::clone(&identity),
        engine: Arc::clone(&engine),
        debug: agent.debug_log().clone(),
        engine_status: agent.engine_status(),
        engine_info: engine_info_receiver,
        settled: agent.settled(),
        scratch,
    });
    let server_config = ServerConfig {
        body_limit: usize::try_from(config.api.body_limit).unwrap_or(usize::MAX),
        request_timeout: config.api.request_timeout,
        drain_timeout: config.api.drain_timeout,
        revoked: identity.revoked.clone(),
        node_lifetime: config.certificates.node,
        user_lifetime: config.certificates.user,
        authority_lifetime: config.certificates.authority,
        ..ServerConfig::new(reachable(&config.api.listen))
    };
    let tls = identity.tls.server_config()?;
    let server = Server::start(server_config, tls, control.clone(), Arc::clone(&runtime)).await?;
    let bound = server.addresses().to_vec();
    let render = telemetry::renderer(control.clone());
    let mut telemetry = Vec::new();
    for address in reachable(&config.telemetry.listen) {
        let started = start_telemetry(address, Arc::clone(&render), Arc::clone(&runtime)).await?;
        telemetry.push(started);
    }
    identity.make_local_context(store, &bound)?;
    let leader = Leader::start(smr_leader::Options {
        control: control.clone(),
        pings: Arc::new(Pings { peers: links.peers.clone(), store: store.clone() }),
        settings: cluster::leader_settings(config),
    });
    let (stop, stopped) = Stop::new();
    let still = {
        let (control, facts, fatal) = (control.clone(), facts.clone(), fatal.clone());
        move || match control.still_registered(&facts) {
            Ok(None) => {}
            Ok(Some(refused)) => drop(fatal.send_replace(Some(refused.to_string()))),
            Err(error) => tracing::warn!(%error, "the node's own record cannot be read"),
        }
    };
    let mut tasks = vec![
        tokio::spawn(presence::run(
            config.clone(),
            bound.clone(),
            control.clone(),
            engine,
            agent.engine_status(),
            engine_info,
            stopped.clone(),
        )),
        tokio::spawn(Arc::clone(&identity).keep_fresh(
            control.clone(),
            bound.clone(),
            stopped.clone(),
        )),
        tokio::spawn(links.circle.clone().follow(control.clone(), still, stopped.clone())),
        tokio::spawn(cluster::register(control.clone(), facts, fatal.clone(), stopped.clone())),
        tokio::spawn(cluster::removal(links.peers.removal(), fatal.clone(), stopped.clone())),
    ];
    if let Some(dir) = &config.bootstrap.manifests {
        tasks.push(tokio::spawn(manifests::run(dir.clone(), control, stopped)));
    }
    // Until the engine was asked, statuses are those of the time before: nobody should take them
    // for the present.
    let mut asked = agent.engine_status();
    let first_answer = asked.wait_for(|status| *status != EngineStatus::Unknown);
    let _ = tokio::time::timeout(ENGINE_PATIENCE, first_answer).await;
    let addresses: Vec<String> = bound.iter().map(SocketAddr::to_string).collect();
    tracing::info!(node = %identity.record.name, version = env!("CARGO_PKG_VERSION"),
        api = addresses.join(", "), "ready");
    let ready = [sd_notify::NotifyState::Ready];
    if let Err(error) = sd_notify::notify(&ready) {
        tracing::debug!(%error, "nobody to notify");
    }
    Ok(Parts { stop, links, leader, agent, server, telemetry, tasks })
}

impl Parts {
    /// Stops in reverse order: no new requests, then no new actions; statuses are stored last.
    async fn stop(self, store: &Store) {
        tracing::info!("stopping");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the node panicked");
            }
        }
        self.leader.shutdown().await;
        // The others should not have to find out that the leader is gone.
        match tokio::time::timeout(HANDOVER, store.step_down()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lead was not handed over"),
            Err(_) => tracing::warn!("nobody took the lead over in time"),
        }
        for telemetry in self.telemetry {
            telemetry.shutdown().await;
        }
        self.server.shutdown().await;
        self.agent.shutdown().await;
        self.links.shutdown().await;
    }
}

/// The data directory is closed to everybody else, which would be a disaster for `/srv` or `/`: only
/// a new, an empty, or our own one is taken.
fn refuse_somebody_elses(dir: &Path) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let ours = dir.join("store/format").exists() || dir.join("pki/ca.crt").exists();
    // Written before the node proper starts: a founder may end before its store is there, and a node
    // that joins may be refused, or find nobody, as often as it likes.
    let begun = names.iter().all(|name| match name.to_str() {
        Some("smr.lock" | "smr.log" | "node.json") => true,
        Some("pki") => has_only(&dir.join("pki"), &[NODE_KEY, BUNDLE, DATA_KEY]),
        Some("store") => has_only(&dir.join("store"), &["lock", "format.tmp"]),
        Some(name) => name.starts_with(".node.json."),
        None => false,
    });
    if begun || ours {
        return Ok(());
    }
    anyhow::bail!(
        "`{}` has files that are not of smr; name a new or empty directory as `data.dir`",
        dir.display()
    )
}

/// Whether a directory holds nothing but these files, whole or half written (`write_private` writes
/// hidden ones first).
fn has_only(dir: &Path, known: &[&str]) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.flatten().map(|entry| entry.file_name()).all(|name| {
        let name = name.to_str().unwrap_or_default();
        known.iter().any(|known| {
            name == *known || name.strip_prefix('.').is_some_and(|it| it.starts_with(known))
        })
    })
}

/// Backups that a crash left half-sent are nobody's.
fn prepare_scratch(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)
            .with_context(|| format!("cannot clear `{}`", dir.display()))?;
    }
    ensure_private_dir(dir)?;
    Ok(())
}

/// The addresses to bind: `[::]` stands for every address, IPv4 too; on a host without IPv6 its
/// addresses are left out, so that the defaults work there.
pub(crate) fn reachable(configured: &[SocketAddr]) -> Vec<SocketAddr> {
    let has_ipv6 = std::fs::read("/proc/net/if_inet6").is_ok_and(|list| !list.is_empty());
    let mut addresses = Vec::new();
    for &address in configured {
        if address.is_ipv4() || has_ipv6 {
            addresses.push(address);
        } else {
            tracing::warn!(%address, "this host has no IPv6, the address is left out");
        }
        if address.is_ipv6() && address.ip().is_unspecified() {
            addresses.push(SocketAddr::from(([0, 0, 0, 0], address.port())));
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_that_stopped_ends_the_node() {
        let dir = tempfile::TempDir::new().unwrap();
        let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
        let ended = tokio::spawn({
            let store = store.clone();
            async move { broken(&store).await }
        });
        store.put("/k", "v").await.unwrap();
        assert!(!ended.is_finished());
        store.shutdown().await;
        let fault = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap().unwrap();
        assert!(!fault.is_empty());
    }

    #[test]
    fn a_node_that_was_not_let_in_may_ask_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let pki = dir.path().join("pki");
        std::fs::write(dir.path().join("smr.lock"), "1").unwrap();
        std::fs::create_dir(&pki).unwrap();
        smr_pki::NodeKey::load_or_create(&pki.join(NODE_KEY)).unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_ok(), "it asked and got no answer");
        for name in [BUNDLE, DATA_KEY, ".node.pem.tmp"] {
            std::fs::write(pki.join(name), "").unwrap();
        }
        std::fs::write(dir.path().join("node.json"), "{}").unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_ok(), "it was let in");
        std::fs::create_dir(dir.path().join("store")).unwrap();
        std::fs::write(dir.path().join("store/lock"), "").unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_ok(), "its store was begun");
        std::fs::write(pki.join("server.key"), "somebody's").unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_err());
    }

    #[test]
    fn only_a_new_an_empty_or_our_own_directory_is_taken() {
        let dir = tempfile::TempDir::new().unwrap();
        assert!(refuse_somebody_elses(&dir.path().join("new")).is_ok());
        assert!(refuse_somebody_elses(dir.path()).is_ok());
        std::fs::write(dir.path().join("smr.lock"), "1").unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_ok());
        std::fs::write(dir.path().join("somebody's"), "data").unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_err());
        std::fs::create_dir(dir.path().join("pki")).unwrap();
        std::fs::write(dir.path().join("pki/ca.crt"), "certificate").unwrap();
        assert!(refuse_somebody_elses(dir.path()).is_ok());
    }
}
