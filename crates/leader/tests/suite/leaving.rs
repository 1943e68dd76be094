//! Nodes that are removed.

use smr_control::keyspace;
use smr_model::{NodeSettings, ReplicaKey, ReplicaState};

use crate::support::{UNIFORM, cluster, containers, report};

#[tokio::test]
async fn a_removed_node_leaves_no_trace_but_its_id() {
    let it = cluster(3).await;
    it.apply(&containers("web", "1", 3, UNIFORM)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2, 3]).await;
    it.until("it has a verdict", || it.health(3).is_some()).await;
    it.set(3, &NodeSettings::default()).await;
    let replica = ReplicaKey::new("g", "web", 3);
    report(&it.control, &replica, 3, 1, ReplicaState::Running).await;

    let store = it.control.store();
    store.put(keyspace::removed(3), "{}").await.unwrap();
    store.delete(&keyspace::member(3)).await.unwrap();
    let traces = [
        keyspace::health(3),
        keyspace::node(3),
        keyspace::node_settings(3),
        keyspace::status(&replica, 3),
    ];
    it.until("its traces are gone", || {
        traces.iter().all(|key| store.get(key).unwrap().is_none()) && !it.nodes("web").contains(&3)
    })
    .await;
    assert_eq!(it.nodes("web").len(), 3);
}

#[tokio::test]
async fn old_join_tokens_go() {
    let it = cluster(1).await;
    let store = it.control.store();
    let token = |expires: &str| format!(r#"{{"id":"x","expires":"{expires}"}}"#);
    store.put(keyspace::token("old"), token("2020-01-01T00:00:00Z")).await.unwrap();
    store.put(keyspace::token("new"), token("2999-01-01T00:00:00Z")).await.unwrap();
    it.until("the old one is gone", || store.get(&keyspace::token("old")).unwrap().is_none()).await;
    assert!(store.get(&keyspace::token("new")).unwrap().is_some());
}
