//! Changes reach replicas step by step.

use std::collections::BTreeMap;

use smr_control::{Actor, keyspace};
use smr_model::{Assignment, RolloutState};
use smr_pki::Role;
use smr_store::KeyRange;
use smr_wire::RolloutAction;

use crate::support::{UNIFORM, agents, cluster, containers};

fn quick(more: &str) -> String {
    format!("{UNIFORM}  update: {{monitor: 100ms{more}}}\n")
}

#[tokio::test]
async fn a_change_goes_through_replica_by_replica() {
    let it = cluster(3).await;
    let _agents = agents(&it.control, &[]);
    it.apply(&containers("web", "1", 3, &quick(""))).await;
    it.until("it is placed and ready", || it.nodes("web") == [1, 2, 3] && it.is_ready("web")).await;
    let from = it.control.revision();
    it.apply(&containers("web", "2", 3, &quick(""))).await;
    it.until("all have changed", || {
        it.rollout("web").is_some_and(|it| it.state == RolloutState::Completed)
    })
    .await;
    assert_eq!(it.generations("web"), [2, 2, 2]);
    let rollout = it.rollout("web").unwrap();
    assert_eq!((rollout.from, rollout.to, rollout.changed.len()), (1, 2, 3));
    assert_eq!(it.events("rollout_started").await, ["from generation 1 to 2"]);
    assert_eq!(it.events("rollout_completed").await.len(), 1);

    // One after the other, and never two in one revision.
    let range = KeyRange::prefix(keyspace::ASSIGNMENTS);
    let mut watch = it.control.store().watch(range, Some(from)).unwrap();
    let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
    while seen.len() < 3 {
        let batch = watch.next().await.unwrap().unwrap();
        let assignments: Vec<Assignment> = batch
            .events
            .iter()
            .filter_map(|event| serde_json::from_slice(&event.kv.value).ok())
            .filter(|it: &Assignment| it.generation == 2)
            .collect();
        assert!(assignments.len() < 2, "{assignments:?}");
        for event in batch.events.iter() {
            let replica = keyspace::parse_assignment(&event.kv.key).unwrap();
            if !assignments.is_empty() {
                seen.insert(replica.index, batch.revision);
            }
        }
    }
}

#[tokio::test]
async fn a_bad_change_pauses() {
    let it = cluster(2).await;
    let _agents = agents(&it.control, &[2]);
    it.apply(&containers("web", "1", 2, &quick(""))).await;
    it.until("it is placed and ready", || it.nodes("web") == [1, 2] && it.is_ready("web")).await;
    it.apply(&containers("web", "2", 2, &quick(""))).await;
    it.until("it is paused", || {
        it.rollout("web").is_some_and(|it| it.state == RolloutState::Paused)
    })
    .await;
    assert_eq!(it.generations("web"), [2, 1]);
    assert_eq!(it.events("rollout_paused").await, ["replica 1 is in state `dead`"]);
    it.apply(&containers("web", "3", 2, &quick(""))).await;
    it.until("a better one goes through", || {
        it.rollout("web").is_some_and(|it| it.state == RolloutState::Completed)
    })
    .await;
    assert_eq!(it.generations("web"), [3, 3]);
}

#[tokio::test]
async fn a_bad_change_is_taken_back_if_that_is_wanted() {
    let it = cluster(2).await;
    let _agents = agents(&it.control, &[2]);
    it.apply(&containers("web", "1", 2, &quick(""))).await;
    it.until("it is placed and ready", || it.nodes("web") == [1, 2] && it.is_ready("web")).await;
    it.apply(&containers("web", "2", 2, &quick(", onFailure: rollback"))).await;
    it.until("it is rolled back", || {
        it.rollout("web").is_some_and(|it| it.state == RolloutState::RolledBack)
    })
    .await;
    assert_eq!(it.generations("web"), [1, 1]);
    assert_eq!(it.events("rollout_rolling_back").await.len(), 1);
    // A replica that comes now gets what the others run.
    it.apply(&containers("web", "2", 3, &quick(", onFailure: rollback"))).await;
    it.until("it has three", || it.generations("web").len() == 3).await;
    assert_eq!(it.generations("web"), [1, 1, 1]);
}

#[tokio::test]
async fn a_canary_is_promoted() {
    let it = cluster(3).await;
    let _agents = agents(&it.control, &[]);
    it.apply(&containers("web", "1", 3, &quick(", canary: 1"))).await;
    it.until("it is placed and ready", || it.nodes("web") == [1, 2, 3] && it.is_ready("web")).await;
    it.apply(&containers("web", "2", 3, &quick(", canary: 1"))).await;
    it.until("the canary sings", || {
        it.rollout("web").is_some_and(|it| it.state == RolloutState::Canary)
    })
    .await;
    assert_eq!(it.generations("web"), [2, 1, 1]);
    let kim = Actor { name: "kim".to_owned(), role: Role::Admin };
    it.control.change_rollout("g", "web", RolloutAction::Promote, None, &kim).await.unwrap();
    it.until("all have changed", || {
        it.rollout("web").is_some_and(|it| it.state == RolloutState::Completed)
    })
    .await;
    assert_eq!(it.generations("web"), [2, 2, 2]);
}

#[tokio::test]
async fn a_new_definition_that_says_where_moves_replicas_when_they_change() {
    let it = cluster(2).await;
    let _agents = agents(&it.control, &[]);
    let on = |node: u64| {
        format!("  spread: {{spread: specific, agents: [{node}]}}\n  update: {{monitor: 100ms}}\n")
    };
    it.apply(&containers("web", "1", 2, &on(1))).await;
    it.until("it is placed and ready", || it.nodes("web") == [1, 1] && it.is_ready("web")).await;
    it.apply(&containers("web", "1", 2, &on(2))).await;
    it.until("it moved", || it.nodes("web") == [2, 2]).await;
    assert_eq!(it.generations("web"), [2, 2]);
}
