//! Containers replaced on their node without a gap, also when smr crashes in the middle.

use std::time::Duration;

use smr_engine::{ErrorClass, Operation, Program};
use smr_model::ReplicaState;

use crate::support::{DEADLINE, Node, containers};

const CHECKED: &str = "readiness: [{name: up, command: [check], timeout: 60s}]";
const BOTH: [&str; 2] = ["shop-web-1", "shop-web-1.previous"];

/// A node with a replica that runs, and whose checks are then answered with `code`.
async fn running(code: i64) -> (Node, String) {
    let node = Node::start().await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    node.apply(&containers("web", "1", 1, CHECKED)).await;
    node.until_running(&["shop-web-1"]).await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, code));
    let old = node.id("shop-web-1");
    (node, old)
}

/// Waits until the new container runs alone and is ready.
async fn until_replaced(node: &Node, old: &str) {
    node.until("the new one runs", |all| {
        let status = &all["shop-web-1"];
        status.state == ReplicaState::Running
            && status.ready
            && status.image == "web:2"
            && status.container_id != old
            && status.reason.is_none()
    })
    .await;
    node.until_engine("alone", |engine| engine.names() == ["shop-web-1"]).await;
    assert_eq!(node.engine.container("shop-web-1").unwrap().image, "web:2");
}

#[tokio::test]
async fn the_former_container_runs_until_the_new_one_is_ready() {
    let (node, old) = running(1).await;
    node.apply(&containers("web", "2", 1, CHECKED)).await;
    node.until("the new one is checked", |all| {
        let status = &all["shop-web-1"];
        status.state == ReplicaState::ReadinessCheck
            && !status.ready
            && status.generation == 2
            && status.reason.as_ref().is_some_and(|reason| reason.code == "PreviousServes")
    })
    .await;
    assert_eq!(node.engine.names(), BOTH);
    let former = node.engine.container("shop-web-1.previous").unwrap();
    assert!(former.is_running() && former.id == old);
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    until_replaced(&node, &old).await;
}

#[tokio::test]
async fn the_former_container_is_taken_back_when_the_change_is() {
    let (node, old) = running(1).await;
    node.apply(&containers("web", "2", 1, CHECKED)).await;
    node.until_engine("both are there", |engine| {
        engine.names() == BOTH && engine.container("shop-web-1").is_some_and(|c| c.is_running())
    })
    .await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    node.engine.set_latency(Operation::ExecCheck, Duration::from_millis(200));
    node.apply(&containers("web", "1", 1, CHECKED)).await;
    node.until("it is as it was", |all| {
        let status = &all["shop-web-1"];
        status.state == ReplicaState::Running && status.generation == 3
    })
    .await;
    node.until_engine("alone", |engine| engine.names() == ["shop-web-1"]).await;
    // Unless the new one was ready before the change came.
    let now = node.engine.container("shop-web-1").unwrap();
    assert_eq!(now.image, "web:1");
    assert_eq!(now.id, old);
}

/// Published ports cannot be had twice: the old one goes first.
#[tokio::test]
async fn with_a_port_of_the_host_the_former_container_goes_first() {
    let node = Node::start().await;
    let port = "ports: [{container: '80', host: '8080'}]";
    node.apply(&containers("web", "1", 1, port)).await;
    node.until_running(&["shop-web-1"]).await;
    let old = node.id("shop-web-1");
    node.engine.take_calls();
    node.apply(&containers("web", "2", 1, port)).await;
    until_replaced(&node, &old).await;
    let calls = node.engine.take_calls();
    assert!(calls.iter().all(|call| call.operation != Operation::Rename), "{calls:?}");
}

#[tokio::test]
async fn a_missing_image_is_pulled_while_the_former_container_keeps_its_name() {
    let (node, old) = running(0).await;
    node.engine.remove_image("web:2");
    node.apply(&containers("web", "2", 1, CHECKED)).await;
    node.until("it cannot be pulled", |all| {
        let status = &all["shop-web-1"];
        let reason = status.reason.as_ref();
        status.state == ReplicaState::DaemonFailure
            && reason.is_some_and(|r| r.code == "ImagePullFailed" && r.message.contains("goes on"))
    })
    .await;
    assert_eq!(node.engine.names(), ["shop-web-1"]);
    assert_eq!(node.id("shop-web-1"), old);
    node.engine.set_pull("web:2", Ok(()));
    until_replaced(&node, &old).await;
}

/// smr is killed at every point at which the engine can be made to hold it up.
#[tokio::test]
async fn a_crash_at_any_point_of_a_replacement_ends_right() {
    let points: [(&str, Operation, &[&str]); 5] = [
        ("before it is set aside", Operation::Rename, &["shop-web-1"]),
        ("before the new one is made", Operation::Create, &["shop-web-1.previous"]),
        ("before the new one is started", Operation::Start, &BOTH),
        ("before the new one is ready", Operation::ExecCheck, &BOTH),
        ("before the old one is removed", Operation::Stop, &BOTH),
    ];
    for (point, operation, names) in points {
        let (mut node, old) = running(0).await;
        node.engine.set_latency(operation, Duration::from_secs(60));
        node.engine.take_calls();
        node.apply(&containers("web", "2", 1, CHECKED)).await;
        let held_up = async {
            while !node.engine.take_calls().iter().any(|call| call.operation == operation) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, held_up).await.expect(point);
        node.kill_agent().await;
        assert_eq!(node.engine.names(), names, "{point}");
        let runs = |name: &&str| node.engine.container(name).is_some_and(|c| c.is_running());
        assert!(names.iter().any(runs), "{point}");
        node.engine.set_latency(operation, Duration::ZERO);
        node.start_agent().await;
        until_replaced(&node, &old).await;
    }
}

/// The engine renames, but its answer is lost.
#[tokio::test]
async fn an_answer_that_is_lost_does_no_harm() {
    for operation in [Operation::Rename, Operation::Create, Operation::Start, Operation::Remove] {
        let (node, old) = running(0).await;
        node.engine.fail(operation, 1, ErrorClass::Unavailable);
        node.apply(&containers("web", "2", 1, CHECKED)).await;
        until_replaced(&node, &old).await;
    }
}
