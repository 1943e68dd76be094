//! A leader over a real store in a directory of its own, and nodes that only pretend.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use smr_control::{Actor, Control, Options, keyspace};
use smr_leader::{Leader, PeerProbe, ProbeError, Settings};
use smr_model::{
    Assignment, EngineState, Kind, Member, NodeHealth, NodeRole, NodeSettings, NodeStatus,
    ObjectKey, ReplicaKey, ReplicaState, ReplicaStatus, Rollout,
};
use smr_pki::{DataKey, Role};
use smr_store::{KeyRange, Store};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network in which some nodes are silent.
#[derive(Clone, Default)]
pub(crate) struct FakeNet {
    dead: Arc<Mutex<BTreeSet<u64>>>,
    /// Nodes the leader does not reach, and others do.
    cut: Arc<Mutex<BTreeSet<u64>>>,
}

impl FakeNet {
    pub(crate) fn kill(&self, node: u64) {
        self.dead.lock().unwrap().insert(node);
    }

    pub(crate) fn revive(&self, node: u64) {
        self.dead.lock().unwrap().remove(&node);
    }

    pub(crate) fn cut(&self, node: u64) {
        self.cut.lock().unwrap().insert(node);
    }

    fn is_dead(&self, node: u64) -> bool {
        self.dead.lock().unwrap().contains(&node)
    }
}

impl PeerProbe for FakeNet {
    fn ping(&self, node: u64) -> BoxFuture<'static, Result<(), ProbeError>> {
        let silent = self.is_dead(node) || self.cut.lock().unwrap().contains(&node);
        let error = ProbeError { node, source: "silent".into() };
        Box::pin(std::future::ready(if silent { Err(error) } else { Ok(()) }))
    }

    fn probe(&self, via: u64, node: u64) -> BoxFuture<'static, Result<bool, ProbeError>> {
        let error = ProbeError { node: via, source: "silent".into() };
        let reached = !self.is_dead(node);
        Box::pin(std::future::ready(if self.is_dead(via) { Err(error) } else { Ok(reached) }))
    }
}

/// Times that make tests short.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings {
        ping_every: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(500),
        probe_timeout: Duration::from_millis(500),
        voters_every: Duration::from_millis(100),
        clean_every: Duration::from_millis(200),
        ..Settings::default()
    };
    settings.membership.down_after = Duration::from_millis(400);
    settings
}

pub(crate) struct Fixture {
    pub(crate) control: Control,
    pub(crate) net: FakeNet,
    pub(crate) leader: Leader,
    _dir: TempDir,
}

/// A leader, node 1, of so many nodes.
pub(crate) async fn cluster(nodes: u64) -> Fixture {
    let dir = TempDir::new().unwrap();
    let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
    let control = control(store, 1);
    for id in 1..=nodes {
        admit(&control, id).await;
    }
    let net = FakeNet::default();
    let leader = lead(&control, &net);
    Fixture { control, net, leader, _dir: dir }
}

pub(crate) fn control(store: Store, id: u64) -> Control {
    let options = Options { node_id: id, node_name: format!("node-{id}") };
    Control::new(store, DataKey::from_bytes(&[7; 32]), options)
}

pub(crate) fn lead(control: &Control, net: &FakeNet) -> Leader {
    Leader::start(smr_leader::Options {
        control: control.clone(),
        pings: Arc::new(net.clone()),
        settings: settings(),
    })
}

/// Writes the records of a node that joined and reported.
pub(crate) async fn admit(control: &Control, id: u64) {
    let now = Timestamp::now();
    let member = Member {
        id,
        name: format!("node-{id}"),
        peer: format!("host-{id}:9212"),
        api: format!("https://host-{id}:1443"),
        role: NodeRole::Voter,
        key_id: String::new(),
        epoch: 1,
        joined: now,
    };
    put(control, keyspace::member(id), &member).await;
    let status = NodeStatus {
        id,
        name: format!("node-{id}"),
        addresses: Vec::new(),
        version: "0.1.0".to_owned(),
        engine: "docker 20.10.24".to_owned(),
        engine_ready: true,
        engine_message: String::new(),
        os: "linux".to_owned(),
        kernel: "6.1".to_owned(),
        arch: "x86_64".to_owned(),
        cpus: 4,
        memory: 8 << 30,
        reserved_cpu_millis: 0,
        reserved_memory: 0,
        driver: "overlay2".to_owned(),
        peer: String::new(),
        labels: BTreeMap::new(),
        started_at: now,
    };
    put(control, keyspace::node(id), &status).await;
}

pub(crate) async fn put(control: &Control, key: String, record: &impl Serialize) {
    control.store().put(key, serde_json::to_vec(record).unwrap()).await.unwrap();
}

impl Fixture {
    pub(crate) async fn apply(&self, yaml: &str) {
        apply(&self.control, yaml).await;
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.control.store().delete(&keyspace::object(&key(name))).await.unwrap();
    }

    pub(crate) fn assignments(&self, name: &str) -> BTreeMap<u32, Assignment> {
        assignments(&self.control, name)
    }

    /// Node of each replica; 0 where there is none.
    pub(crate) fn nodes(&self, name: &str) -> Vec<u64> {
        self.assignments(name).values().map(|it| it.node.unwrap_or(0)).collect()
    }

    pub(crate) fn generations(&self, name: &str) -> Vec<u64> {
        self.assignments(name).values().map(|it| it.generation).collect()
    }

    /// Whether every assigned replica is ready on its node.
    pub(crate) fn is_ready(&self, name: &str) -> bool {
        let ready = |index: u32, node: u64| {
            let key = keyspace::status(&ReplicaKey::new("g", name, index), node);
            let kv = self.control.store().get(&key).unwrap();
            let status = kv.map(|kv| serde_json::from_slice::<ReplicaStatus>(&kv.value).unwrap());
            status.is_some_and(|status| status.ready)
        };
        self.assignments(name).iter().all(|(index, it)| it.node.is_some_and(|id| ready(*index, id)))
    }

    /// Revisions at which the assignments were written.
    pub(crate) fn revisions(&self, name: &str) -> Vec<u64> {
        let prefix = format!("{}g/{name}/", keyspace::ASSIGNMENTS);
        let found = self.control.store().list(&prefix).unwrap();
        found.kvs.into_iter().map(|kv| kv.mod_revision).collect()
    }

    pub(crate) fn rollout(&self, name: &str) -> Option<Rollout> {
        let kv = self.control.store().get(&keyspace::rollout("g", name)).unwrap()?;
        Some(serde_json::from_slice(&kv.value).unwrap())
    }

    pub(crate) fn health(&self, node: u64) -> Option<NodeHealth> {
        let kv = self.control.store().get(&keyspace::health(node)).unwrap()?;
        Some(serde_json::from_slice(&kv.value).unwrap())
    }

    pub(crate) async fn set(&self, node: u64, settings: &NodeSettings) {
        put(&self.control, keyspace::node_settings(node), settings).await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        until(&self.control, what, condition).await;
    }

    /// Kinds of events that were recorded, with their messages.
    pub(crate) async fn events(&self, kind: &str) -> Vec<String> {
        let events = self.control.events(&smr_wire::EventQuery::default()).await.unwrap().items;
        events.into_iter().filter(|it| it.kind == kind).map(|it| it.message).collect()
    }
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Containers, "g", name)
}

pub(crate) async fn apply(control: &Control, yaml: &str) {
    let kim = Actor { name: "kim".to_owned(), role: Role::Admin };
    control.apply(yaml, "t.yaml", false, &kim).await.unwrap();
}

pub(crate) fn assignments(control: &Control, name: &str) -> BTreeMap<u32, Assignment> {
    let found = control.store().list(&format!("{}g/{name}/", keyspace::ASSIGNMENTS)).unwrap();
    let read = |kv: smr_store::KeyValue| {
        let replica = keyspace::parse_assignment(&kv.key).unwrap();
        (replica.index, serde_json::from_slice(&kv.value).unwrap())
    };
    found.kvs.into_iter().map(read).collect()
}

/// Waits for changes of the keyspace until the condition holds.
pub(crate) async fn until(control: &Control, what: &str, mut condition: impl FnMut() -> bool) {
    let mut watch = control.store().watch(KeyRange::prefix("/smr/"), None).unwrap();
    let wait = async {
        while !condition() {
            watch.next().await.unwrap().unwrap();
        }
    };
    if timeout(PATIENCE, wait).await.is_err() {
        let found = control.store().list("/smr/").unwrap().kvs;
        let known: Vec<String> = found
            .into_iter()
            .filter(|kv| !kv.key.starts_with(keyspace::OBJECTS))
            .map(|kv| format!("{} = {}", kv.key, String::from_utf8_lossy(&kv.value)))
            .collect();
        panic!("waited in vain until {what}:\n{}", known.join("\n"));
    }
}

/// An object with `spread: uniform`, or with other lines of the definition.
pub(crate) fn containers(name: &str, tag: &str, replicas: u32, more: &str) -> String {
    format!(
        "kind: containers\nmeta: {{group: g, name: {name}}}\n\
         spec:\n  image: web\n  tag: \"{tag}\"\n  replicas: {replicas}\n{more}"
    )
}

pub(crate) const UNIFORM: &str = "  spread: {spread: uniform}\n";

/// Agents of all nodes: every replica runs and is ready, unless its generation is bad.
pub(crate) fn agents(control: &Control, bad: &[u64]) -> JoinHandle<()> {
    let control = control.clone();
    let bad = bad.to_vec();
    tokio::spawn(async move {
        let range = KeyRange::prefix(keyspace::ASSIGNMENTS);
        let mut watch = control.store().watch(range, Some(1)).unwrap();
        let mut homes: BTreeMap<ReplicaKey, u64> = BTreeMap::new();
        while let Some(Ok(batch)) = watch.next().await {
            for event in batch.events.iter() {
                let replica = keyspace::parse_assignment(&event.kv.key).unwrap();
                let assignment: Option<Assignment> = serde_json::from_slice(&event.kv.value).ok();
                let node = assignment.as_ref().and_then(|it| it.node);
                if let Some(old) = homes.remove(&replica).filter(|old| Some(*old) != node) {
                    let key = keyspace::status(&replica, old);
                    control.store().delete(&key).await.unwrap();
                }
                let (Some(assignment), Some(node)) = (assignment, node) else { continue };
                homes.insert(replica.clone(), node);
                let state = if bad.contains(&assignment.generation) {
                    ReplicaState::Dead
                } else {
                    ReplicaState::Running
                };
                report(&control, &replica, node, assignment.generation, state).await;
            }
        }
    })
}

pub(crate) async fn report(
    control: &Control,
    replica: &ReplicaKey,
    node: u64,
    generation: u64,
    state: ReplicaState,
) {
    let status = ReplicaStatus {
        state,
        ready: state == ReplicaState::Running,
        generation,
        engine_state: Some(EngineState::Running),
        ..ReplicaStatus::new(replica.clone(), format!("node-{node}"), node, Timestamp::now())
    };
    put(control, keyspace::status(replica, node), &status).await;
}
