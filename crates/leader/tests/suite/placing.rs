//! From objects to assignments.

use std::collections::BTreeSet;

use smr_model::{Availability, NodeSettings, ReplicaKey, ReplicaState};

use crate::support::{UNIFORM, admit, cluster, containers, put, report};

#[tokio::test]
async fn what_is_applied_is_assigned() {
    let it = cluster(3).await;
    it.apply(&containers("web", "1", 5, UNIFORM)).await;
    it.until("every replica has a node", || it.nodes("web") == [1, 1, 2, 2, 3]).await;
    assert_eq!(it.generations("web"), [1, 1, 1, 1, 1]);
    it.apply(&containers("solo", "1", 2, "")).await;
    it.until("the home node has it", || it.nodes("solo") == [1, 1]).await;
    assert!(it.events("assigned").await.is_empty(), "only moves are told");
    it.leader.shutdown().await;
}

#[tokio::test]
async fn scaling_needs_no_rollout() {
    let it = cluster(3).await;
    it.apply(&containers("web", "1", 3, UNIFORM)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2, 3]).await;
    it.apply(&containers("web", "1", 1, UNIFORM)).await;
    it.until("one is left", || it.nodes("web") == [1]).await;
    assert_eq!(it.generations("web"), [2]);
    it.apply(&containers("web", "1", 4, UNIFORM)).await;
    it.until("four are there", || it.generations("web") == [3, 3, 3, 3]).await;
    assert_eq!(it.rollout("web"), None);
}

#[tokio::test]
async fn a_deleted_object_leaves_nothing() {
    let it = cluster(2).await;
    it.apply(&containers("web", "1", 2, UNIFORM)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2]).await;
    let store = it.control.store();
    let token = smr_control::keyspace::restart(&ReplicaKey::new("g", "web", 1));
    store.put(token.as_str(), "token").await.unwrap();
    it.delete("web").await;
    it.until("assignments, token and history are gone", || {
        it.nodes("web").is_empty()
            && store.get(&token).unwrap().is_none()
            && store.list(smr_control::keyspace::HISTORY).unwrap().kvs.is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_object_of_the_same_name_is_another_one() {
    let it = cluster(1).await;
    it.apply(&containers("web", "1", 1, "")).await;
    it.until("it is placed", || it.nodes("web") == [1]).await;
    let before = it.assignments("web")[&1].uid.clone();
    it.delete("web").await;
    it.apply(&containers("web", "1", 1, "")).await;
    it.until("the new one is placed", || {
        it.assignments("web").get(&1).is_some_and(|it| it.uid != before && it.generation == 1)
    })
    .await;
}

#[tokio::test]
async fn a_drained_node_is_evacuated() {
    let it = cluster(3).await;
    it.apply(&containers("web", "1", 3, UNIFORM)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2, 3]).await;
    let drain = NodeSettings { availability: Availability::Drain, ..Default::default() };
    it.set(2, &drain).await;
    it.until("nothing is left on it", || {
        let nodes = it.nodes("web");
        nodes.len() == 3 && !nodes.contains(&2) && !nodes.contains(&0)
    })
    .await;
    let told = it.events("assigned").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("moved from node-2 to node-"), "{told:?}");
    assert!(told[0].ends_with("because node-2 is drained"), "{told:?}");
}

#[tokio::test]
async fn data_keep_a_replica_where_it_is() {
    let it = cluster(2).await;
    let volume = "  volumes: [{type: bind, name: data, hostPath: /srv, mountPoint: /data}]\n  placement: {strategy: spread}\n";
    it.apply(&containers("db", "1", 1, volume)).await;
    it.until("it is placed", || it.nodes("db").len() == 1 && it.nodes("db") != [0]).await;
    let node = it.nodes("db")[0];
    let replica = ReplicaKey::new("g", "db", 1);
    report(&it.control, &replica, node, 1, ReplicaState::Running).await;
    let drain = NodeSettings { availability: Availability::Drain, ..Default::default() };
    it.set(node, &drain).await;
    it.until("it says why it waits", || it.assignments("db")[&1].reason.is_some()).await;
    assert!(!it.nodes("db").contains(&(3 - node)), "{:?}", it.assignments("db"));
}

#[tokio::test]
async fn a_node_that_joins_gets_its_share_if_that_is_wanted() {
    let it = cluster(2).await;
    let settings = smr_wire::ClusterSettings {
        rebalance: smr_wire::Rebalance::OnJoin,
        moves_per_minute: 1000,
        ..Default::default()
    };
    put(&it.control, smr_control::keyspace::CLUSTER_SETTINGS.to_owned(), &settings).await;
    it.apply(&containers("web", "1", 6, "  placement: {strategy: spread}\n")).await;
    let count = |node| it.nodes("web").iter().filter(|it| **it == node).count();
    it.until("it is placed", || count(1) == 3 && count(2) == 3).await;
    admit(&it.control, 3).await;
    it.until("all have the same", || [count(1), count(2), count(3)] == [2, 2, 2]).await;
    let told = it.events("assigned").await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("to even out the load"), "{told:?}");
}

#[tokio::test]
async fn many_objects_take_few_transactions() {
    let it = cluster(3).await;
    let all: Vec<String> =
        (0..200).map(|n| containers(&format!("o{n}"), "1", 3, UNIFORM)).collect();
    it.apply(&all.join("---\n")).await;
    let store = it.control.store();
    let placed = || store.list(smr_control::keyspace::ASSIGNMENTS).unwrap().kvs;
    it.until("all are placed", || placed().len() == 600).await;
    let revisions: BTreeSet<u64> = placed().into_iter().map(|kv| kv.mod_revision).collect();
    assert!(revisions.len() <= 6, "{revisions:?}");
}

#[tokio::test]
async fn statuses_alone_make_the_leader_write_nothing() {
    let it = cluster(3).await;
    it.apply(&containers("web", "1", 3, UNIFORM)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2, 3]).await;
    it.until("verdicts are there", || (1..=3).all(|id| it.health(id).is_some())).await;
    let before: Vec<u64> = it.revisions("web");
    for round in 0..50 {
        let state = if round % 2 == 0 { ReplicaState::Running } else { ReplicaState::Dead };
        for index in 1..=3 {
            let replica = ReplicaKey::new("g", "web", index);
            report(&it.control, &replica, u64::from(index), 1, state).await;
        }
    }
    // What is applied after them is decided after them.
    it.apply(&containers("last", "1", 1, "")).await;
    it.until("it is placed", || it.nodes("last") == [1]).await;
    assert_eq!(it.revisions("web"), before);
    assert_eq!(it.rollout("web"), None);
}

#[tokio::test]
async fn what_ran_to_its_end_is_not_run_again_when_its_node_goes_down() {
    let it = cluster(3).await;
    it.apply(&containers("job", "1", 3, UNIFORM)).await;
    it.apply(&containers("web", "1", 3, UNIFORM)).await;
    it.until("both are placed", || it.nodes("job") == [1, 2, 3] && it.nodes("web") == [1, 2, 3])
        .await;
    let on_three = |name: &str| {
        let found = it.assignments(name).into_iter().find(|(_, at)| at.node == Some(3));
        ReplicaKey::new("g", name, found.unwrap().0)
    };
    report(&it.control, &on_three("job"), 3, 1, ReplicaState::Completed).await;
    report(&it.control, &on_three("web"), 3, 1, ReplicaState::Running).await;
    it.net.kill(3);
    it.until("what ran is elsewhere", || !it.nodes("web").contains(&3)).await;
    assert_eq!(it.nodes("job"), [1, 2, 3]);
    it.leader.shutdown().await;
}
