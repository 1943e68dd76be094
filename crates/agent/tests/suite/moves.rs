//! Two nodes of one cluster: replicas that move between them, and definitions that reach them one by
//! one.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use smr_control::keyspace;
use smr_engine::{ContainerEngine as _, EngineEventKind, Operation, Program};
use smr_model::{Health, NodeHealth, ReplicaKey, ReplicaState, ReplicaStatus};
use smr_store::Store;
use tempfile::TempDir;

use crate::{
    assign::{assign, assign_at},
    support::{CHANGING, DEADLINE, Node, calls_of, containers, containers_in, kim},
};

const STOP_FIRST: &str = "update: {order: stop-first}";
const CHECKED: &str = "readiness: [{name: up, command: [check], timeout: 60s}]";

struct Pair {
    one: Node,
    two: Node,
    _dir: TempDir,
}

impl Pair {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
        for id in [1, 2] {
            let member = format!("{{\"name\": \"node-{id}\"}}");
            store.put(&keyspace::member(id), member).await.unwrap();
        }
        let (mut one, mut two) = (Node::member(store.clone(), 1), Node::member(store, 2));
        one.start_agent().await;
        two.start_agent().await;
        Self { one, two, _dir: dir }
    }

    async fn apply(&self, text: &str, node: impl Fn(&ReplicaKey) -> u64) {
        self.one.control.apply(text, "test.yaml", false, &kim()).await.unwrap();
        self.assign(node).await;
    }

    async fn assign(&self, node: impl Fn(&ReplicaKey) -> u64) {
        assign(&self.one.control, node).await;
    }

    /// What a node says of a replica.
    fn status(&self, key: &ReplicaKey, node: u64) -> Option<ReplicaStatus> {
        let kv = self.one.control.store().get(&keyspace::status(key, node)).unwrap();
        kv.map(|kv| serde_json::from_slice(&kv.value).unwrap())
    }

    /// Waits until a replica runs on that node and on no other.
    async fn until_only_on(&self, key: &ReplicaKey, node: u64) {
        self.one
            .until("it runs there and nowhere else", |_| {
                let there = self.status(key, node);
                there.is_some_and(|s| s.state == ReplicaState::Running && s.ready)
                    && self.status(key, 3 - node).is_none()
            })
            .await;
    }

    async fn health(&self, node: u64, state: Health) {
        let health = NodeHealth { state, since: Timestamp::now(), message: String::new() };
        let value = serde_json::to_vec(&health).unwrap();
        self.one.control.store().put(&keyspace::health(node), value).await.unwrap();
    }
}

fn web() -> ReplicaKey {
    ReplicaKey::new("shop", "web", 1)
}

/// When the first container of a node dies that dies from now on.
async fn death(node: &Node) -> impl Future<Output = Timestamp> {
    let mut events = node.engine.events(None).await.unwrap();
    async move {
        let found = async {
            loop {
                let event = events.next().await.unwrap().unwrap();
                if matches!(event.kind, EngineEventKind::Died(_)) {
                    return event.time;
                }
            }
        };
        tokio::time::timeout(DEADLINE, found).await.expect("it ends in time")
    }
}

#[tokio::test]
async fn stop_first_never_runs_on_both_nodes() {
    let pair = Pair::start().await;
    pair.apply(&containers("web", "1", 1, STOP_FIRST), |_| 1).await;
    pair.until_only_on(&web(), 1).await;
    pair.one.engine.set_latency(Operation::Stop, Duration::from_millis(300));
    let died = death(&pair.one).await;
    pair.assign(|_| 2).await;
    pair.one
        .until("it waits for the other node, by name", |_| {
            pair.status(&web(), 2).is_some_and(|status| {
                status.state == ReplicaState::Transfering
                    && status.reason.is_some_and(|r| r.message.contains("`node-1`"))
            })
        })
        .await;
    pair.until_only_on(&web(), 2).await;
    let started = pair.two.engine.container("shop-web-1").unwrap().started_at.unwrap();
    assert!(died.await <= started, "it had ended before the other one started");
    assert!(pair.one.engine.names().is_empty());
}

#[tokio::test]
async fn start_first_always_runs_somewhere() {
    let pair = Pair::start().await;
    for node in [&pair.one, &pair.two] {
        node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    }
    pair.apply(&containers("web", "1", 1, CHECKED), |_| 1).await;
    pair.until_only_on(&web(), 1).await;
    let id = pair.one.id("shop-web-1");
    pair.two.engine.set_program("check", Program::ends(Duration::ZERO, 1));
    let died = death(&pair.one).await;
    pair.assign(|_| 2).await;
    pair.two.until_engine("it is tried there", |e| !e.names().is_empty()).await;
    pair.one
        .until("it stays here meanwhile, and says why", |_| {
            let here = pair.status(&web(), 1);
            let there = pair.status(&web(), 2);
            here.is_some_and(|s| {
                s.ready && s.reason.is_some_and(|r| r.message.contains("`node-2`"))
            }) && there.is_some_and(|s| s.state == ReplicaState::ReadinessCheck && !s.ready)
        })
        .await;
    assert_eq!(pair.one.id("shop-web-1"), id);
    pair.two.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    pair.until_only_on(&web(), 2).await;
    let started = pair.two.engine.container("shop-web-1").unwrap().started_at.unwrap();
    assert!(started < died.await, "it started before the other one ended");
    // And back again, as often as somebody likes.
    pair.assign(|_| 1).await;
    pair.until_only_on(&web(), 1).await;
    assert!(pair.two.engine.names().is_empty());
}

/// Nobody waits for a node that is down; when it is back it drops what is no longer its own.
#[tokio::test]
async fn a_node_that_was_down_drops_its_copy_when_it_is_back() {
    let mut pair = Pair::start().await;
    pair.apply(&containers("web", "1", 2, STOP_FIRST), |key| u64::from(key.index)).await;
    let (first, second) = (web(), ReplicaKey::new("shop", "web", 2));
    pair.until_only_on(&first, 1).await;
    pair.until_only_on(&second, 2).await;
    pair.one.kill_agent().await;
    pair.assign(|_| 2).await;
    pair.health(1, Health::Down).await;
    pair.one
        .until("it runs elsewhere", |_| {
            pair.status(&first, 2).is_some_and(|s| s.state == ReplicaState::Running)
        })
        .await;
    assert_eq!(pair.one.engine.names(), ["shop-web-1"], "the node is cut off, not its engine");
    pair.health(1, Health::Ready).await;
    pair.two.engine.take_calls();
    pair.one.engine.take_calls();
    pair.one.start_agent().await;
    pair.until_only_on(&first, 2).await;
    assert!(pair.one.engine.names().is_empty());
    let calls = calls_of(&pair.one.engine.take_calls(), &CHANGING);
    assert!(calls.iter().all(|c| c.operation != Operation::Create), "{calls:?}");
    let calls = calls_of(&pair.two.engine.take_calls(), &CHANGING);
    assert!(calls.is_empty(), "what runs there is left alone: {calls:?}");
}

/// A replica runs the definition it is assigned at, whatever the newest one is.
#[tokio::test]
async fn definitions_reach_replicas_one_by_one() {
    let mut pair = Pair::start().await;
    let control = pair.one.control.clone();
    pair.apply(&containers("web", "1", 2, ""), |_| 1).await;
    let second = ReplicaKey::new("shop", "web", 2);
    pair.until_only_on(&web(), 1).await;
    pair.until_only_on(&second, 1).await;
    let before = pair.one.ids();
    pair.one.engine.take_calls();
    control.apply(&containers("web", "2", 2, ""), "test.yaml", false, &kim()).await.unwrap();
    // Also for an agent that starts now, and knows the first definition from history only.
    pair.one.kill_agent().await;
    pair.one.start_agent().await;
    assign_at(&control, |key| (1, if key.index == 1 { 2 } else { 1 })).await;
    pair.one
        .until("the first one is changed", |_| {
            pair.status(&web(), 1)
                .is_some_and(|s| s.generation == 2 && s.ready && s.image == "web:2")
        })
        .await;
    let now = pair.one.ids();
    assert_ne!(now["shop-web-1"], before["shop-web-1"]);
    assert_eq!(now["shop-web-2"], before["shop-web-2"]);
    assert_eq!(pair.status(&second, 1).unwrap().generation, 1);
    // Back to the first definition, by history, on another node.
    assign_at(&control, |key| (u64::from(key.index), 1)).await;
    pair.until_only_on(&second, 2).await;
    pair.one
        .until("the first one is changed back", |_| {
            let status = pair.status(&web(), 1);
            status.is_some_and(|s| s.generation == 1 && s.ready && s.image == "web:1")
        })
        .await;
    assert_eq!(pair.two.engine.container("shop-web-2").unwrap().image, "web:1");
    let images: BTreeMap<_, _> =
        pair.one.ids().into_keys().map(|n| (n.clone(), pair.one.engine.container(&n))).collect();
    assert_eq!(images["shop-web-1"].as_ref().unwrap().image, "web:1");
}

#[tokio::test]
async fn dependencies_are_seen_across_nodes() {
    let pair = Pair::start().await;
    pair.one.engine.set_program("check", Program::ends(Duration::ZERO, 1));
    let db = containers_in("back", "db", "1", 1, CHECKED);
    let web = containers("web", "1", 1, "dependencies: [{group: back, name: db, timeout: 60s}]");
    pair.apply(&(db + &web), |key| if key.group == "back" { 1 } else { 2 }).await;
    pair.one
        .until("it waits for what runs on the other node", |_| {
            pair.status(&self::web(), 2).is_some_and(|s| {
                s.reason.is_some_and(|r| r.message.contains("back-db-1 (readiness_check)"))
            })
        })
        .await;
    pair.one.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    pair.until_only_on(&self::web(), 2).await;
}

/// What runs is not touched because its assignment is not there yet, or is that of a former object.
#[tokio::test]
async fn what_has_no_assignment_yet_stays_as_it_is() {
    let pair = Pair::start().await;
    pair.apply(&containers("web", "1", 1, ""), |_| 1).await;
    pair.until_only_on(&web(), 1).await;
    let before = pair.one.ids();
    pair.one.control.store().delete(&keyspace::assignment(&web())).await.unwrap();
    pair.one
        .until("it says so", |all| {
            let reason = all["shop-web-1"].reason.as_ref();
            reason.is_some_and(|reason| reason.code == "Unassigned")
        })
        .await;
    assert_eq!(pair.one.ids(), before);
    pair.assign(|_| 1).await;
    pair.one.until("all is well", |all| all["shop-web-1"].reason.is_none()).await;
    assert_eq!(pair.one.ids(), before);
}
