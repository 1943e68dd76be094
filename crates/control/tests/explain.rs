//! Why replicas are where they are, and where documents would go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use smr_control::{AssignmentBatch, Control, keyspace};
use smr_model::{
    Assignment, Health, Member, NodeHealth, NodeRole, NodeStatus, ObjectKey, ReplicaKey,
};
use smr_wire::{Code, PlanAction};
use support::{control, kim};

const GIB: u64 = 1 << 30;

fn at() -> jiff::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A member with 4 processors and some memory.
async fn node(it: &Control, id: u64, memory: u64) {
    let member = Member {
        id,
        name: format!("n{id}"),
        peer: format!("n{id}:9212"),
        api: String::new(),
        role: NodeRole::Voter,
        key_id: String::new(),
        epoch: 1,
        joined: at(),
    };
    let mut status = serde_json::json!({
        "id": id, "name": format!("n{id}"), "addresses": [], "version": "1", "engine": "docker 20",
        "engineReady": true, "cpus": 4, "memory": memory, "startedAt": at(),
    });
    status["labels"] = serde_json::json!({"zone": if id == 1 { "a" } else { "b" }});
    let status: NodeStatus = serde_json::from_value(status).unwrap();
    let store = it.store();
    store.put(keyspace::member(id), serde_json::to_vec(&member).unwrap()).await.unwrap();
    store.put(keyspace::node(id), serde_json::to_vec(&status).unwrap()).await.unwrap();
}

fn cache(replicas: u32, zone: &str) -> String {
    format!(
        "kind: containers\nmeta: {{group: g, name: cache}}\nspec:\n  image: redis\n  tag: \"7\"\n  \
         replicas: {replicas}\n  memoryReservation: 3GiB\n  placement:\n    constraints:\n    \
         - node.labels.zone=={zone}\n"
    )
}

async fn assign(it: &Control, index: u32, node: u64) {
    let key = ObjectKey::new(smr_model::Kind::Containers, "g", "cache");
    let object = it.object(&key).await.unwrap().unwrap();
    let assignment = Assignment {
        node: Some(node),
        uid: object.uid,
        generation: object.generation,
        reason: None,
        since: at(),
    };
    let mut batch = AssignmentBatch::new();
    batch.put(&ReplicaKey::new("g", "cache", index), &assignment, 0);
    let term = it.store().leadership().borrow().term;
    assert_eq!(it.write_assignments(term, batch).await.unwrap().conflicts, []);
}

#[tokio::test]
async fn every_node_and_every_refusing_filter_is_named() {
    let it = control().await;
    node(&it, 1, 4 * GIB).await;
    node(&it, 2, 4 * GIB).await;
    it.apply(&cache(2, "a"), "c.yaml", false, &kim()).await.unwrap();
    let whole = it.explain_placement("g", "cache").await.unwrap();
    let placed: Vec<_> = whole.replicas.iter().map(|it| (it.name.as_str(), it.node_id)).collect();
    assert_eq!(placed, [("g-cache-1", Some(1)), ("g-cache-2", None)]);
    assert_eq!(whole.about, "g-cache-2", "the one in trouble");
    let refused = |id: u64| -> Vec<&str> {
        let node = whole.nodes.iter().find(|node| node.id == id).unwrap();
        assert!(!node.fits && !node.chosen);
        node.refusals.iter().map(|it| it.filter.as_str()).collect()
    };
    assert_eq!(refused(1), ["memory"]);
    assert!(refused(2).contains(&"constraint"));

    let one = it.explain_placement("g", "g-cache-1").await.unwrap();
    assert_eq!((one.replicas.len(), one.about.as_str()), (1, "g-cache-1"));
    assert!(one.nodes.iter().any(|node| node.id == 1 && node.chosen && node.fits));

    let missing = it.explain_placement("g", "nothing").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_plan_says_where_documents_would_go_and_writes_nothing() {
    let it = control().await;
    node(&it, 1, 8 * GIB).await;
    node(&it, 2, 4 * GIB).await;
    it.apply(&cache(2, "a"), "c.yaml", false, &kim()).await.unwrap();
    assign(&it, 1, 1).await;
    assign(&it, 2, 1).await;
    let before = it.revision();
    let plan = async |body: &str| {
        let plan = it.plan(body, "p.yaml", &kim()).await.unwrap();
        let replicas = plan.replicas.into_iter();
        replicas.map(|it| (it.name, it.action, it.node_id)).collect::<Vec<_>>()
    };
    let row = |index: u32, action, node| (format!("g-cache-{index}"), action, node);

    let same = plan(&cache(2, "a")).await;
    assert_eq!(same, [row(1, PlanAction::Keep, Some(1)), row(2, PlanAction::Keep, Some(1))]);
    let fewer = plan(&cache(1, "a")).await;
    assert_eq!(fewer, [row(1, PlanAction::Change, Some(1)), row(2, PlanAction::Remove, None)]);
    let moved = plan(&cache(2, "b")).await;
    assert_eq!(moved, [row(1, PlanAction::Move, Some(2)), row(2, PlanAction::Move, None)]);
    let fresh = cache(1, "b").replace("name: cache", "name: other");
    let fresh = plan(&fresh).await;
    assert_eq!(fresh, [("g-other-1".to_owned(), PlanAction::Create, Some(2))]);
    assert_eq!(it.revision(), before);

    let error = it.plan("kind: containers\n", "p.yaml", &kim()).await.unwrap_err();
    assert_eq!(error.code(), Code::Invalid, "documents are checked as apply checks them");
}

#[tokio::test]
async fn the_verdict_of_the_leader_counts() {
    let it = control().await;
    node(&it, 1, 8 * GIB).await;
    node(&it, 2, 8 * GIB).await;
    let verdict = NodeHealth { state: Health::Down, since: at(), message: String::new() };
    let value = serde_json::to_vec(&verdict).unwrap();
    it.store().put(keyspace::health(2), value).await.unwrap();
    it.apply(&cache(1, "b"), "c.yaml", false, &kim()).await.unwrap();
    let whole = it.explain_placement("g", "cache").await.unwrap();
    assert_eq!(whole.replicas[0].node_id, None);
    let two = whole.nodes.iter().find(|node| node.id == 2).unwrap();
    assert_eq!(two.refusals[0].filter, "health");
    let view = it.cluster_view(at()).await.unwrap();
    assert_eq!((view.cluster.nodes.len(), view.cluster.workloads.len()), (2, 1));
}
