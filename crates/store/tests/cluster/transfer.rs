//! Handing leadership over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use smr_store::Error;

use crate::support::Cluster;

/// Writes through every member until told to stop; returns the longest any write took.
fn writers(cluster: &Cluster, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<Duration>> {
    let write = |(id, store): (&u64, &smr_store::Store)| {
        let (id, store, stop) = (*id, store.clone(), Arc::clone(stop));
        tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                store.put(format!("/w{id}/{count}"), "v").await.unwrap();
                longest = longest.max(begun.elapsed());
                count += 1;
            }
            longest
        })
    };
    cluster.stores.iter().map(write).collect()
}

async fn transfers_under_load(count: u64) -> Duration {
    let cluster = Cluster::start(count).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers = writers(&cluster, &stop);
    for to in [2, 3, 1] {
        let from = cluster.leader().await;
        cluster.store(from).transfer(to).await.unwrap();
        assert_eq!(cluster.store(from).leader(), Some(to));
        cluster.agreed().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut longest = Duration::ZERO;
    for writer in writers {
        longest = longest.max(writer.await.unwrap());
    }
    cluster.converged().await;
    cluster.stop().await;
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_leadership_moves_among_three() {
    let longest = transfers_under_load(3).await;
    println!("longest write among three: {longest:?}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_while_leadership_moves_among_five() {
    let longest = transfers_under_load(5).await;
    println!("longest write among five: {longest:?}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_fails_while_one_member_after_the_other_restarts() {
    let mut cluster = Cluster::start(3).await;
    let mut longest = Duration::ZERO;
    for id in [1, 2, 3] {
        let stop = Arc::new(AtomicBool::new(false));
        let leaving = cluster.stores.remove(&id).unwrap();
        let writers = writers(&cluster, &stop);
        leaving.step_down().await.unwrap();
        cluster.stores.insert(id, leaving);
        cluster.kill(id).await;
        cluster.open(id).await;
        cluster.agreed().await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            longest = longest.max(writer.await.unwrap());
        }
    }
    println!("longest write during restarts: {longest:?}");
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_steps_down_passes_on_to_one_that_answers() {
    let mut cluster = Cluster::start(3).await;
    cluster.kill(2).await;
    cluster.store(1).put("/k", "v").await.unwrap();
    cluster.store(1).step_down().await.unwrap();
    assert_eq!(cluster.leader().await, 3);
    // Nobody is left to pass on to: it goes on leading, at once.
    cluster.kill(1).await;
    let _ = cluster.store(3).step_down().await;
    let refused = cluster.store(3).transfer(9).await;
    assert!(matches!(refused, Err(Error::Membership | Error::NoQuorum)), "{refused:?}");
    cluster.stop().await;
}
