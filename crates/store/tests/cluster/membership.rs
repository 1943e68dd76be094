//! Members come, move and go.

use std::time::Duration;

use smr_store::{Error, Member, RpcKind};

use crate::support::{Cluster, as_member, eventually, within};

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_promoted_and_removed_again_and_again() {
    let mut cluster = Cluster::start(3).await;
    cluster.open(4).await;
    for _ in 0..2 {
        cluster.store(1).add_learner(as_member(4)).await.unwrap();
        cluster.store(1).set_voters([1, 2, 3, 4].into()).await.unwrap();
    }
    assert_eq!(cluster.store(1).members().len(), 4);
    let refused = cluster.store(2).add_learner(as_member(5)).await;
    assert!(matches!(refused, Err(Error::NotLeader { leader: Some(1) })), "{refused:?}");
    let refused = cluster.store(1).set_voters([1, 9].into()).await;
    assert!(matches!(refused, Err(Error::Membership)), "{refused:?}");

    // One that is dead goes as easily as one that runs.
    cluster.kill(4).await;
    for _ in 0..2 {
        within(Duration::from_secs(20), cluster.store(1).remove_member(4)).await.unwrap();
        within(Duration::from_secs(20), cluster.store(1).remove_member(3)).await.unwrap();
    }
    assert_eq!(cluster.store(1).members(), [as_member(1), as_member(2)]);
    assert_eq!(cluster.store(1).status().voters, [1, 2]);
    // The one that was removed and still runs disturbs nobody.
    let term = cluster.store(1).status().term;
    eventually("it to notice", || cluster.store(3).leader().is_none()).await;
    cluster.store(2).put("/k", "v").await.unwrap();
    assert_eq!(cluster.store(1).status().term, term);

    // The leader hands over before it goes.
    let refused = cluster.store(1).remove_member(1).await;
    assert!(matches!(refused, Err(Error::NotLeader { leader: Some(2) })), "{refused:?}");
    cluster.leader_among(|id| id == 2).await;
    cluster.store(2).remove_member(1).await.unwrap();
    assert_eq!(cluster.store(2).members(), [as_member(2)]);
    let refused = cluster.store(2).remove_member(2).await;
    assert!(matches!(refused, Err(Error::Membership)), "{refused:?}");
    cluster.store(2).put("/alone", "v").await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_there_is_told_and_can_come_later() {
    let mut cluster = Cluster::start_with(1, |options| {
        options.propose_timeout = Duration::from_secs(1);
    })
    .await;
    let added = within(Duration::from_secs(20), cluster.store(1).add_learner(as_member(2))).await;
    assert!(matches!(added, Err(Error::Unreachable { id: 2 })), "{added:?}");
    cluster.store(1).put("/k", "v").await.unwrap();
    cluster.open(2).await;
    cluster.store(1).add_learner(as_member(2)).await.unwrap();
    cluster.converged().await;

    let moved = Member { id: 2, address: "elsewhere".to_owned() };
    cluster.store(1).set_address(moved.clone()).await.unwrap();
    assert_eq!(cluster.store(1).members(), [as_member(1), moved]);
    let refused = cluster.store(1).set_address(as_member(7)).await;
    assert!(matches!(refused, Err(Error::Membership)), "{refused:?}");
    let revision = cluster.store(1).put("/l", "v").await.unwrap();
    eventually("the learner to follow", || cluster.store(2).revision() == revision).await;
    eventually("the leader to know", || {
        let all = cluster.store(1).members_status();
        all.iter().all(|member| member.lag == Some(0) && member.last_contact.is_some())
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_arrives_in_pieces_although_the_learner_restarts_in_the_middle() {
    let mut cluster = Cluster::start_with(1, |options| {
        options.keep_entries = 1;
        options.keep_revisions = 5;
    })
    .await;
    let value = "x".repeat(400 * 1024);
    for i in 0..30 {
        cluster.store(1).put(format!("/k{i}"), value.as_str()).await.unwrap();
    }
    cluster.store(1).snapshot().await.unwrap();
    eventually("a snapshot", || cluster.store(1).status().snapshot_index > 0).await;
    cluster.store(1).put("/after", "v").await.unwrap();
    cluster.net.delay(1, 2, Duration::from_millis(30));

    cluster.open(2).await;
    cluster.store(1).begin_learner(as_member(2)).await.unwrap();
    eventually("a part of it to be there", || {
        let all = cluster.store(1).members_status();
        let progress = all.iter().find(|member| member.id == 2).and_then(|member| member.snapshot);
        progress.is_some_and(|part| part.total.is_some_and(|total| part.sent < total))
    })
    .await;
    cluster.kill(2).await;
    let sent = cluster.net.count(1, RpcKind::InstallSnapshot);
    cluster.open(2).await;
    cluster.net.heal();
    cluster.store(1).add_learner(as_member(2)).await.unwrap();
    cluster.converged().await;
    assert!(cluster.net.count(1, RpcKind::InstallSnapshot) > sent);
    cluster.store(1).set_voters([1, 2].into()).await.unwrap();
    cluster.store(2).put("/through", "v").await.unwrap();
    cluster.stop().await;
}
