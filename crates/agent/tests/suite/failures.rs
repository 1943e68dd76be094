//! What goes wrong with one replica, and how it goes on.

use std::time::Duration;

use smr_engine::{ErrorClass, Operation, Program, PullFailure};
use smr_model::{ImageState, ReplicaState};

use crate::support::{CHANGING, Node, calls_of, containers};

#[tokio::test]
async fn a_crash_loop_backs_off_and_a_restart_revives_it() {
    let node = Node::start().await;
    node.engine.set_program("web:1", Program::ends(Duration::ZERO, 7));
    node.apply(&containers("web", "1", 1, "")).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::Backoff).await;
    let status = &statuses["shop-web-1"];
    assert!(status.quick_deaths >= 6 && status.retry_at.is_some());
    assert_eq!(status.exit_code, Some(7));
    let reason = status.reason.as_ref().unwrap();
    assert_eq!(reason.code, "CrashLoop");
    node.engine.set_program("web:1", Program::forever());
    node.restart("shop", "web").await;
    let statuses = node.until_running(&["shop-web-1"]).await;
    assert_eq!(statuses["shop-web-1"].quick_deaths, 0);
}

#[tokio::test]
async fn a_container_that_dies_or_vanishes_comes_back() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 2, "")).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    for (name, vanishes) in [("shop-web-1", false), ("shop-web-2", true)] {
        let old = node.id(name);
        if vanishes {
            node.engine.vanish(name);
        } else {
            node.engine.kill_for_memory(name);
        }
        node.until("it is back", |all| {
            all[name].state == ReplicaState::Running
                && !all[name].container_id.is_empty()
                && all[name].container_id != old
        })
        .await;
    }
    assert_eq!(node.engine.names(), ["shop-web-1", "shop-web-2"]);
}

#[tokio::test]
async fn a_failed_pull_is_shown_and_tried_again() {
    let node = Node::start().await;
    node.engine.set_pull("web:3", Err(PullFailure::Network));
    node.apply(&containers("web", "3", 1, "")).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::DaemonFailure).await;
    let status = &statuses["shop-web-1"];
    assert_eq!(status.image_state, ImageState::Failed);
    assert!(status.retry_at.is_some());
    let reason = status.reason.as_ref().unwrap();
    assert_eq!(reason.code, "ImagePullFailed");
    assert!(reason.message.contains("web:3"), "{}", reason.message);
    node.engine.set_pull("web:3", Ok(()));
    let statuses = node.until_running(&["shop-web-1"]).await;
    assert_eq!(statuses["shop-web-1"].image_state, ImageState::Pulled);
}

#[tokio::test]
async fn a_corrected_image_does_not_wait_for_the_next_attempt() {
    let node = Node::start().await;
    node.apply(&containers("web", "3", 1, "")).await;
    node.until("several attempts failed", |all| {
        let calls = |s: &smr_model::ReplicaStatus| s.retry_at.is_some_and(|at| at > s.since);
        all.values().any(|s| s.state == ReplicaState::DaemonFailure && calls(s))
    })
    .await;
    node.apply(&containers("web", "1", 1, "")).await;
    node.until_running(&["shop-web-1"]).await;
}

#[tokio::test]
async fn always_pulls_before_every_creation() {
    let node = Node::start().await;
    node.engine.set_pull("web:1", Ok(()));
    node.apply(&containers("web", "1", 1, "pullPolicy: Always")).await;
    node.until_running(&["shop-web-1"]).await;
    node.restart("shop", "web").await;
    let again = |all: &crate::support::Statuses| {
        all["shop-web-1"].state == ReplicaState::Running
            && !all["shop-web-1"].restart_token.is_empty()
    };
    node.until("it runs again", again).await;
    let calls = calls_of(&node.engine.take_calls(), &[Operation::Pull, Operation::Create]);
    let kinds: Vec<_> = calls.iter().map(|call| call.operation).collect();
    let (pull, create) = (Operation::Pull, Operation::Create);
    assert_eq!(kinds, [pull, create, pull, create]);
}

#[tokio::test]
async fn never_does_not_pull() {
    let node = Node::start().await;
    node.engine.set_pull("web:3", Ok(()));
    node.apply(&containers("web", "3", 1, "pullPolicy: Never")).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::DaemonFailure).await;
    assert_eq!(statuses["shop-web-1"].reason.as_ref().unwrap().code, "ImageMissing");
    node.engine.add_image("web:3");
    node.until_running(&["shop-web-1"]).await;
    assert!(calls_of(&node.engine.take_calls(), &[Operation::Pull]).is_empty());
}

#[tokio::test]
async fn refused_calls_are_tried_again() {
    let node = Node::start().await;
    node.engine.fail(Operation::Create, 1, ErrorClass::Refused);
    node.engine.fail(Operation::Start, 1, ErrorClass::Other);
    node.apply(&containers("web", "1", 1, "")).await;
    node.until_running(&["shop-web-1"]).await;
    node.engine.fail(Operation::Stop, 1, ErrorClass::Other);
    node.engine.fail(Operation::Remove, 1, ErrorClass::Other);
    node.apply(&containers("web", "2", 1, "")).await;
    node.until("the new one runs", |all| {
        all["shop-web-1"].state == ReplicaState::Running && all["shop-web-1"].image == "web:2"
    })
    .await;
    assert_eq!(node.engine.container("shop-web-1").unwrap().image, "web:2");
}

#[tokio::test]
async fn a_container_made_by_a_call_that_seemed_to_fail_is_found() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 1, "")).await;
    node.until_running(&["shop-web-1"]).await;
    // The removal is carried out, its answer is lost: the creation after it meets nothing, and
    // one whose answer is lost meets its own container.
    node.engine.fail(Operation::Create, 1, ErrorClass::Conflict);
    node.restart("shop", "web").await;
    node.until("it runs again", |all| {
        all["shop-web-1"].state == ReplicaState::Running
            && !all["shop-web-1"].restart_token.is_empty()
    })
    .await;
    assert_eq!(node.engine.names(), ["shop-web-1"]);
}

#[tokio::test]
async fn a_container_that_never_gets_ready_is_killed_and_tried_again() {
    let node = Node::start().await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 1));
    let spec = "readiness: [{name: up, command: [check], timeout: 300ms}]";
    node.apply(&containers("web", "1", 1, spec)).await;
    node.until("it was tried more than once", |all| {
        all.get("shop-web-1").is_some_and(|s| s.restarts >= 1 && !s.ready)
    })
    .await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    let statuses = node.until_running(&["shop-web-1"]).await;
    assert!(statuses["shop-web-1"].ready);
}

#[tokio::test]
async fn a_container_that_stops_being_alive_is_replaced() {
    let node = Node::start().await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    let spec = "liveness: [{name: alive, command: [check], interval: 50ms, failures: 2}]";
    node.apply(&containers("web", "1", 1, spec)).await;
    node.until_running(&["shop-web-1"]).await;
    let old = node.id("shop-web-1");
    node.engine.set_program("check", Program::ends(Duration::ZERO, 1));
    node.until("it was killed", |all| all["shop-web-1"].restarts >= 1).await;
    node.engine.set_program("check", Program::ends(Duration::ZERO, 0));
    node.until_running(&["shop-web-1"]).await;
    assert_ne!(node.id("shop-web-1"), old);
}

/// The engine was ended in the middle of a start and keeps half of it: only another container starts.
#[tokio::test]
async fn a_container_that_never_starts_again_is_made_anew() {
    let node = Node::start().await;
    node.engine.spoil_starts(2);
    node.apply(&containers("web", "1", 1, "")).await;
    node.until_running(&["shop-web-1"]).await;
    let calls = calls_of(&node.engine.take_calls(), &CHANGING);
    let starts = calls.iter().filter(|call| call.operation == Operation::Start).count();
    assert_eq!(starts, 3, "{calls:?}");
    assert_eq!(node.engine.names(), ["shop-web-1"]);
}
