//! Nothing that was acknowledged is ever lost.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use smr_store::{Error, Store};
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
