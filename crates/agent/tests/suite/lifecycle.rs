//! From apply to running, to another form, to the end.

use std::time::Duration;

use smr_engine::{Operation, Program};
use smr_model::{EngineState, Kind, ReplicaKey, ReplicaState};

use crate::support::{CHANGING, Node, calls_of, containers};

#[tokio::test]
async fn applied_replicas_run() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "envs: ['INDEX=(( .index ))']")).await;
    let statuses = node.until_running(&["shop-web-1", "shop-web-2"]).await;
    let second = &statuses["shop-web-2"];
    assert!(second.ready && second.reason.is_none());
    assert_eq!((second.node.as_str(), second.image.as_str()), ("node-1", "web:1"));
    assert_eq!(second.container_id, node.id("shop-web-2"));
    assert_eq!(node.engine.spec("shop-web-2").unwrap().env, ["INDEX=2"]);
    assert_eq!(node.engine.names(), ["shop-web-1", "shop-web-2"]);
    // Addresses are read shortly after the start.
    node.until("the address is known", |all| !all["shop-web-1"].addresses.is_empty()).await;
}

#[tokio::test]
async fn events_tell_every_state_in_order() {
    let node = Node::start().await;
    let key = ReplicaKey::new("shop", "web", 1);
    node.apply(&containers("web", "1", 1, "")).await;
    node.until_running(&["shop-web-1"]).await;
    let up = [
        "created",
        "prepare",
        "depends_checking",
        "depends_solved",
        "start",
        "readiness_check",
        "readiness_ready",
        "running",
    ];
    assert_eq!(node.events(&key).await, up);
    node.remove(Kind::Containers, "shop", "web").await;
    node.until("no replica is left", |all| all.is_empty()).await;
    assert_eq!(node.events(&key).await[up.len()..], ["delete", "deleted"]);
}

#[tokio::test]
async fn scaling_touches_only_what_is_missing_or_too_much() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    let two = node.ids();
    node.engine.take_calls();

    node.apply(&containers("web", "1", 4, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2", "shop-web-3", "shop-web-4"]).await;
    let four = node.ids();
    assert!(two.iter().all(|(name, id)| four[name] == *id), "{two:?} {four:?}");
    let calls = calls_of(&node.engine.take_calls(), &CHANGING);
    assert_eq!(calls.len(), 4, "two creations and two starts: {calls:?}");

    node.apply(&containers("web", "1", 1, "")).await;
    node.until_running(&["shop-web-1"]).await;
    assert_eq!(
        node.ids().into_iter().collect::<Vec<_>>(),
        two.into_iter().take(1).collect::<Vec<_>>()
    );
    let calls = calls_of(&node.engine.take_calls(), &CHANGING);
    assert!(calls.iter().all(|c| c.target != four["shop-web-1"]), "{calls:?}");
}

#[tokio::test]
async fn another_definition_replaces_every_replica() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    let before = node.ids();
    node.apply(&containers("web", "2", 2, "")).await;
    node.until("all are of the new image", |all| {
        all.values()
            .all(|s| s.image == "web:2" && s.state == ReplicaState::Running && s.generation == 2)
    })
    .await;
    for (name, id) in node.ids() {
        assert_ne!(before[&name], id);
        assert_eq!(node.engine.container(&name).unwrap().image, "web:2");
    }
    assert_eq!(node.engine.names().len(), 2);
}

#[tokio::test]
async fn a_restart_replaces_once() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    let before = node.ids();
    node.restart("shop", "shop-web-2").await;
    node.until("the restart is done", |all| {
        let it = &all["shop-web-2"];
        !it.restart_token.is_empty() && it.state == ReplicaState::Running
    })
    .await;
    let after = node.ids();
    assert_eq!(before["shop-web-1"], after["shop-web-1"]);
    assert_ne!(before["shop-web-2"], after["shop-web-2"]);
}

#[tokio::test]
async fn run_once_replicas_complete_or_fail_and_rest() {
    let node = Node::start().await;
    node.engine.set_program("shop-good-1", Program::ends(Duration::ZERO, 0));
    node.engine.set_program("shop-bad-1", Program::ends(Duration::ZERO, 3));
    node.apply(&containers("good", "1", 1, "restart: never")).await;
    node.apply(&containers("bad", "1", 1, "restart: never")).await;
    let statuses = node
        .until("both rest", |all| {
            all.get("shop-good-1").is_some_and(|s| s.state == ReplicaState::Completed)
                && all.get("shop-bad-1").is_some_and(|s| s.state == ReplicaState::Failed)
        })
        .await;
    assert_eq!(statuses["shop-good-1"].exit_code, Some(0));
    assert_eq!(statuses["shop-bad-1"].exit_code, Some(3));
    let message = &statuses["shop-bad-1"].reason.as_ref().unwrap().message;
    assert!(message.contains("exit code 3"), "{message}");
    let starts = calls_of(&node.engine.take_calls(), &[Operation::Start]);
    assert_eq!(starts.len(), 2, "nothing was started again");
}

#[tokio::test]
async fn an_init_container_ends_before_the_main_one_starts() {
    let node = Node::start().await;
    node.engine.set_program("shop-web-1-init", Program::ends(Duration::from_millis(50), 0));
    let text = containers("web", "1", 1, "").replace("---\n", "")
        + "initContainer: {image: web, tag: \"2\"}\n";
    node.apply(&text).await;
    node.until_running(&["shop-web-1"]).await;
    let init = node.engine.container("shop-web-1-init").unwrap();
    assert_eq!((init.state, init.exit_code), (EngineState::Exited, Some(0)));
    let main = node.engine.container("shop-web-1").unwrap();
    assert!(main.started_at >= init.finished_at);
    assert!(node.events(&ReplicaKey::new("shop", "web", 1)).await.contains(&"init".to_owned()));

    node.remove(Kind::Containers, "shop", "web").await;
    node.until_engine("both containers are gone", |engine| engine.names().is_empty()).await;
}

#[tokio::test]
async fn another_init_container_runs_before_another_main_one() {
    let node = Node::start().await;
    node.engine.set_program("shop-web-1-init", Program::ends(Duration::ZERO, 0));
    let with_init = |tag: &str| {
        containers("web", "1", 1, "").replace("---\n", "")
            + &format!("initContainer: {{image: web, tag: \"{tag}\"}}\n")
    };
    node.apply(&with_init("1")).await;
    node.until_running(&["shop-web-1"]).await;
    let (main, init) = (node.id("shop-web-1"), node.id("shop-web-1-init"));
    node.apply(&with_init("2")).await;
    node.until("another one runs", |all| {
        let it = &all["shop-web-1"];
        it.state == ReplicaState::Running && it.container_id != main
    })
    .await;
    assert_ne!(node.id("shop-web-1-init"), init);
    assert_eq!(node.engine.container("shop-web-1-init").unwrap().image, "web:2");
}

#[tokio::test]
async fn a_failing_init_container_is_tried_again() {
    let node = Node::start().await;
    node.engine.set_program("shop-web-1-init", Program::ends(Duration::ZERO, 4));
    let text = containers("web", "1", 1, "").replace("---\n", "")
        + "initContainer: {image: web, tag: \"2\"}\n";
    node.apply(&text).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::InitFailed).await;
    let reason = statuses["shop-web-1"].reason.clone().unwrap();
    assert!(reason.message.contains("exit code 4"), "{reason:?}");
    node.engine.set_program("shop-web-1-init", Program::ends(Duration::ZERO, 0));
    node.until_running(&["shop-web-1"]).await;
}

#[tokio::test]
async fn removal_kills_what_does_not_obey_within_its_grace_time() {
    let node = Node::start().await;
    node.engine.set_program("web:1", Program::forever().deaf());
    node.apply(&containers("web", "1", 2, "stopTimeout: 200ms")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    node.remove(Kind::Containers, "shop", "web").await;
    // Far less than the engine's own ten seconds.
    let gone = node.until("no status is left", |all| all.is_empty());
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("within the grace time");
    assert!(node.engine.names().is_empty());
    let left = node.control.store().list("/smr/status/").unwrap();
    assert!(left.kvs.is_empty());
}

/// Gone and back under the same name, faster than anything can be carried out.
#[tokio::test]
async fn an_object_removed_and_applied_at_once_runs_once() {
    let node = Node::start().await;
    for round in 0..5 {
        let tag = if round % 2 == 0 { "1" } else { "2" };
        node.apply(&containers("web", tag, 2, "")).await;
        node.remove(Kind::Containers, "shop", "web").await;
    }
    node.apply(&containers("web", "2", 2, "")).await;
    node.until("both run the last image", |all| {
        all.len() == 2
            && all.values().all(|s| s.state == ReplicaState::Running && s.image == "web:2")
    })
    .await;
    assert_eq!(node.engine.names(), ["shop-web-1", "shop-web-2"]);
    assert!(node.engine.names().iter().all(|n| node.engine.container(n).unwrap().image == "web:2"));
}
