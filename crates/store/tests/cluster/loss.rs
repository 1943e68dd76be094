//! Nothing that was acknowledged is ever lost.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use smr_store::{CmpOp, Compare, Error, KeyValue, Op, Store, Txn};
use tokio::task::JoinHandle;

use crate::support::{Cluster, eventually};

/// What was acknowledged.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

fn write(
    name: String,
    store: Store,
    acknowledged: &Acknowledged,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (acknowledged, stop) = (Arc::clone(acknowledged), Arc::clone(stop));
    tokio::spawn(async move {
        for i in 0.. {
            let key = format!("/{name}/{i}");
            match store.put(key.as_str(), "v").await {
                Ok(_) => {
                    acknowledged.lock().unwrap().insert(key);
                }
                Err(Error::Stopped) => return,
                Err(_) => {}
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    })
}

async fn survives(victim: u64, loss: Option<u64>) {
    let mut cluster = Cluster::start_with(3, |options| {
        options.propose_timeout = Duration::from_secs(3);
    })
    .await;
    if let Some(of) = loss {
        cluster.net.lose(of);
    }
    let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
    let start = |id: u64, store: &Store, round: u64| -> Vec<JoinHandle<()>> {
        (0..4)
            .map(|i| write(format!("{round}-{id}-{i}"), store.clone(), &acknowledged, &stop))
            .collect()
    };
    let mut writers = Vec::new();
    for (id, store) in &cluster.stores {
        writers.extend(start(*id, store, 0));
    }
    let count = || acknowledged.lock().unwrap().len();
    eventually("writes to flow", || count() > 100).await;
    cluster.kill(victim).await;
    let before = count();
    eventually("writes to flow again", || count() > before + 100).await;
    let back = cluster.open(victim).await;
    writers.extend(start(victim, &back, 1));
    let before = count();
    eventually("writes to flow still", || count() > before + 100).await;
    cluster.net.heal();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    cluster.agreed().await;
    for store in cluster.stores.values() {
        store.barrier().await.unwrap();
        for key in acknowledged.lock().unwrap().iter() {
            assert!(store.get(key).unwrap().is_some(), "`{key}` is lost");
        }
    }
    cluster.converged().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_when_the_leader_dies() {
    survives(1, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_when_a_follower_dies() {
    survives(3, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_on_a_bad_network() {
    survives(1, Some(20)).await;
}

/// Adds one to a counter if nobody else did meanwhile; whether that is known to have happened, known
/// not to have happened, or not known.
async fn increment(store: &Store, found: Option<KeyValue>) -> Option<bool> {
    let value = found
        .as_ref()
        .map_or(0, |found| String::from_utf8_lossy(&found.value).parse::<u64>().unwrap());
    let seen = found.map_or(0, |found| found.mod_revision);
    let txn = Txn::new()
        .when(Compare::mod_revision("/counter", CmpOp::Equal, seen))
        .then(Op::put("/counter", (value + 1).to_string()));
    match store.txn(txn).await {
        Ok(outcome) => Some(outcome.succeeded),
        Err(Error::Unknown { .. } | Error::Stopped) => None,
        Err(_) => Some(false),
    }
}

/// A write that is repeated although it happened, or is said not to have happened although it did,
/// makes the counter count more than was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_counter_counts_what_was_acknowledged_whatever_the_network_does() {
    let mut cluster = Cluster::start_with(3, |options| {
        options.propose_timeout = Duration::from_secs(2);
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let known = Arc::new(AtomicU64::new(0));
    let unknown = Arc::new(AtomicU64::new(0));
    let count = |store: Store| {
        let (stop, known, unknown) = (Arc::clone(&stop), Arc::clone(&known), Arc::clone(&unknown));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // A store that was killed reads no more.
                let Ok(found) = store.get("/counter") else { return };
                match increment(&store, found).await {
                    Some(true) => known.fetch_add(1, Ordering::SeqCst),
                    Some(false) => 0,
                    None if store.status().fault.is_some() => return,
                    None => unknown.fetch_add(1, Ordering::SeqCst),
                };
                // A store that refuses at once must not keep the others from running.
                tokio::task::yield_now().await;
            }
        })
    };
    let mut writers = Vec::new();
    for store in cluster.stores.values() {
        writers.extend([count(store.clone()), count(store.clone())]);
    }
    for round in 0..9_u64 {
        let before = known.load(Ordering::SeqCst);
        let leader = cluster.leader().await;
        let other = leader % 3 + 1;
        match round % 5 {
            0 => cluster.net.isolate(leader),
            1 => cluster.net.cut(leader, other),
            2 => cluster.net.lose(5),
            3 => {
                // What the dying store was asked last is not known to anybody.
                unknown.fetch_add(2, Ordering::SeqCst);
                cluster.kill(leader).await;
            }
            _ => {
                cluster.net.cut(other, leader);
                let _ = cluster.store(leader).transfer(other).await;
            }
        }
        eventually("some to get through", || known.load(Ordering::SeqCst) > before + 20).await;
        cluster.net.heal();
        if !cluster.stores.contains_key(&leader) {
            let store = cluster.open(leader).await;
            writers.extend([count(store.clone()), count(store)]);
        }
        eventually("some more to get through", || known.load(Ordering::SeqCst) > before + 40).await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    cluster.agreed().await;
    cluster.store(2).barrier().await.unwrap();
    let found = cluster.store(2).get("/counter").unwrap().unwrap();
    let counted: u64 = String::from_utf8_lossy(&found.value).parse().unwrap();
    let (known, unknown) = (known.load(Ordering::SeqCst), unknown.load(Ordering::SeqCst));
    println!("{known} acknowledged, {unknown} unknown, {counted} counted");
    assert!((known..=known + unknown).contains(&counted), "{known} + {unknown}: {counted}");
    cluster.stop().await;
}
