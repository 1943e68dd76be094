//! What tests of others rely on: the in-memory engine does what it is told, and no more.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use smr_engine::{
    Call, ContainerEngine, EngineEventKind, ErrorClass, Health, MemoryEngine, Operation, Owner,
    Ownership, Program, PullFailure, Role, no_progress,
};
use smr_model::{ContainerSpec, EngineState, ReplicaKey};

fn engine() -> MemoryEngine {
    let engine = MemoryEngine::new(Owner { cluster: "c".into(), node: "n".into() });
    engine.add_image("app:1");
    engine.set_clock(|| Timestamp::UNIX_EPOCH);
    engine
}

async fn run(engine: &MemoryEngine, name: &str) -> String {
    let replica = ReplicaKey::new("g", name, 1);
    let spec = ContainerSpec {
        name: replica.generated_name(),
        image: "app:1".into(),
        ..Default::default()
    };
    let own = Ownership {
        cluster: "c".into(),
        node: "n".into(),
        replica,
        role: Role::Main,
        spec_hash: "h".into(),
        generation: 1,
    };
    let id = engine.create(&spec, &own).await.unwrap();
    engine.start(&id).await.unwrap();
    id
}

#[tokio::test]
async fn failures_come_as_often_as_arranged_and_calls_are_recorded() {
    let engine = engine();
    engine.fail(Operation::List, 2, ErrorClass::Other);
    for _ in 0..2 {
        assert_eq!(engine.list().await.unwrap_err().class(), ErrorClass::Other);
    }
    assert_eq!(engine.list().await.unwrap(), []);
    let call = Call { operation: Operation::List, target: String::new() };
    assert_eq!(engine.take_calls(), vec![call; 3]);
    assert_eq!(engine.take_calls(), []);
}

#[tokio::test]
async fn an_engine_out_of_reach_loses_events_but_not_containers() {
    let engine = engine();
    let id = run(&engine, "a").await;
    let mut events = engine.events(None).await.unwrap();
    engine.set_reachable(false);
    assert!(events.next().await.is_none());
    assert_eq!(engine.list().await.unwrap_err().class(), ErrorClass::Unavailable);
    assert_eq!(engine.events(None).await.map(|_| ()).unwrap_err().class(), ErrorClass::Unavailable);
    engine.kill("g-a-1", 1);
    engine.set_reachable(true);
    let listed = engine.list().await.unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].exit_code), (id.as_str(), Some(1)));
}

#[tokio::test]
async fn deaths_health_and_disappearance_are_told() {
    let engine = engine();
    run(&engine, "a").await;
    engine.add_foreign("theirs", "db:1");
    let mut events = engine.events(None).await.unwrap();
    engine.set_health("g-a-1", Health::Unhealthy);
    engine.kill("theirs", 9);
    engine.kill_for_memory("g-a-1");
    assert!(engine.container("g-a-1").unwrap().oom_killed);
    engine.vanish("g-a-1");
    let expected = [
        EngineEventKind::Health(Health::Unhealthy),
        EngineEventKind::OutOfMemory,
        EngineEventKind::Died(137),
        EngineEventKind::Disconnected("bridge".into()),
        EngineEventKind::Removed,
    ];
    for kind in expected {
        assert_eq!(events.next().await.unwrap().unwrap().kind, kind);
    }
    assert_eq!(engine.names(), ["theirs"]);
}

#[tokio::test]
async fn programs_end_by_themselves_and_a_later_run_is_another() {
    let engine = engine();
    engine.set_program("app:1", Program::ends(Duration::from_millis(20), 5).says("hi"));
    let id = run(&engine, "a").await;
    assert_eq!(engine.wait(&id).await.unwrap(), 5);
    engine.start(&id).await.unwrap();
    engine.kill(&id, 1);
    engine.start(&id).await.unwrap();
    assert_eq!(engine.container(&id).unwrap().state, EngineState::Running);
    engine.until(|engine| engine.container(&id).unwrap().exit_code == Some(5)).await;
}

#[tokio::test]
async fn images_are_pulled_as_arranged() {
    let engine = engine();
    engine.set_pull("new:1", Ok(()));
    engine.set_pull("secret:1", Err(PullFailure::Denied));
    engine.pull("new:1", None, &no_progress).await.unwrap();
    assert!(engine.image_present("new:1").await.unwrap());
    for image in ["secret:1", "unknown:1"] {
        let error = engine.pull(image, None, &no_progress).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::PullFailed);
    }
}

#[tokio::test]
async fn a_slow_call_takes_its_time() {
    let engine = engine();
    engine.set_latency(Operation::List, Duration::from_millis(30));
    let begun = std::time::Instant::now();
    engine.list().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(30));
}
