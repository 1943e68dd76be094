//! Three members in one process, connected by direct calls: the transport is all that is missing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use smr_store::{Error, KeyRange, Member, NodeId, Options, Rpc, Store, Transport, TransportError};

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, TransportError>> + Send>>;

/// Members by identity; one that is taken out cannot be reached.
#[derive(Clone, Default)]
struct Switch(Arc<Mutex<BTreeMap<NodeId, Store>>>);

impl Transport for Switch {
    fn call(&self, target: Member, rpc: Rpc) -> Answer {
        let store = self.0.lock().unwrap().get(&target.id).cloned();
        Box::pin(async move {
            let unreachable =
                |text: String| TransportError { target: target.id, source: text.into() };
            let store = store.ok_or_else(|| unreachable("not connected".into()))?;
            store.handle(rpc).await.map_err(|error| unreachable(error.to_string()))
        })
    }
}

async fn member(dir: &tempfile::TempDir, switch: &Switch, id: NodeId) -> Store {
    let mut options = Options::new(dir.path().join(id.to_string()));
    options.node_id = id;
    options.bootstrap = id == 1;
    options.snapshot_log_entries = 50;
    options.keep_entries = 5;
    options.transport = Arc::new(switch.clone());
    let store = Store::open(options).await.unwrap();
    switch.0.lock().unwrap().insert(id, store.clone());
    store
}

async fn reaches(store: &Store, revision: u64) {
    let mut watch = store.watch(KeyRange::All, Some(revision)).unwrap();
    watch.next().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn learners_catch_up_by_snapshot_become_voters_and_take_over() {
    let dir = tempfile::tempdir().unwrap();
    let switch = Switch::default();
    let first = member(&dir, &switch, 1).await;
    for i in 0..200 {
        first.put(format!("/k{i}"), "v").await.unwrap();
    }
    let mut others = Vec::new();
    for id in [2, 3] {
        let store = member(&dir, &switch, id).await;
        first.add_learner(Member { id, address: format!("node-{id}") }).await.unwrap();
        others.push(store);
    }
    first.set_voters([1, 2, 3].into()).await.unwrap();
    let revision = first.put("/shared", "x").await.unwrap();
    for store in &others {
        reaches(store, revision).await;
        assert_eq!(store.list("").unwrap(), first.list("").unwrap());
        assert!(matches!(store.put("/no", "x").await, Err(Error::NotLeader { leader: Some(1) })));
    }

    // The leader goes away: another one takes over with everything that was acknowledged.
    switch.0.lock().unwrap().remove(&1);
    first.shutdown().await;
    let revision = loop {
        let leader = others.iter().find(|store| store.is_leader());
        match leader {
            Some(leader) => break leader.put("/after", "y").await.unwrap(),
            None => tokio::task::yield_now().await,
        }
    };
    for store in &others {
        reaches(store, revision).await;
        assert!(store.get("/shared").unwrap().is_some());
    }

    // It comes back and catches up.
    let first = member(&dir, &switch, 1).await;
    reaches(&first, revision).await;
    assert_eq!(first.list("").unwrap(), others[0].list("").unwrap());
    for store in others.iter().chain([&first]) {
        store.shutdown().await;
    }
}
