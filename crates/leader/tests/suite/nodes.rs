//! Nodes that fall silent.

use smr_model::{Health, NodeHealth};

use crate::support::{UNIFORM, cluster, containers};

#[tokio::test]
async fn replicas_of_a_lost_node_run_elsewhere() {
    let it = cluster(3).await;
    it.apply(&containers("web", "1", 3, UNIFORM)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2, 3]).await;
    it.net.kill(3);
    let is = |state: Health| move |it: NodeHealth| it.state == state;
    it.until("node 3 is down", || it.health(3).is_some_and(is(Health::Down))).await;
    it.until("nothing is on it", || {
        let nodes = it.nodes("web");
        nodes.len() == 3 && !nodes.contains(&3) && !nodes.contains(&0)
    })
    .await;
    assert!(it.health(3).unwrap().message.contains("node 2 cannot reach it either"));
    let told = it.events("assigned").await;
    assert!(told.len() == 1 && told[0].ends_with("because node-3 is down"), "{told:?}");
    assert_eq!(it.events("node_down").await.len(), 1);

    it.net.revive(3);
    it.until("node 3 is ready", || it.health(3).is_some_and(is(Health::Ready))).await;
    assert_eq!(it.health(2).unwrap().state, Health::Ready);
    assert!(!it.nodes("web").contains(&3), "nothing moves back by itself");
}

#[tokio::test]
async fn a_replica_waits_for_its_node_as_long_as_it_is_told_to() {
    let it = cluster(3).await;
    let grace = format!("{UNIFORM}  rescheduleGrace: 1s\n");
    it.apply(&containers("web", "1", 3, &grace)).await;
    it.until("it is placed", || it.nodes("web") == [1, 2, 3]).await;
    it.net.kill(3);
    it.until("it waits, and says why", || it.assignments("web")[&3].reason.is_some()).await;
    assert_eq!(it.nodes("web"), [1, 2, 3]);
    it.until("it moved", || it.assignments("web")[&3].node.is_some_and(|node| node != 3)).await;
}

#[tokio::test]
async fn a_node_that_others_reach_is_not_down() {
    let it = cluster(4).await;
    it.until("all are ready", || (1..=4).all(|id| it.health(id).is_some())).await;
    it.net.cut(3);
    it.net.kill(4);
    let down = |id| it.health(id).is_some_and(|it| it.state == Health::Down);
    it.until("the dead one is down", || down(4)).await;
    assert!(!down(3) && !down(2));
}
