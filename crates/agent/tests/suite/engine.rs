//! The engine goes away, hangs, comes back; the agent does; and what is not ours stays.

use std::time::Duration;

use smr_agent::EngineStatus;
use smr_engine::{Operation, Program};
use smr_model::{Kind, ReplicaState};
use smr_store::Store;

use crate::support::{CHANGING, Node, calls_of, containers};

fn down(status: &EngineStatus) -> bool {
    matches!(status, EngineStatus::Down(_))
}

#[tokio::test]
async fn after_an_outage_all_dead_replicas_are_back_once() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 20, "")).await;
    let all_run = |all: &crate::support::Statuses| {
        all.len() == 20 && all.values().all(|s| s.state == ReplicaState::Running && s.ready)
    };
    node.until("twenty run", all_run).await;
    let before = node.ids();
    node.engine.set_reachable(false);
    node.engine_is(down).await;
    let told = |s: &smr_model::ReplicaStatus| {
        s.reason.as_ref().is_some_and(|r| r.code == "EngineUnavailable")
    };
    node.until("all say why nothing is known", |all| all.values().all(told)).await;
    for name in before.keys() {
        node.engine.kill(name, 137);
    }
    node.engine.set_reachable(true);
    node.until_engine("other containers run", |engine| {
        before
            .iter()
            .all(|(name, id)| engine.container(name).is_some_and(|c| c.is_running() && c.id != *id))
    })
    .await;
    let statuses =
        node.until("twenty run again", |all| all_run(all) && !all.values().any(told)).await;
    assert_eq!(node.engine.names().len(), 20);
    assert!(statuses.values().all(|s| s.quick_deaths == 0), "the engine died, not they");
}

#[tokio::test]
async fn what_lives_through_an_outage_is_left_alone() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    let before = node.ids();
    node.engine.take_calls();
    node.engine.set_reachable(false);
    node.engine_is(down).await;
    // Changed while nothing can be done about it.
    node.apply(&containers("web", "1", 1, "")).await;
    node.apply(&containers("new", "1", 1, "")).await;
    node.engine.set_reachable(true);
    node.until_running(&["shop-new-1", "shop-web-1"]).await;
    assert_eq!(node.id("shop-web-1"), before["shop-web-1"]);
    let calls = calls_of(&node.engine.take_calls(), &CHANGING);
    assert!(calls.iter().all(|c| c.target != before["shop-web-1"]), "{calls:?}");
}

#[tokio::test]
async fn an_object_removed_during_an_outage_leaves_nothing() {
    let mut node = Node::start().await;
    node.apply(&containers("web", "1", 3, "")).await;
    node.until("three run", |all| all.len() == 3 && all.values().all(|s| s.ready)).await;
    node.kill_agent().await;
    node.engine.set_reachable(false);
    node.remove(Kind::Containers, "shop", "web").await;
    node.start_agent().await;
    node.engine_is(down).await;
    node.apply(&containers("other", "1", 1, "")).await;
    node.until("statuses are kept", |all| all.contains_key("shop-other-1")).await;
    let kept = node.statuses().await;
    assert_eq!(kept.len(), 4, "nobody knows yet whether they are gone: {:?}", kept.keys());
    node.engine.set_reachable(true);
    node.until_running(&["shop-other-1"]).await;
    assert_eq!(node.engine.names(), ["shop-other-1"]);
}

#[tokio::test]
async fn a_slow_engine_ends_at_what_was_wanted_last() {
    let node = Node::start().await;
    for operation in [Operation::Create, Operation::Start, Operation::Stop, Operation::List] {
        node.engine.set_latency(operation, Duration::from_millis(120));
    }
    for tag in ["1", "2", "1", "2"] {
        node.apply(&containers("web", tag, 3, "")).await;
        node.until_engine("something is under way", |engine| !engine.names().is_empty()).await;
    }
    node.apply(&containers("web", "1", 2, "")).await;
    node.until("two run the last image", |all| {
        all.len() == 2
            && all.values().all(|s| s.state == ReplicaState::Running && s.generation == 5)
    })
    .await;
    assert_eq!(node.engine.names(), ["shop-web-1", "shop-web-2"]);
    assert!(node.engine.names().iter().all(|n| node.engine.container(n).unwrap().image == "web:1"));
}

#[tokio::test]
async fn broken_event_streams_lose_nothing() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    let first = node.until_running(&["shop-web-1", "shop-web-2"]).await;
    node.engine.break_events();
    node.engine.kill("shop-web-2", 1);
    node.until("the other one is back", |all| {
        all["shop-web-2"].state == ReplicaState::Running
            && all["shop-web-2"].container_id != first["shop-web-2"].container_id
            && all["shop-web-2"].reason.is_none()
    })
    .await;
    assert_eq!(node.id("shop-web-1"), first["shop-web-1"].container_id);
}

/// Revision of the last write of each status.
fn revisions(store: &Store) -> Vec<(String, u64)> {
    let found = store.list("/smr/status/").unwrap();
    found.kvs.into_iter().map(|kv| (kv.key, kv.mod_revision)).collect()
}

#[tokio::test]
async fn an_agent_after_a_crash_adopts_what_runs() {
    let mut node = Node::start().await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    let spec = "readiness: [{name: up, command: [check]}]";
    node.apply(&containers("web", "1", 5, spec)).await;
    node.until("five run, addresses known", |all| {
        all.len() == 5 && all.values().all(|s| s.ready && !s.addresses.is_empty())
    })
    .await;
    node.kill_agent().await;
    let (before, stored) = (node.ids(), revisions(node.control.store()));
    node.engine.take_calls();
    node.start_agent().await;
    node.engine_is(|status| *status == EngineStatus::Ready).await;
    // When this runs, everything reported before it is stored.
    node.apply(&containers("zebra", "1", 1, "")).await;
    node.until("the new one runs", |all| all.get("shop-zebra-1").is_some_and(|s| s.ready)).await;
    let mut after = node.ids();
    let zebra = after.remove("shop-zebra-1").unwrap();
    assert_eq!(before, after);
    let calls = calls_of(&node.engine.take_calls(), &CHANGING);
    assert!(calls.iter().all(|c| c.target == zebra || c.target == "shop-zebra-1"), "{calls:?}");
    assert_eq!(revisions(node.control.store())[..5], stored, "nothing to tell about them");
}

#[tokio::test]
async fn an_agent_that_stops_leaves_containers_and_statuses() {
    let mut node = Node::start().await;
    node.apply(&containers("web", "1", 3, "")).await;
    let running = node
        .until("three run", |all| {
            all.len() == 3 && all.values().all(|s| s.state == ReplicaState::Running)
        })
        .await;
    // More is under way when it is stopped.
    node.engine.set_latency(Operation::Create, Duration::from_millis(100));
    node.apply(&containers("more", "1", 100, "")).await;
    node.until("some are known", |all| all.len() > 3).await;
    node.engine.take_calls();
    node.stop_agent().await;
    let calls = calls_of(&node.engine.take_calls(), &[Operation::Create]);
    assert!(calls.len() < 50, "what had not begun was dropped, {} began", calls.len());
    let statuses = node.statuses().await;
    for (name, status) in running {
        assert_eq!(statuses[&name].state, ReplicaState::Running);
        assert!(node.engine.container(&name).unwrap().is_running());
        assert_eq!(statuses[&name].container_id, status.container_id);
    }
    node.engine.set_latency(Operation::Create, Duration::ZERO);
    node.start_agent().await;
    node.until("all run", |all| all.len() == 103 && all.values().all(|s| s.ready)).await;
    assert_eq!(node.engine.names().len(), 103);
}

#[tokio::test]
async fn containers_of_others_are_never_touched() {
    let node = Node::start().await;
    let foreign = node.engine.add_foreign("shop-web-1", "theirs:1");
    let other = node.engine.add_foreign("unrelated", "theirs:1");
    node.apply(&containers("web", "1", 1, "")).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::DaemonFailure).await;
    let reason = statuses["shop-web-1"].reason.clone().unwrap();
    assert_eq!(reason.code, "Conflict");
    assert!(reason.message.contains("shop-web-1"), "{}", reason.message);
    // Not even when ours of that name is not wanted any more.
    node.remove(Kind::Containers, "shop", "web").await;
    node.until("the replica is gone", |all| all.is_empty()).await;
    assert!(node.engine.container(&foreign).unwrap().is_running());

    node.apply(&containers("web", "1", 1, "")).await;
    node.until_all(&["shop-web-1"], ReplicaState::DaemonFailure).await;
    node.engine.vanish("shop-web-1");
    node.until_running(&["shop-web-1"]).await;
    assert!(node.engine.container(&other).unwrap().is_running());
    let touched = [Operation::Stop, Operation::Remove];
    let calls = calls_of(&node.engine.take_calls(), &touched);
    assert!(calls.iter().all(|c| c.target != foreign && c.target != other), "{calls:?}");
}

#[tokio::test]
async fn leftovers_of_ours_that_nobody_wants_are_removed() {
    let mut node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    node.kill_agent().await;
    // Object and statuses are gone, the containers are all that is left.
    node.remove(Kind::Containers, "shop", "web").await;
    for index in 1..=2 {
        let key = format!("/smr/status/containers/shop/web/{index}");
        node.control.store().delete(&key).await.unwrap();
    }
    node.start_agent().await;
    node.until_engine("both are gone", |engine| engine.names().is_empty()).await;
    node.until("no status is left", |all| all.is_empty()).await;
}
