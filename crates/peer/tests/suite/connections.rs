//! Connections that end, that hang, and that come back.

use std::{sync::Arc, time::Duration};

use smr_peer::{Deadlines, PeerError};
use smr_store::RpcKind;
use tokio::sync::Notify;

use crate::fixture::{CLUSTER, Cluster, Plan, call, knock, peers};

#[tokio::test]
async fn a_slow_answer_times_out_and_the_connection_stays() {
    let cluster = Cluster::new();
    let node = cluster.node_with(Plan::new(2), |_, rpc| {
        Box::pin(async move {
            match rpc.kind {
                RpcKind::AppendEntries => std::future::pending().await,
                _ => Ok(rpc.body),
            }
        })
    });
    let deadlines = Deadlines { raft: Duration::from_millis(200), ..Deadlines::default() };
    let peers = peers(1, &cluster.member(1), CLUSTER, deadlines);
    let error = call(&peers, 2, node.address(), RpcKind::AppendEntries, "").await.unwrap_err();
    assert!(matches!(error, PeerError::TimedOut { target: 2, .. }));
    assert_eq!(error.to_string(), "node `2` did not answer within 200ms");
    assert_eq!(call(&peers, 2, node.address(), RpcKind::Propose, "x").await.unwrap(), b"x");
    assert_eq!(node.handshakes(), 1);
}

#[tokio::test]
async fn a_node_that_is_down_fails_fast_and_is_called_again_when_it_is_heard_of() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let (peers, address) = (cluster.peers(1), node.address());
    knock(&peers, &node).await.unwrap();
    node.listener.shutdown(Duration::from_secs(5)).await;
    // Enough failures for the longest pause; none of them waits for anything.
    for _ in 0..1000 {
        let error = call(&peers, 2, address, RpcKind::Vote, "").await.unwrap_err();
        assert!(matches!(error, PeerError::Unreachable { .. } | PeerError::Broken { .. }));
    }
    let error = call(&peers, 2, address, RpcKind::Vote, "").await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to node `2` at `{address}`"));
    assert!(error.report().contains("refused"), "{}", error.report());

    let back = cluster.node_with(Plan { port: address.port(), ..Plan::new(2) }, |_, rpc| {
        Box::pin(async move { Ok(rpc.body) })
    });
    peers.heard_from(2);
    assert_eq!(knock(&peers, &back).await.unwrap(), b"x");
    let stats = peers.stats().remove(0);
    assert!(stats.connected && stats.failed > 1000);
}

#[tokio::test]
async fn a_caller_counts_as_heard_of() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let caller = cluster.node(1);
    node.peers.set_members([(1, caller.address().to_string())].into());
    assert_eq!(node.peers.stats()[0].silent_for, None);
    knock(&caller.peers, &node).await.unwrap();
    assert!(node.peers.stats()[0].silent_for.is_some());
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_being_answered() {
    let cluster = Cluster::new();
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (asked.clone(), go.clone());
    let node = cluster.node_with(Plan::new(2), move |_, rpc| {
        let (told, wait) = (told.clone(), wait.clone());
        Box::pin(async move {
            told.notify_one();
            wait.notified().await;
            Ok(rpc.body)
        })
    });
    let (peers, address) = (cluster.peers(1), node.address());
    let answer =
        tokio::spawn(async move { call(&peers, 2, address, RpcKind::Propose, "late").await });
    asked.notified().await;
    let closing = tokio::spawn(node.listener.shutdown(Duration::from_secs(60)));
    go.notify_one();
    assert_eq!(answer.await.unwrap().unwrap(), b"late");
    closing.await.unwrap();
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_is_cut() {
    let cluster = Cluster::new();
    let asked = Arc::new(Notify::new());
    let told = asked.clone();
    let node = cluster.node_with(Plan::new(2), move |_, _| {
        told.notify_one();
        Box::pin(std::future::pending())
    });
    let (peers, address) = (cluster.peers(1), node.address());
    let answer = tokio::spawn(async move { call(&peers, 2, address, RpcKind::Propose, "").await });
    asked.notified().await;
    node.listener.shutdown(Duration::ZERO).await;
    assert!(matches!(answer.await.unwrap(), Err(PeerError::Broken { target: 2, .. })));
}

#[tokio::test]
async fn connections_of_one_node_can_be_cut() {
    let cluster = Cluster::new();
    let asked = Arc::new(Notify::new());
    let told = asked.clone();
    let node = cluster.node_with(Plan::new(2), move |_, rpc| {
        let told = told.clone();
        Box::pin(async move {
            if rpc.kind == RpcKind::Propose {
                told.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(rpc.body)
        })
    });
    let (removed, other) = (cluster.peers(1), cluster.peers(3));
    knock(&other, &node).await.unwrap();
    let address = node.address();
    let answer =
        tokio::spawn(async move { call(&removed, 2, address, RpcKind::Propose, "").await });
    asked.notified().await;
    node.listener.cut(1);
    assert!(matches!(answer.await.unwrap(), Err(PeerError::Broken { .. })));
    knock(&other, &node).await.unwrap();
    assert_eq!(node.handshakes(), 2);
}
