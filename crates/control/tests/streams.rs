//! Replicas, reports, restarts, events and watches.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use futures_util::StreamExt as _;
use smr_control::{Report, keyspace};
use smr_model::{Event, Kind, ObjectKey, ReplicaKey};
use smr_wire::{Code, EventQuery, ReplicaQuery, StreamItem, WatchKind, WatchQuery};
use support::{Fixture, configuration, containers, control, kim, open, secret, status};

fn running(name: &str) -> Event {
    Event {
        revision: 99,
        kind: "running".to_owned(),
        object: ObjectKey::new(Kind::Containers, "g", name),
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
        node: String::new(),
        message: String::new(),
    }
}

#[tokio::test]
async fn reports_restarts_and_details_of_replicas() {
    let it = control().await;
    it.apply(&containers("g", "web"), "c.yaml", false, &kim()).await.unwrap();
    let before = it.restart("g", "web", &kim()).await.unwrap();
    assert_eq!(before.replicas, ["g-web-1", "g-web-2"], "before any agent has seen it");

    let put = [10, 9, 1].map(|index| status("web", index)).to_vec();
    let report = Report { put, events: vec![running("g-web-9")], ..Report::default() };
    let revision = it.report(report).await.unwrap();
    let list = it.replicas(&ReplicaQuery::default()).await.unwrap();
    let names: Vec<_> = list.items.iter().map(|s| s.key.generated_name()).collect();
    assert_eq!(names, ["g-web-1", "g-web-9", "g-web-10"]);

    let detail = it.replica("g", "g-web-9").await.unwrap();
    assert_eq!(detail.definition["kind"], "containers");
    assert_eq!(detail.events.len(), 1);
    assert_eq!(detail.events[0].revision, revision, "the revision is that of the report");
    assert_eq!(detail.events[0].node, "node-1");

    let missing = it.replica("g", "g-web-2").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.hint().unwrap().contains("g-web-10"));

    let one = it.restart("g", "g-web-9", &kim()).await.unwrap();
    assert_eq!(one.replicas, ["g-web-9"]);
    let tokens = it.restart_tokens().await.unwrap();
    let nine = ReplicaKey::new("g", "web", 9);
    assert!(tokens.contains_key(&nine));
    let gone = Report { remove: vec![nine.clone()], ..Report::default() };
    it.report(gone).await.unwrap();
    assert!(it.restart_tokens().await.unwrap().contains_key(&nine), "the leader removes it");
    it.delete(&ObjectKey::new(Kind::Containers, "g", "web"), None, &kim()).await.unwrap();
    assert!(it.restart_tokens().await.unwrap().is_empty(), "tokens go with the object");
}

#[tokio::test]
async fn the_ring_of_events_goes_on_after_a_restart_and_forgets_the_oldest() {
    let Fixture { control: it, dir } = control().await;
    for _ in 0..3 {
        it.report(Report { events: vec![running("g-web-1")], ..Report::default() }).await.unwrap();
    }
    it.store().shutdown().await;
    drop(it);
    let it = open(&dir).await;
    it.report(Report { events: vec![running("g-web-2")], ..Report::default() }).await.unwrap();
    let slots = it.store().list(keyspace::EVENTS).unwrap().kvs;
    assert_eq!(slots.last().unwrap().key, keyspace::event(1, 3));
    let query = EventQuery { limit: Some(1), ..EventQuery::default() };
    let last = it.events(&query).await.unwrap();
    assert_eq!(last.items[0].object.name, "g-web-2");
    let from = EventQuery { from: Some(last.items[0].revision), ..EventQuery::default() };
    assert_eq!(it.events(&from).await.unwrap().items, last.items);
}

#[tokio::test]
async fn followers_get_the_past_and_then_what_happens() {
    let it = control().await;
    it.apply(&configuration("a", "x"), "a.yaml", false, &kim()).await.unwrap();
    let follow = EventQuery { follow: true, ..EventQuery::default() };
    let mut all = it.follow_events(&follow).await.unwrap();
    let mut new = it.follow_events(&EventQuery { new: true, ..follow.clone() }).await.unwrap();
    let resource = Some("secret/g/s".to_owned());
    let mut some = it.follow_events(&EventQuery { resource, ..follow }).await.unwrap();
    it.apply(&configuration("b", "x"), "b.yaml", false, &kim()).await.unwrap();
    it.apply(&secret("hunter2"), "s.yaml", false, &kim()).await.unwrap();
    let name = |item: Option<StreamItem>| match item {
        Some(StreamItem::Event(event)) => event.object.name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name(all.next().await), "a");
    assert_eq!(name(all.next().await), "b");
    assert_eq!(name(new.next().await), "b");
    assert_eq!(name(some.next().await), "s");
}

#[tokio::test]
async fn watches_show_the_present_then_changes_and_resume() {
    let it = control().await;
    it.apply(&(configuration("a", "x") + &secret("hunter2")), "a.yaml", false, &kim())
        .await
        .unwrap();
    let put = vec![status("web", 1)];
    it.report(Report { put, ..Report::default() }).await.unwrap();
    let mut watch = it.watch(&WatchQuery::default()).await.unwrap();
    let mut next = async || match watch.next().await {
        Some(StreamItem::Watch(event)) => *event,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await.key.unwrap().name, "a");
    let masked = serde_json::to_string(&next().await).unwrap();
    assert!(masked.contains("******") && !masked.contains("hunter2"));
    assert_eq!(next().await.replica.unwrap().key.index, 1);
    let synced = next().await;
    assert_eq!(synced.kind, WatchKind::Synced);

    let a = ObjectKey::new(Kind::Configuration, "g", "a");
    it.delete(&a, None, &kim()).await.unwrap();
    it.apply(&configuration("b", "x"), "b.yaml", false, &kim()).await.unwrap();
    let deleted = next().await;
    assert_eq!((deleted.kind, deleted.key), (WatchKind::Delete, Some(a)));
    let b = next().await;
    assert_eq!(b.object.unwrap().key.name, "b");

    let from = Some(deleted.revision + 1);
    let mut resumed = it.watch(&WatchQuery { from, ..WatchQuery::default() }).await.unwrap();
    let Some(StreamItem::Watch(event)) = resumed.next().await else { panic!() };
    assert_eq!(event.revision, b.revision);

    it.store().compact(b.revision).await.unwrap();
    let gone = it.watch(&WatchQuery { from: Some(2), ..WatchQuery::default() }).await;
    assert_eq!(gone.err().unwrap().code(), Code::Compacted);
    let what = Some("nope".to_owned());
    let bad = it.watch(&WatchQuery { what, ..WatchQuery::default() }).await;
    assert_eq!(bad.err().unwrap().code(), Code::BadRequest);
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_is_alive() {
    let it = control().await;
    let what = Some("replicas".to_owned());
    let mut watch = it.watch(&WatchQuery { what, ..WatchQuery::default() }).await.unwrap();
    assert!(matches!(watch.next().await, Some(StreamItem::Watch(_))));
    let revision = it.revision();
    // Not before: the store's own deadlines would be over while its disk works.
    tokio::time::pause();
    assert_eq!(watch.next().await, Some(StreamItem::Progress(revision)));
}

#[tokio::test]
async fn nodes_are_written_only_when_they_changed() {
    let it = control().await;
    let mut node = smr_model::NodeStatus {
        id: 1,
        name: "node-1".to_owned(),
        addresses: vec!["127.0.0.1:1443".to_owned()],
        version: "0".to_owned(),
        engine: String::new(),
        engine_ready: false,
        engine_message: String::new(),
        os: String::new(),
        kernel: String::new(),
        arch: String::new(),
        cpus: 1,
        memory: 1,
        reserved_cpu_millis: 0,
        reserved_memory: 0,
        driver: String::new(),
        peer: String::new(),
        labels: Default::default(),
        started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    let first = it.put_node(&node).await.unwrap();
    assert_eq!(it.put_node(&node).await.unwrap(), first);
    node.engine_ready = true;
    assert!(it.put_node(&node).await.unwrap() > first);
    let shown = it.nodes().await.unwrap().items;
    assert_eq!(shown.into_iter().map(|view| view.status).collect::<Vec<_>>(), [node]);
}

#[tokio::test]
async fn fingerprints_depend_on_the_specification_only() {
    let it = control().await;
    let spec = smr_model::ContainerSpec { name: "a".to_owned(), ..Default::default() };
    assert_eq!(it.fingerprint(&spec), it.fingerprint(&spec.clone()));
    assert_eq!(it.fingerprint(&spec).len(), 32);
    let other = smr_model::ContainerSpec { name: "b".to_owned(), ..Default::default() };
    assert_ne!(it.fingerprint(&spec), it.fingerprint(&other));
}
