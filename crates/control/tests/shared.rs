//! What several nodes share: history, assignments, one view per replica, rollouts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use futures_util::StreamExt as _;
use smr_control::{AssignmentBatch, Control, Error, GENERATIONS, Report, keyspace};
use smr_model::{
    Assignment, EngineState, Kind, ObjectKey, Reason, ReplicaKey, ReplicaState, ReplicaStatus,
    Rollout, RolloutState,
};
use smr_state::RangeQuery;
use smr_wire::{
    Code, ObjectQuery, ReplicaQuery, RolloutAction, StreamItem, WatchEvent, WatchKind, WatchQuery,
};
use support::{Fixture, control, kim, open, status};

fn web(tag: &str) -> String {
    format!(
        "kind: containers\nmeta: {{group: g, name: web}}\nspec: {{image: web, tag: \"{tag}\", \
         replicas: 2, registryAuth: {}}}\n",
        auth(tag)
    )
}

/// base64 of `u:` and a password for the tag.
fn auth(tag: &str) -> &'static str {
    const AUTHS: [&str; 4] = ["dTowMDA=", "dTowMDE=", "dTowMDI=", "dTowMDM="];
    AUTHS[tag.parse::<usize>().unwrap() % 4]
}

fn web_key() -> ObjectKey {
    ObjectKey::new(Kind::Containers, "g", "web")
}

fn replica(index: u32) -> ReplicaKey {
    ReplicaKey::new("g", "web", index)
}

fn term(it: &Control) -> u64 {
    it.store().leadership().borrow().term
}

async fn apply(it: &Control, body: &str) -> u64 {
    it.apply(body, "t.yaml", false, &kim()).await.unwrap().results[0].generation
}

fn to(node: Option<u64>, generation: u64) -> Assignment {
    Assignment {
        node,
        uid: "u".to_owned(),
        generation,
        reason: node.is_none().then(|| Reason::new("Unschedulable", "no memory on 2 nodes")),
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

async fn assign(it: &Control, index: u32, assignment: Option<Assignment>) {
    let (_, known) = it.assignments().await.unwrap();
    let seen = known.get(&replica(index)).map_or(0, |(_, revision)| *revision);
    let mut batch = AssignmentBatch::new();
    match assignment {
        Some(assignment) => batch.put(&replica(index), &assignment, seen),
        None => batch.delete(&replica(index), seen),
    }
    let written = it.write_assignments(term(it), batch).await.unwrap();
    assert_eq!(written.conflicts, []);
}

fn on(node: u64, index: u32) -> ReplicaStatus {
    ReplicaStatus { node: format!("n{node}"), node_id: node, ..status("web", index) }
}

async fn report(it: &Control, statuses: &[ReplicaStatus]) {
    it.report(Report { put: statuses.to_vec(), ..Report::default() }).await.unwrap();
}

async fn list(it: &Control) -> Vec<ReplicaStatus> {
    it.replicas(&ReplicaQuery::default()).await.unwrap().items
}

#[tokio::test]
async fn the_last_generations_are_kept_and_open() {
    let it = control().await;
    for tag in 1..=GENERATIONS + 3 {
        assert_eq!(apply(&it, &web(&tag.to_string())).await, tag);
    }
    let kept = it.history(&web_key()).await.unwrap();
    let generations: Vec<u64> = kept.iter().map(|object| object.generation).collect();
    assert_eq!(generations, (4..=13).collect::<Vec<_>>());
    let text =
        |object: &smr_control::StoredObject| serde_json::to_string(&object.definition).unwrap();
    let five = it.object_at(&web_key(), 5).await.unwrap().unwrap();
    assert!(text(&five).contains(auth("5")), "confidential values are open");
    assert_eq!((five.home, five.by.as_str()), (1, "kim"));
    assert_eq!(it.object_at(&web_key(), 3).await.unwrap(), None);
    assert_eq!(it.object_at(&web_key(), 14).await.unwrap(), None);
    let present = it.object(&web_key()).await.unwrap();
    assert_eq!(it.object_at(&web_key(), 13).await.unwrap(), present);

    let found = it.store().range(&RangeQuery::prefix(keyspace::HISTORY)).unwrap();
    assert_eq!(found.kvs.len(), 10);
    assert!(found.kvs.iter().all(|kv| !String::from_utf8_lossy(&kv.value).contains("dTow")));
    assert_eq!(it.decode_history(&found.kvs[1]).unwrap(), five);

    it.delete(&web_key(), None, &kim()).await.unwrap();
    assert_eq!(it.store().range(&RangeQuery::prefix(keyspace::HISTORY)).unwrap().kvs, []);
    assert_eq!(it.store().range(&RangeQuery::prefix(keyspace::NAMES)).unwrap().kvs, []);
    assert!(it.history(&web_key()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_replicas_still_run_is_kept() {
    let it = control().await;
    apply(&it, &web("1")).await;
    apply(&it, &web("2")).await;
    // A rollout that was paused leaves the second replica where it is.
    assign(&it, 1, Some(to(Some(1), 4))).await;
    assign(&it, 2, Some(to(Some(1), 2))).await;
    for tag in 3..=GENERATIONS + 5 {
        apply(&it, &web(&tag.to_string())).await;
    }
    let generations = async || -> Vec<u64> {
        it.history(&web_key()).await.unwrap().iter().map(|object| object.generation).collect()
    };
    assert_eq!(generations().await, (2..=15).collect::<Vec<_>>());
    assign(&it, 2, Some(to(Some(1), 15))).await;
    assign(&it, 1, Some(to(Some(1), 15))).await;
    apply(&it, &web("16")).await;
    assert_eq!(generations().await, (7..=16).collect::<Vec<_>>());
}

#[tokio::test]
async fn only_containers_have_a_history() {
    let it = control().await;
    apply(&it, &support::configuration("a", "x")).await;
    assert_eq!(it.store().range(&RangeQuery::prefix(keyspace::HISTORY)).unwrap().kvs, []);
}

#[tokio::test]
async fn a_record_of_old_gets_its_history_with_the_next_change() {
    let it = control().await;
    apply(&it, &web("1")).await;
    it.store().delete(&keyspace::history(&web_key(), 1)).await.unwrap();
    let old = it.object_at(&web_key(), 1).await.unwrap().unwrap();
    assert_eq!(old.generation, 1, "the present definition needs no history");
    apply(&it, &web("2")).await;
    let kept = it.object_at(&web_key(), 1).await.unwrap().unwrap();
    assert_eq!(kept.definition, old.definition);
}

#[tokio::test]
async fn a_patch_keeps_the_home_and_an_apply_moves_it() {
    let it = control().await;
    apply(&it, &web("1")).await;
    let options = smr_control::Options { node_id: 2, node_name: "n2".to_owned() };
    let second = Control::new(it.store().clone(), smr_pki::DataKey::from_bytes(&[7; 32]), options);
    let home = async || it.object(&web_key()).await.unwrap().unwrap().home;
    second
        .patch(&web_key(), &serde_json::json!({"spec": {"replicas": 3}}), false, &kim())
        .await
        .unwrap();
    assert_eq!(home().await, 1);
    apply(&second, &web("2")).await;
    assert_eq!(home().await, 2);
}

#[tokio::test]
async fn names_of_the_engine_are_reserved_in_the_same_transaction() {
    let it = control().await;
    // `a-b` / `c` and `a` / `b-c` would both be `a-b-c-1`.
    let bodies: Vec<(String, String)> = (0..20)
        .map(|n| {
            (
                support::containers(&format!("a{n}-b"), "c"),
                support::containers(&format!("a{n}"), "b-c"),
            )
        })
        .collect();
    for (one, other) in &bodies {
        let actor = kim();
        let (one, other) = tokio::join!(
            it.apply(one, "1.yaml", false, &actor),
            it.apply(other, "2.yaml", false, &actor),
        );
        assert!(one.is_ok() != other.is_ok(), "exactly one of them is made");
        let error = one.and(other).unwrap_err();
        assert!(matches!(error, Error::NameTaken { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_name_is_free_again_when_its_object_is_gone() {
    let it = control().await;
    apply(&it, &support::containers("a-b", "c")).await;
    let key = ObjectKey::new(Kind::Containers, "a-b", "c");
    let reserved = keyspace::engine_name(Kind::Containers, "a-b-c");
    let kv = it.store().get(&reserved).unwrap().unwrap();
    assert_eq!(kv.value, keyspace::object(&key).as_bytes());
    it.delete(&key, None, &kim()).await.unwrap();
    apply(&it, &support::containers("a", "b-c")).await;
}

#[tokio::test]
async fn a_replica_is_shown_as_the_node_it_is_assigned_to_says() {
    let it = control().await;
    report(&it, &[on(1, 1)]).await;
    assert_eq!(list(&it).await[0].node, "n1", "without an assignment what there is");

    // It moves from 1 to 2.
    assign(&it, 1, Some(to(Some(2), 4))).await;
    let moving = list(&it).await;
    assert_eq!(moving.len(), 1);
    assert_eq!((moving[0].node_id, moving[0].state), (2, ReplicaState::Created));
    assert_eq!((moving[0].node.as_str(), moving[0].generation), ("node-2", 4));
    assert!(!moving[0].ready);
    report(&it, &[on(2, 1)]).await;
    assert_eq!(list(&it).await[0].node, "n2");
    assert_eq!(it.statuses().await.unwrap().1.len(), 2);

    assign(&it, 2, Some(to(None, 4))).await;
    let pending = it.find_replica("g", "g-web-2").await.unwrap();
    assert_eq!(
        (pending.state, pending.node.as_str(), pending.node_id),
        (ReplicaState::Pending, "", 0)
    );
    assert_eq!(pending.reason.unwrap().message, "no memory on 2 nodes");

    // Node 2 removes it, node 1 still has a container.
    let mut left = on(1, 1);
    left.engine_state = Some(EngineState::Running);
    report(&it, &[left]).await;
    assign(&it, 1, None).await;
    assert_eq!(it.find_replica("g", "g-web-1").await.unwrap().node, "n1");
    let images = it.images().await.unwrap();
    assert_eq!(images.items.len(), 2);
    let restarted = it.restart("g", "web", &kim()).await;
    assert_eq!(restarted.unwrap_err().code(), Code::NotFound, "there is no object");
}

#[tokio::test]
async fn names_of_nodes_come_from_what_is_known_of_them() {
    let it = control().await;
    let record = br#"{"id": 2, "name": "berlin"}"#;
    it.store().put(&keyspace::member(2), record.to_vec()).await.unwrap();
    assign(&it, 1, Some(to(Some(2), 1))).await;
    assert_eq!(list(&it).await[0].node, "berlin");
}

async fn changes(it: &Control, query: &WatchQuery, count: usize) -> Vec<WatchEvent> {
    let stream = it.watch(query).await.unwrap();
    let items: Vec<StreamItem> = stream.take(count).collect().await;
    items
        .into_iter()
        .map(|item| match item {
            StreamItem::Watch(event) => *event,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_watch_tells_one_story_of_a_replica_that_moves() {
    let it = control().await;
    report(&it, &[on(1, 1)]).await;
    let from = it.revision() + 1;
    assign(&it, 1, Some(to(Some(1), 1))).await;
    assign(&it, 1, Some(to(Some(2), 1))).await;
    // Of no interest: the node it leaves.
    report(&it, &[ReplicaStatus { state: ReplicaState::Kill, ..on(1, 1) }]).await;
    report(&it, &[on(2, 1)]).await;
    it.report(Report { remove: vec![replica(1)], ..Report::default() }).await.unwrap();
    assign(&it, 1, None).await;
    it.store().delete(&keyspace::status(&replica(1), 2)).await.unwrap();
    let query =
        WatchQuery { from: Some(from), what: Some("replicas".to_owned()), ..WatchQuery::default() };
    let told: Vec<(WatchKind, u64, String)> = changes(&it, &query, 5)
        .await
        .into_iter()
        .map(|event| {
            assert_eq!(event.key.unwrap().name, "g-web-1");
            let state =
                event.replica.map_or(String::new(), |it| format!("{} {}", it.node, it.state));
            (event.kind, event.revision - from, state)
        })
        .collect();
    let put = |at: u64, text: &str| (WatchKind::Put, at, text.to_owned());
    assert_eq!(
        told,
        [
            put(0, "n1 running"),
            put(1, "node-2 created"),
            put(3, "n2 running"),
            put(5, "n2 running"),
            (WatchKind::Delete, 6, String::new()),
        ]
    );

    // From later on it is the same story.
    let later = WatchQuery { from: Some(from + 3), ..query };
    let told = changes(&it, &later, 3).await;
    assert_eq!(told[0].revision, from + 3);
    assert_eq!(told[0].replica.as_ref().unwrap().node, "n2");
    assert_eq!(told[2].kind, WatchKind::Delete);
}

#[tokio::test]
async fn a_watch_of_the_future_knows_what_came_before() {
    let it = control().await;
    let from = it.revision() + 2;
    let query =
        WatchQuery { from: Some(from), what: Some("replicas".to_owned()), ..WatchQuery::default() };
    let mut stream = it.watch(&query).await.unwrap();
    assign(&it, 1, Some(to(Some(2), 1))).await;
    report(&it, &[on(1, 1)]).await;
    report(&it, &[on(2, 1)]).await;
    let Some(StreamItem::Watch(event)) = stream.next().await else { panic!() };
    assert_eq!((event.revision, event.replica.unwrap().node_id), (from + 1, 2));
}

#[tokio::test]
async fn a_batch_writes_what_did_not_change_meanwhile() {
    let it = control().await;
    apply(&it, &web("1")).await;
    let seen = it.object(&web_key()).await.unwrap().unwrap().revision;
    let mut batch = AssignmentBatch::new();
    assert!(batch.is_empty());
    for index in 1..=1500 {
        batch.put(&ReplicaKey::new("g", "many", index), &to(Some(1), 1), 0);
    }
    batch.put(&replica(1), &to(Some(1), 1), 0);
    batch.require(&web_key(), seen);
    let other = ObjectKey::new(Kind::Containers, "g", "zzz");
    batch.put(&ReplicaKey::new("g", "zzz", 1), &to(Some(1), 1), 0);
    batch.require(&other, 77);
    assert_eq!(batch.len(), 1502);
    let written = it.write_assignments(term(&it), batch).await.unwrap();
    assert_eq!(written.conflicts, [("g".to_owned(), "zzz".to_owned())]);
    assert!(written.revision > 0);
    let (_, known) = it.assignments().await.unwrap();
    assert_eq!(known.len(), 1501);

    // The same decision again is refused: it was made on something else.
    let mut batch = AssignmentBatch::new();
    batch.put(&replica(1), &to(Some(2), 1), 0);
    let written = it.write_assignments(term(&it), batch).await.unwrap();
    assert_eq!(written.conflicts, [("g".to_owned(), "web".to_owned())]);
    assert_eq!(it.assignments().await.unwrap().1[&replica(1)].0.node, Some(1));
}

async fn begin(it: &Control, state: RolloutState) {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let (_, known) = it.rollouts().await.unwrap();
    let seen = known.values().next().map_or(0, |(_, revision)| *revision);
    let rollout = Rollout {
        uid: "u".to_owned(),
        from: 1,
        to: 2,
        state,
        message: String::new(),
        promoted: false,
        changed: [(1, at)].into(),
        failed: vec![1],
        started: at,
        since: at,
    };
    let mut batch = AssignmentBatch::new();
    batch.put_rollout("g", "web", &rollout, seen);
    assert_eq!(it.write_assignments(term(it), batch).await.unwrap().conflicts, []);
}

#[tokio::test]
async fn people_pause_resume_and_promote_rollouts() {
    let it = control().await;
    let change = async |action| {
        it.change_rollout("g", "web", action, None, &kim()).await.map(|done| done.rollout.unwrap())
    };
    assert_eq!(change(RolloutAction::Pause).await.unwrap_err().code(), Code::NotFound);
    apply(&it, &web("1")).await;
    assert!(matches!(change(RolloutAction::Pause).await, Err(Error::NoRollout { .. })));
    apply(&it, &web("2")).await;
    begin(&it, RolloutState::Updating).await;

    assert_eq!(change(RolloutAction::Pause).await.unwrap().state, RolloutState::Paused);
    let before = it.revision();
    assert_eq!(change(RolloutAction::Pause).await.unwrap().message, "paused by kim");
    assert_eq!(it.revision(), before, "what is so already is not written");
    let resumed = change(RolloutAction::Resume).await.unwrap();
    assert_eq!((resumed.state, resumed.failed.len()), (RolloutState::Updating, 0));

    begin(&it, RolloutState::Canary).await;
    let promoted = change(RolloutAction::Promote).await.unwrap();
    assert!(promoted.promoted);
    assert_eq!(promoted.state, RolloutState::Updating);

    begin(&it, RolloutState::Completed).await;
    let error = change(RolloutAction::Pause).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    assert_eq!(
        error.to_string(),
        "the rollout of `containers/g/web` is `completed`: it cannot pause now"
    );
}

#[tokio::test]
async fn a_rollout_is_shown_with_replicas_and_history() {
    let it = control().await;
    apply(&it, &web("1")).await;
    apply(&it, &web("2")).await;
    begin(&it, RolloutState::Updating).await;
    assign(&it, 1, Some(to(Some(1), 2))).await;
    assign(&it, 2, Some(to(Some(2), 1))).await;
    report(&it, &[on(1, 1)]).await;
    let view = it.rollout("g", "web").await.unwrap();
    assert_eq!(view.generation, 2);
    assert_eq!(view.rollout.unwrap().state, RolloutState::Updating);
    let replicas: Vec<_> =
        view.replicas.iter().map(|r| (r.index, r.wanted, r.generation, r.ready)).collect();
    assert_eq!(replicas, [(1, 2, 1, true), (2, 1, 0, false)]);
    let history: Vec<_> = view
        .history
        .iter()
        .map(|h| (h.generation, h.by.as_str(), h.message.as_str(), h.current))
        .collect();
    assert_eq!(
        history,
        [(2, "kim", "spec.tag, spec.registryAuth", true), (1, "kim", "created", false)]
    );
}

#[tokio::test]
async fn undo_applies_a_former_definition_as_a_new_generation() {
    let it = control().await;
    let undo = async |to| it.change_rollout("g", "web", RolloutAction::Undo, to, &kim()).await;
    apply(&it, &web("1")).await;
    let error = undo(None).await.unwrap_err();
    assert!(matches!(error, Error::NoGeneration { .. }), "{error}");
    for tag in ["2", "3"] {
        apply(&it, &web(tag)).await;
    }
    assert_eq!(undo(None).await.unwrap().generation, 4);
    let tag = async |generation| {
        let object = it.object_at(&web_key(), generation).await.unwrap().unwrap();
        serde_json::to_value(&object.definition).unwrap()["spec"]["tag"].clone()
    };
    assert_eq!(tag(4).await, "2");
    assert_eq!(undo(Some(1)).await.unwrap().generation, 5);
    assert_eq!(tag(5).await, "1");
    let same = undo(Some(1)).await.unwrap_err();
    assert!(matches!(same, Error::SameDefinition { .. }), "{same}");
    assert_eq!(same.code(), Code::Conflict);
    let missing = undo(Some(9)).await.unwrap_err();
    assert_eq!(missing.hint().unwrap(), "kept are 1, 2, 3, 4, 5");
}

#[tokio::test]
async fn stale_reads_say_so() {
    let it = control().await;
    apply(&it, &web("1")).await;
    let stale = it.reading(true);
    assert!(!it.list(&ObjectQuery::default()).await.unwrap().stale);
    let list = stale.list(&ObjectQuery::default()).await.unwrap();
    assert!(list.stale && list.revision == it.revision());
    assert!(stale.replicas(&ReplicaQuery::default()).await.unwrap().stale);
    assert!(stale.rollout("g", "web").await.unwrap().stale);
}

#[tokio::test]
async fn history_opens_after_a_restart() {
    let Fixture { control: first, dir } = control().await;
    apply(&first, &web("1")).await;
    first.store().shutdown().await;
    let again = open(&dir).await;
    assert_eq!(again.history(&web_key()).await.unwrap().len(), 1);
}
