//! What is possible, and what is said, when too few nodes answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use smr_control::{Control, Error};
use smr_store::{Member, Options, Store};
use smr_wire::{Code, ReplicaQuery, RolloutAction};
use support::{configuration, containers, kim};
use tempfile::TempDir;

/// One of two voters; the other one was never there.
async fn alone(dir: &TempDir) -> Control {
    let mut options = Options::new(dir.path());
    options.heartbeat = Duration::from_millis(50);
    options.election_timeout = Duration::from_millis(200);
    options.propose_timeout = Duration::from_secs(1);
    let store = Store::open(options).await.unwrap();
    let options = smr_control::Options { node_id: 1, node_name: "node-1".to_owned() };
    let control = Control::new(store, smr_pki::DataKey::from_bytes(&[7; 32]), options);
    control.apply(&containers("g", "web"), "c.yaml", false, &kim()).await.unwrap();
    let store = control.store();
    let other = Member { id: 2, address: "nowhere:9212".to_owned() };
    store.begin_learner(other).await.unwrap();
    store.set_voters([1, 2].into()).await.unwrap_err();
    control
}

#[tokio::test]
async fn without_quorum_only_stale_reads_are_answered() {
    let dir = TempDir::new().unwrap();
    let it = alone(&dir).await;

    let read = it.replicas(&ReplicaQuery::default()).await.unwrap_err();
    assert!(matches!(read, Error::NoFreshRead { .. }), "{read}");
    assert_eq!(read.code(), Code::NoQuorum);
    let hint = read.hint().unwrap();
    assert!(hint.contains("?stale=true") && hint.contains("--stale"), "{hint}");

    let stale = it.reading(true);
    assert!(stale.replicas(&ReplicaQuery::default()).await.unwrap().stale);
    assert!(stale.rollout("g", "web").await.unwrap().stale);
    assert!(stale.explain_placement("g", "web").await.unwrap().stale);

    for it in [&it, &stale] {
        let write = it.apply(&configuration("a", "x"), "a.yaml", false, &kim()).await.unwrap_err();
        assert!(matches!(write.code(), Code::NoQuorum | Code::NoLeader), "{write:?}");
        assert!(write.is_transient());
        assert!(write.to_string().starts_with("the change was not made"), "{write}");
        let action = RolloutAction::Pause;
        let write = it.change_rollout("g", "web", action, None, &kim()).await.unwrap_err();
        assert!(matches!(write.code(), Code::NoQuorum | Code::NoLeader), "{write:?}");
    }
}
