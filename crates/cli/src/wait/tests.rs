//! Tests of `wait`.

use jiff::Timestamp;
use serde_json::json;
use smr_model::{Reason, ReplicaKey};
use smr_wire::Object;

use super::*;

fn web() -> ObjectKey {
    ObjectKey::new(Kind::Containers, "shop", "web")
}

fn event(kind: WatchKind) -> WatchEvent {
    WatchEvent { kind, revision: 1, key: None, object: None, replica: None }
}

fn object(generation: u64, spec: serde_json::Value) -> WatchEvent {
    let time = Timestamp::UNIX_EPOCH;
    let definition = json!({ "spec": spec });
    let object =
        Object { key: web(), definition, generation, revision: 1, created: time, updated: time };
    WatchEvent { key: Some(web()), object: Some(object), ..event(WatchKind::Put) }
}

fn status(index: u32, generation: u64, state: ReplicaState) -> ReplicaStatus {
    ReplicaStatus {
        state,
        generation,
        ..ReplicaStatus::new(ReplicaKey::new("shop", "web", index), "n", 1, Timestamp::UNIX_EPOCH)
    }
}

fn replica(status: ReplicaStatus) -> WatchEvent {
    let key = ObjectKey::new(Kind::Containers, "shop", status.key.generated_name());
    WatchEvent { key: Some(key), replica: Some(status), ..event(WatchKind::Put) }
}

fn gone(index: u32) -> WatchEvent {
    let key = ObjectKey::new(Kind::Containers, "shop", format!("shop-web-{index}"));
    WatchEvent { key: Some(key), ..event(WatchKind::Delete) }
}

/// What `ready` says after these events.
fn after(events: impl IntoIterator<Item = WatchEvent>) -> Ready {
    let mut ready = Ready::new([(web(), 2)]);
    for event in events {
        ready.see(event);
    }
    ready
}

#[test]
fn all_replicas_of_the_new_definition_have_to_be_ready() {
    let two = json!({"replicas": 2});
    let one = replica(status(1, 2, ReplicaState::Running));
    let old = replica(status(2, 1, ReplicaState::Running));
    let new = replica(status(2, 2, ReplicaState::Running));
    let synced = event(WatchKind::Synced);
    let waits = after([object(2, two.clone()), one.clone(), old.clone(), synced.clone()]);
    assert_eq!(waits.progress(), Progress::Waiting);
    assert_eq!(waits.counts(), (1, 2));
    assert_eq!(waits.missing(), ["containers/shop/shop-web-2: has the definition before"]);
    let done = after([object(2, two), one, old, synced, new]);
    assert_eq!(done.progress(), Progress::Done(2));
    assert!(done.missing().is_empty());
}

#[test]
fn a_replica_per_node_is_as_many_as_there_are() {
    let everywhere = json!({"placement": {"strategy": "global"}});
    let synced = event(WatchKind::Synced);
    let on = |index, state| replica(status(index, 2, state));
    let running = ReplicaState::Running;
    let none = after([object(2, everywhere.clone()), synced.clone()]);
    assert_eq!(none.progress(), Progress::Waiting);
    let first = on(1, running);
    let second = on(2, ReplicaState::Pending);
    let waits = after([object(2, everywhere.clone()), first.clone(), second, synced.clone()]);
    assert_eq!((waits.progress(), waits.counts()), (Progress::Waiting, (1, 2)));
    let done = after([object(2, everywhere), first, on(2, running), synced]);
    assert_eq!(done.progress(), Progress::Done(2));
}

#[test]
fn nothing_is_decided_before_everything_was_seen() {
    let events = [object(2, json!({})), replica(status(1, 2, ReplicaState::Running))];
    assert_eq!(after(events.clone()).progress(), Progress::Waiting);
    let mut ready = after(events.into_iter().chain([event(WatchKind::Synced)]));
    assert_eq!(ready.progress(), Progress::Done(1));
    ready.restart();
    assert_eq!(ready.progress(), Progress::Waiting);
}

#[test]
fn what_ran_to_its_end_is_done_and_what_failed_for_good_is_told() {
    let synced = event(WatchKind::Synced);
    let completed = replica(status(1, 2, ReplicaState::Completed));
    let ready = after([object(2, json!({})), synced.clone(), completed]);
    assert_eq!(ready.progress(), Progress::Done(1));
    let mut failed = status(1, 2, ReplicaState::Failed);
    failed.exit_code = Some(3);
    failed.reason = Some(Reason::new("Exited", "the command failed"));
    let ready = after([object(2, json!({})), synced, replica(failed)]);
    assert_eq!(
        ready.progress(),
        Progress::Failed(vec![
            "containers/shop/shop-web-1: failed: the command failed (exit code 3)".into()
        ])
    );
}

#[test]
fn a_crash_loop_and_a_refused_definition_end_the_wait_but_a_failed_pull_does_not() {
    let trouble = |state, code: &str| {
        let mut status = status(1, 2, state);
        status.reason = Some(Reason::new(code, "why"));
        after([object(2, json!({})), event(WatchKind::Synced), replica(status)]).progress()
    };
    assert!(matches!(trouble(ReplicaState::Backoff, "CrashLoop"), Progress::Failed(_)));
    assert!(matches!(trouble(ReplicaState::DaemonFailure, "EngineRefused"), Progress::Failed(_)));
    let pull = trouble(ReplicaState::DaemonFailure, "ImagePullFailed");
    assert_eq!(pull, Progress::Waiting);
}

#[test]
fn a_failure_of_the_definition_before_does_not_count() {
    let ready = after([
        object(2, json!({})),
        replica(status(1, 1, ReplicaState::Failed)),
        event(WatchKind::Synced),
    ]);
    assert_eq!(ready.progress(), Progress::Waiting);
}

#[test]
fn an_object_without_replicas_and_one_that_is_removed_are_done() {
    let synced = event(WatchKind::Synced);
    let none = after([object(2, json!({"replicas": 0})), synced.clone()]);
    assert_eq!(none.progress(), Progress::Done(0));
    let removed = WatchEvent { key: Some(web()), ..event(WatchKind::Delete) };
    assert_eq!(after([synced.clone(), removed]).progress(), Progress::Done(0));
    let missing = after([synced]);
    assert_eq!(missing.progress(), Progress::Waiting);
    assert_eq!(missing.missing(), ["containers/shop/web: no replica yet"]);
}

#[test]
fn only_changes_are_told_and_only_of_what_is_waited_for() {
    let mut ready = after([]);
    assert!(ready.see(replica(status(1, 2, ReplicaState::Start))).is_some());
    assert!(ready.see(replica(status(1, 2, ReplicaState::Start))).is_none());
    let mut other = status(1, 2, ReplicaState::Start);
    other.key = ReplicaKey::new("shop", "db", 1);
    assert!(ready.see(replica(other)).is_none());
    let secrets = Ready::new([(ObjectKey::new(Kind::Secret, "shop", "web"), 1)]);
    assert!(secrets.is_empty());
}

#[test]
fn what_is_tried_again_is_told_once() {
    let mut ready = after([]);
    let mut told = 0;
    for attempt in 1..=3 {
        for (state, code) in [
            (ReplicaState::Start, ""),
            (ReplicaState::DaemonFailure, "ImagePullFailed"),
            (ReplicaState::Dead, "Exited"),
        ] {
            let mut status = status(1, 2, state);
            status.restarts = attempt;
            status.reason = (!code.is_empty())
                .then(|| Reason::new(code, format!("attempt {attempt} at 10:00:0{attempt}")));
            told += usize::from(ready.see(replica(status)).is_some());
        }
    }
    assert_eq!(told, 3);
    ready.restart();
    assert!(ready.see(replica(status(1, 2, ReplicaState::Start))).is_none());
    let mut other = status(1, 2, ReplicaState::DaemonFailure);
    other.reason = Some(Reason::new("EngineRefused", "why"));
    assert!(ready.see(replica(other)).is_some(), "another reason is news");
    assert!(
        ready.see(replica(status(1, 3, ReplicaState::Start))).is_some(),
        "so is a new definition"
    );
}

#[test]
fn gone_is_when_nothing_is_left() {
    let mut waits = Gone::new([web(), ObjectKey::new(Kind::Secret, "shop", "s")]);
    waits.see(replica(status(1, 2, ReplicaState::Running)));
    waits.see(replica(status(2, 2, ReplicaState::Delete)));
    waits.see(event(WatchKind::Synced));
    waits.see(gone(1));
    assert!(!waits.is_done());
    assert_eq!(waits.missing(), ["containers/shop/shop-web-2: delete"]);
    waits.see(gone(2));
    assert!(waits.is_done());
    waits.restart();
    assert!(!waits.is_done());
}
