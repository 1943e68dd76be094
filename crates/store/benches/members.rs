//! Three members in one process on this disk: writes per second and how long one takes, through the
//! leader and through a follower. The network is a function call, so this shows what the store costs.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that prints")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use smr_store::{Member, NodeId, NotSent, Options, Rpc, Store, Transport, TransportError};

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, TransportError>> + Send>>;

const RUN: Duration = Duration::from_secs(4);

#[derive(Clone, Default)]
struct Net(Arc<Mutex<BTreeMap<NodeId, Store>>>);

impl Transport for Net {
    fn call(&self, target: Member, rpc: Rpc) -> Answer {
        let store = self.0.lock().unwrap().get(&target.id).cloned();
        Box::pin(async move {
            let failed = |source| TransportError { target: target.id, source };
            let store = store.ok_or_else(|| failed(Box::new(NotSent("not there".into()))))?;
            let answer = tokio::spawn(async move { store.handle(rpc).await }).await;
            answer.unwrap().map_err(|error| failed(error.into()))
        })
    }
}

#[tokio::main]
async fn main() {
    let base = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).unwrap();
    let net = Net::default();
    let mut stores = Vec::new();
    for id in 1..=3 {
        let mut options = Options::new(dir.path().join(id.to_string()));
        options.node_id = id;
        options.bootstrap = id == 1;
        options.transport = Arc::new(net.clone());
        let store = Store::open(options).await.unwrap();
        net.0.lock().unwrap().insert(id, store.clone());
        stores.push(store);
        if id > 1 {
            stores[0].add_learner(Member { id, address: String::new() }).await.unwrap();
        }
    }
    stores[0].set_voters([1, 2, 3].into()).await.unwrap();
    for (name, store) in [("leader", &stores[0]), ("follower", &stores[1])] {
        for writers in [1, 64, 256] {
            let syncs = stores[0].status().syncs;
            let mut took = run(store, writers).await;
            let syncs = stores[0].status().syncs - syncs;
            took.sort_unstable();
            let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
            println!(
                "{name:8} {writers:3} writers: {:7.0}/s  p50 {:?}  p99 {:?}  max {:?}  ({syncs} syncs)",
                took.len() as f64 / RUN.as_secs_f64(),
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
    for store in &stores {
        store.shutdown().await;
    }
}

async fn run(store: &Store, writers: usize) -> Vec<Duration> {
    let value = vec![b'x'; 256];
    let tasks = (0..writers).map(|writer| {
        let (store, value) = (store.clone(), value.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            let mut took = Vec::new();
            while begun.elapsed() < RUN {
                let one = Instant::now();
                let key = format!("/bench/{writer}/{}", took.len() % 100);
                store.put(key, value.clone()).await.unwrap();
                took.push(one.elapsed());
            }
            took
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await.unwrap());
    }
    all
}
