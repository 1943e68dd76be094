//! Linearizable reads on members that do not lead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use smr_store::RpcKind;

use crate::support::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_a_barrier_on_a_follower_sees_what_was_acknowledged_before() {
    let cluster = Cluster::start(3).await;
    // The follower gets everything late.
    cluster.net.delay(1, 3, Duration::from_millis(20));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writer = {
        let (store, acknowledged) = (cluster.store(1).clone(), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            for i in 1..=100_u64 {
                store.put("/counter", i.to_string()).await.unwrap();
                acknowledged.store(i, Ordering::SeqCst);
            }
        })
    };
    let mut behind = 0;
    while !writer.is_finished() {
        let before = acknowledged.load(Ordering::SeqCst);
        let read = || {
            let found = cluster.store(3).get("/counter").unwrap();
            found.map_or(0, |found| String::from_utf8_lossy(&found.value).parse::<u64>().unwrap())
        };
        behind += u64::from(read() < before);
        cluster.store(3).barrier().await.unwrap();
        assert!(read() >= before);
    }
    writer.await.unwrap();
    assert!(behind > 0, "the local copy was never behind, so that nothing was shown");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn barriers_at_once_share_a_round() {
    let cluster = Cluster::start(3).await;
    let before = cluster.net.count(2, RpcKind::ReadIndex);
    let readers = (0..500).map(|_| {
        let store = cluster.store(2).clone();
        tokio::spawn(async move { store.barrier().await })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap().unwrap();
    }
    let rounds = cluster.net.count(2, RpcKind::ReadIndex) - before;
    assert!(rounds < 100, "{rounds} rounds for 500 reads");
    cluster.stop().await;
}
