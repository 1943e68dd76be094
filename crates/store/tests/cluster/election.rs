//! Who leads, and who must not disturb.

use std::time::{Duration, Instant};

use crate::support::{Cluster, ELECTION, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_cut_off_comes_back_without_raising_the_term() {
    let cluster = Cluster::start(3).await;
    let term = cluster.store(1).status().term;
    cluster.net.isolate(3);
    eventually("the cut to be noticed", || cluster.store(3).leader().is_none()).await;
    // Long enough for several elections, had it stood for any.
    let begun = Instant::now();
    let mut writes = 0;
    while begun.elapsed() < ELECTION * 8 {
        cluster.store(1).put("/k", "v").await.unwrap();
        writes += 1;
    }
    assert!(writes > 0);
    assert_eq!(cluster.store(3).status().term, term);
    cluster.net.heal();
    cluster.agreed().await;
    cluster.converged().await;
    for store in cluster.stores.values() {
        assert_eq!((store.status().term, store.leader()), (term, Some(1)));
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hears_nothing_but_is_heard_disturbs_nobody() {
    let cluster = Cluster::start(3).await;
    let term = cluster.store(1).status().term;
    cluster.net.cut(1, 3);
    eventually("the silence to be noticed", || cluster.store(3).leader().is_none()).await;
    let begun = Instant::now();
    while begun.elapsed() < ELECTION * 6 {
        cluster.store(2).put("/k", "v").await.unwrap();
    }
    assert_eq!(cluster.store(1).status().term, term);
    assert_eq!(cluster.store(3).status().term, term);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_heard_but_hears_nobody_is_replaced() {
    let cluster = Cluster::start(3).await;
    cluster.net.cut(2, 1);
    cluster.net.cut(3, 1);
    let leader = cluster.leader_among(|id| id != 1).await;
    cluster.store(leader).put("/k", "v").await.unwrap();
    eventually("the old one to notice", || !cluster.store(1).is_leader()).await;
    cluster.net.heal();
    cluster.agreed().await;
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_is_replaced_in_time() {
    let mut cluster = Cluster::start_with(3, |options| {
        let defaults = smr_store::Options::new("unused");
        options.heartbeat = defaults.heartbeat;
        options.election_timeout = defaults.election_timeout;
    })
    .await;
    let begun = Instant::now();
    cluster.kill(1).await;
    cluster.leader().await;
    let took = begun.elapsed();
    println!("a new leader was ready after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    cluster.agreed().await;
    cluster.stop().await;
}

/// What it proposed last may have reached others and not its own disk: the same place of the log must
/// not be filled twice in one term.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_starts_again_needs_a_new_term() {
    let mut cluster = Cluster::start(1).await;
    for _ in 0..3 {
        let before = *cluster.store(1).leadership().borrow();
        assert!(before.ready);
        let old = cluster.store(1).clone();
        cluster.kill(1).await;
        assert!(matches!(old.put("/k", "v").await, Err(smr_store::Error::Stopped)));
        assert!(!old.is_leader());
        eventually("nobody to be seen", || old.leadership().borrow().leader.is_none()).await;
        drop(old);
        cluster.open(1).await;
        cluster.agreed().await;
        assert!(cluster.store(1).status().term > before.term);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_all_stopped_elect_a_leader_again() {
    let mut cluster = Cluster::start(3).await;
    cluster.store(2).put("/k", "v").await.unwrap();
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.open(id).await;
    }
    cluster.agreed().await;
    cluster.store(3).barrier().await.unwrap();
    assert!(cluster.store(3).get("/k").unwrap().is_some());
    cluster.stop().await;
}
