//! What is said arrives, and so does the answer.

use std::{collections::BTreeMap, sync::Arc};

use smr_peer::{EnrolRequest, PeerError};
use smr_store::RpcKind;
use tokio::sync::{Barrier, Notify};

use crate::fixture::{Cluster, Plan, call, knock, ping};

#[tokio::test]
async fn every_kind_of_message_arrives_and_is_answered() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = cluster.peers(1);
    for kind in RpcKind::ALL {
        let answer = call(&peers, 2, node.address(), kind, "body").await.unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), format!("1 {} body", kind.name()));
    }
    // One for snapshots, one for everything else.
    assert_eq!(node.handshakes(), 2);
}

#[tokio::test]
async fn pings_probes_and_certificates() {
    let cluster = Cluster::new();
    let (near, far) = (cluster.node(2), cluster.node(3));
    let peers = cluster.peers(1);
    let gone = {
        let node = cluster.node(4);
        node.address().to_string()
    };
    peers.set_members(BTreeMap::from([(2, near.address().to_string())]));
    near.peers.set_members(BTreeMap::from([(3, far.address().to_string()), (4, gone)]));

    let pong = peers.ping(2, &ping()).await.unwrap();
    assert_eq!((pong.epoch, pong.applied, pong.engine_ready), (1, 7, true));

    let probe = peers.probe(2, 3).await.unwrap();
    assert!(probe.reachable && probe.micros > 0, "{probe:?}");
    let probe = peers.probe(2, 4).await.unwrap();
    assert!(!probe.reachable && probe.message.starts_with("cannot connect to node `4` at"));
    let probe = peers.probe(2, 5).await.unwrap();
    assert_eq!(probe.message, "the address of node `5` is not known");

    let request = EnrolRequest { request: "a request".to_owned() };
    let answer = peers.enrol(2, &request).await.unwrap();
    assert_eq!(answer.certificate, "for node-1: a request");
    let failed = peers.enrol(2, &EnrolRequest { request: String::new() }).await.unwrap_err();
    assert!(matches!(failed, PeerError::Failed { .. }));
    assert_eq!(failed.to_string(), "node `2` could not do it: the request is empty");
}

#[tokio::test]
async fn sixty_four_requests_are_answered_at_the_same_time_on_one_connection() {
    let cluster = Cluster::new();
    let barrier = Arc::new(Barrier::new(64));
    let node = cluster.node_with(Plan::new(2), move |_, rpc| {
        let barrier = barrier.clone();
        Box::pin(async move {
            barrier.wait().await;
            Ok(rpc.body)
        })
    });
    let peers = cluster.peers(1);
    let calls = (0..64_u8).map(|n| {
        let (peers, address) = (peers.clone(), node.address());
        tokio::spawn(async move { call(&peers, 2, address, RpcKind::Propose, vec![n; 100]).await })
    });
    for (n, answer) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap(), vec![n as u8; 100]);
    }
    assert_eq!(node.handshakes(), 1);
}

#[tokio::test]
async fn signs_of_life_are_answered_while_a_large_snapshot_is_on_its_way() {
    let cluster = Cluster::new();
    let beats = Arc::new(Notify::new());
    let enough = beats.clone();
    let node = cluster.node_with(Plan::new(2), move |_, rpc| {
        let enough = enough.clone();
        Box::pin(async move {
            if rpc.kind == RpcKind::InstallSnapshot {
                enough.notified().await;
                assert_eq!(rpc.body.len(), 32 << 20);
            }
            Ok(vec![1])
        })
    });
    let peers = cluster.peers(1);
    let snapshot = {
        let (peers, address) = (peers.clone(), node.address());
        tokio::spawn(async move {
            call(&peers, 2, address, RpcKind::InstallSnapshot, vec![7; 32 << 20]).await
        })
    };
    for _ in 0..100 {
        call(&peers, 2, node.address(), RpcKind::AppendEntries, "").await.unwrap();
    }
    // Only now may the snapshot be answered.
    assert!(!snapshot.is_finished());
    beats.notify_one();
    assert_eq!(snapshot.await.unwrap().unwrap(), [1]);
}

#[tokio::test]
async fn the_newest_address_wins_whoever_says_it() {
    let peers = Cluster::new().peers(1);
    let address = || peers.address(2).unwrap();
    let book = |it: &str| peers.set_members([(1, "me:1".to_owned()), (2, it.to_owned())].into());
    // Nobody listens there; where it was called is what counts.
    let give = async |it: &str| assert!(call(&peers, 2, it, RpcKind::Vote, "").await.is_err());
    book("127.0.0.1:1");
    assert_eq!((address().as_str(), peers.address(1)), ("127.0.0.1:1", None));
    // What the store says first may be older than the record.
    give("127.0.0.2:1").await;
    assert_eq!(address(), "127.0.0.1:1");
    // It says something else: that is news. What the record repeats is not.
    give("127.0.0.3:1").await;
    book("127.0.0.1:1");
    assert_eq!(address(), "127.0.0.3:1");
    // The record changes: that is news, what the store repeats is not.
    book("127.0.0.4:1");
    give("127.0.0.3:1").await;
    assert_eq!(address(), "127.0.0.4:1");
    peers.set_members(BTreeMap::new());
    assert_eq!(peers.address(2), None);
    // Without a record, the store is all there is.
    give("127.0.0.5:1").await;
    assert_eq!(address(), "127.0.0.5:1");
}

#[tokio::test]
async fn what_happened_is_counted() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = cluster.peers(1);
    assert!(peers.stats().is_empty());
    knock(&peers, &node).await.unwrap();
    let stats = peers.stats().remove(0);
    assert_eq!((stats.id, stats.connected, stats.answered, stats.failed), (2, true, 1, 0));
    assert!(stats.silent_for.is_some() && stats.round_trip.is_some());
    assert!(stats.sent_bytes > 0 && stats.received_bytes > 0);
    assert_eq!(stats.last_error, "");
    peers.set_members(BTreeMap::from([(3, "nonsense".to_owned())]));
    let error = peers.ping(3, &ping()).await.unwrap_err();
    assert_eq!(error.to_string(), "the address `nonsense` of node `3` is not a host and a port");
    let stats = peers.stats().remove(0);
    assert_eq!((stats.id, stats.failed, stats.last_error), (3, 1, error.to_string()));
}
