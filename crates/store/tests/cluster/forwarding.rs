//! Writes through any member.

use std::time::{Duration, Instant};

use smr_store::{Error, Op, RpcKind, Txn};

use crate::support::{Cluster, ELECTION, eventually, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_through_any_member_is_readable_there_at_once() {
    let cluster = Cluster::start(3).await;
    for (id, store) in &cluster.stores {
        let key = format!("/from/{id}");
        let revision = store.put(&key, "value").await.unwrap();
        assert_eq!(store.get(&key).unwrap().unwrap().mod_revision, revision);
        assert_eq!(store.delete(&key).await.unwrap(), Some(revision + 1));
        assert!(store.get(&key).unwrap().is_none());
    }
    let follower = cluster.store(3);
    let lease = follower.grant_lease(0, 60).await.unwrap();
    assert!(follower.lease(lease.id).unwrap().is_some());
    assert_eq!(follower.keep_alive(lease.id).await.unwrap().id, lease.id);
    follower.revoke_lease(lease.id).await.unwrap();
    assert!(follower.lease(lease.id).unwrap().is_none());
    let revision = follower.revision();
    follower.compact(revision - 1).await.unwrap();
    assert_eq!(follower.status().compacted, revision - 1);
    assert!(matches!(follower.compact(revision - 1).await, Err(Error::Compacted { .. })));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writes_through_a_follower_share_messages() {
    let cluster = Cluster::start(3).await;
    let before = cluster.net.count(2, RpcKind::Propose);
    let writers = (0..200).map(|i| {
        let store = cluster.store(2).clone();
        tokio::spawn(async move { store.put(format!("/k{i}"), "v").await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let messages = cluster.net.count(2, RpcKind::Propose) - before;
    assert!(messages < 100, "{messages} messages for 200 writes");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_write_happens_under_the_leader_of_that_term_only() {
    let cluster = Cluster::start(3).await;
    let leadership = *cluster.store(1).leadership().borrow();
    assert!(leadership.is_me && leadership.ready);
    let write = || Txn::new().then(Op::put("/controller", "x"));
    cluster.store(1).txn_local(leadership.term, write()).await.unwrap();
    let refused = cluster.store(1).txn_local(leadership.term - 1, write()).await;
    assert!(matches!(refused, Err(Error::NotLeader { .. })), "{refused:?}");
    let refused = cluster.store(2).txn_local(leadership.term, write()).await;
    assert!(matches!(refused, Err(Error::NotLeader { leader: Some(1) })), "{refused:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_refuses_at_once_and_never_hangs() {
    let cluster = Cluster::start_with(3, |options| {
        options.propose_timeout = Duration::from_secs(3);
    })
    .await;
    cluster.net.isolate(1);
    // A write under way when the quorum goes does not hang either.
    let first = within(Duration::from_secs(10), cluster.store(1).put("/a", "x")).await;
    assert!(matches!(first, Err(Error::Unknown { .. } | Error::NoQuorum)), "{first:?}");
    eventually("the leader to notice", || cluster.store(1).leader().is_none()).await;
    let begun = Instant::now();
    let refused = cluster.store(1).put("/b", "x").await;
    assert!(matches!(refused, Err(Error::NoQuorum)), "{refused:?}");
    assert!(matches!(cluster.store(1).barrier().await, Err(Error::NoQuorum)));
    assert!(begun.elapsed() < ELECTION * 2, "{:?}", begun.elapsed());
    eventually("nobody to be seen", || cluster.store(1).leadership().borrow().leader.is_none())
        .await;
    // The others go on, and it comes back to them.
    let leader = cluster.leader_among(|id| id != 1).await;
    cluster.store(leader).put("/c", "x").await.unwrap();
    cluster.net.heal();
    cluster.agreed().await;
    cluster.store(1).put("/d", "x").await.unwrap();
    cluster.store(1).barrier().await.unwrap();
    assert!(cluster.store(1).get("/c").unwrap().is_some());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_on_its_own_says_since_when_and_who_is_missing() {
    let cluster = Cluster::start(3).await;
    cluster.net.isolate(3);
    eventually("the silence to be noticed", || cluster.store(3).leader().is_none()).await;
    let refused = within(Duration::from_secs(10), cluster.store(3).put("/a", "x")).await;
    let Err(Error::NoLeader { silent, voters }) = refused else { panic!("{refused:?}") };
    assert!(silent >= ELECTION * 2);
    assert_eq!(voters, [1, 2, 3]);
    let refused = within(Duration::from_secs(10), cluster.store(3).barrier()).await;
    assert!(matches!(refused, Err(Error::NoLeader { .. })), "{refused:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_an_election_under_way() {
    let mut cluster = Cluster::start(3).await;
    cluster.kill(1).await;
    // Nothing reached the old leader, so it is sent again to the new one.
    let revision = within(Duration::from_secs(30), cluster.store(2).put("/a", "x")).await.unwrap();
    assert_eq!(cluster.store(2).get("/a").unwrap().unwrap().mod_revision, revision);
    cluster.stop().await;
}
