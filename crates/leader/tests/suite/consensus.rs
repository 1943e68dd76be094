//! Several members: the voters follow the records, and only the leader writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use smr_control::{Control, keyspace};
use smr_leader::Leader;
use smr_model::{Health, NodeHealth};
use smr_store::{Member, Rpc, Store, Transport, TransportError};
use tempfile::TempDir;

use crate::support::{
    FakeNet, UNIFORM, admit, apply, assignments, containers, control, lead, until,
};

/// Stores that reach each other, unless they are cut off.
#[derive(Clone, Default)]
struct Wires(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    stores: BTreeMap<u64, Store>,
    cut: BTreeSet<u64>,
}

impl Wires {
    fn reach(&self, from: u64, to: u64) -> Option<Store> {
        let inner = self.0.lock().unwrap();
        let is_cut = inner.cut.contains(&from) || inner.cut.contains(&to);
        inner.stores.get(&to).filter(|_| !is_cut).cloned()
    }
}

/// What one store reaches the others by.
struct Wire {
    from: u64,
    wires: Wires,
}

impl Transport for Wire {
    fn call(
        &self,
        target: Member,
        rpc: Rpc,
    ) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        let store = self.wires.reach(self.from, target.id);
        Box::pin(async move {
            let failed = |source| TransportError { target: target.id, source };
            let Some(store) = store else { return Err(failed("nobody is there".into())) };
            store.handle(rpc).await.map_err(|error| failed(error.into()))
        })
    }
}

struct Node {
    control: Control,
    leader: Leader,
    _dir: TempDir,
}

async fn node(id: u64, wires: &Wires, net: &FakeNet) -> Node {
    let dir = TempDir::new().unwrap();
    let mut options = smr_store::Options::new(dir.path());
    options.node_id = id;
    options.address = format!("host-{id}:9212");
    options.bootstrap = id == 1;
    options.heartbeat = Duration::from_millis(100);
    options.transport = Arc::new(Wire { from: id, wires: wires.clone() });
    let store = Store::open(options).await.unwrap();
    wires.0.lock().unwrap().stores.insert(id, store.clone());
    let control = control(store, id);
    let leader = lead(&control, net);
    Node { control, leader, _dir: dir }
}

/// Three nodes that all vote; the first one leads.
async fn three(wires: &Wires, net: &FakeNet) -> [Node; 3] {
    let one = node(1, wires, net).await;
    admit(&one.control, 1).await;
    let two = node(2, wires, net).await;
    let three = node(3, wires, net).await;
    admit(&one.control, 2).await;
    admit(&one.control, 3).await;
    until(&one.control, "three vote", || voters(&one) == [1, 2, 3]).await;
    [one, two, three]
}

fn voters(node: &Node) -> Vec<u64> {
    node.control.store().status().voters
}

async fn stop(nodes: [Node; 3]) {
    for node in nodes {
        node.leader.shutdown().await;
        node.control.store().shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_become_voters_and_only_the_leader_writes() {
    let (wires, net) = (Wires::default(), FakeNet::default());
    let [one, two, three] = three(&wires, &net).await;
    apply(&one.control, &containers("web", "1", 3, UNIFORM)).await;
    let placed = |node: &Node, name: &str| assignments(&node.control, name).len();
    until(&one.control, "the leader places", || placed(&one, "web") == 3).await;

    one.control.store().transfer(2).await.unwrap();
    apply(&two.control, &containers("api", "1", 2, UNIFORM)).await;
    until(&two.control, "the next leader places", || placed(&two, "api") == 2).await;

    // Without the one that leads nobody places: the others do not write.
    two.leader.shutdown().await;
    assert!(two.control.store().is_leader());
    apply(&two.control, &containers("db", "1", 1, UNIFORM)).await;
    apply(&two.control, &containers("end", "1", 1, UNIFORM)).await;
    let last = keyspace::object(&crate::support::key("end"));
    for node in [&one, &three] {
        let store = node.control.store();
        until(&node.control, "all know it", || store.get(&last).unwrap().is_some()).await;
    }
    assert_eq!(placed(&two, "db"), 0);

    // A removed member loses its vote, and the leader does not have to be asked twice.
    two.control.store().transfer(3).await.unwrap();
    until(&three.control, "the third one places", || placed(&three, "db") == 1).await;
    three.control.store().put(keyspace::removed(2), "{}").await.unwrap();
    three.control.store().delete(&keyspace::member(2)).await.unwrap();
    until(&three.control, "it has no vote", || !voters(&three).contains(&2)).await;
    stop([one, two, three]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_writes_nothing_and_its_replicas_run_elsewhere() {
    let (wires, net) = (Wires::default(), FakeNet::default());
    let [one, two, three] = three(&wires, &net).await;
    apply(&one.control, &containers("web", "1", 3, UNIFORM)).await;
    let nodes = |node: &Node| -> Vec<u64> {
        assignments(&node.control, "web").values().map(|it| it.node.unwrap_or(0)).collect()
    };
    until(&two.control, "it is placed", || nodes(&two) == [1, 2, 3]).await;

    wires.0.lock().unwrap().cut.insert(1);
    net.kill(1);
    let moved = |node: &Node| !nodes(node).contains(&1) && !nodes(node).contains(&0);
    until(&two.control, "nothing is left on the lost leader", || moved(&two)).await;
    assert_eq!(nodes(&one), [1, 2, 3], "who is cut off sees and writes nothing");

    wires.0.lock().unwrap().cut.clear();
    net.revive(1);
    let is_ready = || {
        let kv = one.control.store().get(&keyspace::health(1)).unwrap();
        let health = kv.map(|kv| serde_json::from_slice::<NodeHealth>(&kv.value).unwrap());
        health.is_some_and(|it| it.state == Health::Ready) && moved(&one)
    };
    until(&one.control, "it is back and knows", is_ready).await;
    assert_eq!(nodes(&one), nodes(&two));
    let events = two.control.events(&smr_wire::EventQuery::default()).await.unwrap().items;
    let moves: Vec<String> =
        events.into_iter().filter(|it| it.kind == "assigned").map(|it| it.node).collect();
    assert!(moves.len() == 1 && moves[0] != "node-1", "{moves:?}");
    stop([one, two, three]).await;
}
