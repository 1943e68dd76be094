//! The network between members, and clusters on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use smr_store::{Member, NodeId, NotSent, Options, Rpc, RpcKind, Store, Transport, TransportError};
use tokio::time::{Instant, interval, timeout};

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Vec<u8>, TransportError>> + Send>>;

/// Longest anything may take here; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);
pub(crate) const ELECTION: Duration = Duration::from_millis(400);

#[derive(Default)]
struct Faults {
    stores: BTreeMap<NodeId, Store>,
    /// Messages that way are swallowed, answers too.
    cut: BTreeSet<(NodeId, NodeId)>,
    delay: BTreeMap<(NodeId, NodeId), Duration>,
    /// One of so many messages is swallowed.
    loss: Option<u64>,
    sent: u64,
    by_kind: BTreeMap<(NodeId, &'static str), u64>,
}

/// Carries messages between the members of one test.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<Faults>>);

struct Link {
    net: Net,
    from: NodeId,
}

impl Net {
    pub(crate) fn cut(&self, from: NodeId, to: NodeId) {
        self.0.lock().unwrap().cut.insert((from, to));
    }

    /// Cuts one member off, both ways.
    pub(crate) fn isolate(&self, id: NodeId) {
        for other in (1..=9).filter(|other| *other != id) {
            self.cut(id, other);
            self.cut(other, id);
        }
    }

    pub(crate) fn heal(&self) {
        let mut faults = self.0.lock().unwrap();
        faults.cut.clear();
        faults.delay.clear();
        faults.loss = None;
    }

    pub(crate) fn delay(&self, from: NodeId, to: NodeId, delay: Duration) {
        self.0.lock().unwrap().delay.insert((from, to), delay);
    }

    /// Swallows one of `of` messages.
    pub(crate) fn lose(&self, of: u64) {
        self.0.lock().unwrap().loss = Some(of);
    }

    /// Messages of a kind that a member sent.
    pub(crate) fn count(&self, from: NodeId, kind: RpcKind) -> u64 {
        self.0.lock().unwrap().by_kind.get(&(from, kind.name())).copied().unwrap_or(0)
    }

    /// Waits for a message to be let through; never returns when it is swallowed.
    async fn pass(&self, from: NodeId, to: NodeId) {
        let (lost, delay) = {
            let mut faults = self.0.lock().unwrap();
            faults.sent += 1;
            let unlucky = faults.loss.is_some_and(|of| faults.sent.is_multiple_of(of));
            (unlucky || faults.cut.contains(&(from, to)), faults.delay.get(&(from, to)).copied())
        };
        if lost {
            pending::<()>().await;
        }
        if let Some(delay) = delay {
            // The network that is simulated, not a wait of the test.
            tokio::time::sleep_until(tokio::time::Instant::now() + delay).await;
        }
    }
}

impl Transport for Link {
    fn call(&self, target: Member, rpc: Rpc) -> Answer {
        let (net, from, to) = (self.net.clone(), self.from, target.id);
        Box::pin(async move {
            let store = {
                let mut faults = net.0.lock().unwrap();
                *faults.by_kind.entry((from, rpc.kind.name())).or_default() += 1;
                faults.stores.get(&to).cloned()
            };
            let Some(store) = store else {
                let source = NotSent("nothing listens there".into());
                return Err(TransportError { target: to, source: source.into() });
            };
            net.pass(from, to).await;
            // As with a real network, the message is worked on even if nobody waits any more.
            let answer = tokio::spawn(async move { store.handle(rpc).await }).await.unwrap();
            net.pass(to, from).await;
            answer.map_err(|error| TransportError { target: to, source: error.into() })
        })
    }
}

/// Members that run.
pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stores: BTreeMap<NodeId, Store>,
    pub(crate) tune: fn(&mut Options),
}

pub(crate) fn address(id: NodeId) -> String {
    format!("node-{id}")
}

pub(crate) fn as_member(id: NodeId) -> Member {
    Member { id, address: address(id) }
}

impl Cluster {
    /// Voters 1 to `count`, led by 1.
    pub(crate) async fn start(count: NodeId) -> Self {
        Self::start_with(count, |_| {}).await
    }

    pub(crate) async fn start_with(count: NodeId, tune: fn(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Self { net: Net::default(), dir, stores: BTreeMap::new(), tune };
        let first = cluster.open(1).await;
        for id in 2..=count {
            cluster.open(id).await;
            first.add_learner(as_member(id)).await.unwrap();
        }
        first.set_voters((1..=count).collect()).await.unwrap();
        cluster.agreed().await;
        cluster
    }

    /// Starts a member on its data.
    pub(crate) async fn open(&mut self, id: NodeId) -> Store {
        let mut options = Options::new(self.dir.path().join(id.to_string()));
        options.node_id = id;
        options.bootstrap = id == 1;
        options.address = address(id);
        options.heartbeat = HEARTBEAT;
        options.election_timeout = ELECTION;
        options.segment_bytes = 1024 * 1024;
        options.transport = Arc::new(Link { net: self.net.clone(), from: id });
        (self.tune)(&mut options);
        let store = Store::open(options).await.unwrap();
        self.net.0.lock().unwrap().stores.insert(id, store.clone());
        self.stores.insert(id, store.clone());
        store
    }

    /// Takes a member away at once: what it says or hears from now on is lost.
    pub(crate) async fn kill(&mut self, id: NodeId) {
        self.net.0.lock().unwrap().stores.remove(&id);
        let store = self.stores.remove(&id).unwrap();
        store.shutdown().await;
    }

    pub(crate) fn store(&self, id: NodeId) -> &Store {
        &self.stores[&id]
    }

    /// The member that leads and is ready, once there is one.
    pub(crate) async fn leader(&self) -> NodeId {
        self.leader_among(|_| true).await
    }

    /// The same, of those that `among` selects.
    pub(crate) async fn leader_among(&self, among: impl Fn(NodeId) -> bool) -> NodeId {
        let mut found = 0;
        eventually("a leader that is ready", || {
            let leads = |(id, store): (&NodeId, &Store)| {
                (among(*id) && store.leadership().borrow().ready).then_some(*id)
            };
            found = self.stores.iter().find_map(leads).unwrap_or(0);
            found != 0
        })
        .await;
        found
    }

    /// Waits until all members that run follow the same ready leader.
    pub(crate) async fn agreed(&self) {
        eventually("all to follow one leader", || {
            let mut views = self.stores.values().map(|store| *store.leadership().borrow());
            let first = views.next().unwrap();
            first.leader.is_some_and(|id| {
                self.stores.get(&id).is_some_and(|leader| leader.leadership().borrow().ready)
            }) && views.all(|view| view.leader == first.leader && view.term == first.term)
        })
        .await;
    }

    /// Waits until all members that run have the same keyspace.
    pub(crate) async fn converged(&self) {
        eventually("all to hold the same", || {
            let mut all = self.stores.values().map(|store| store.list("").unwrap());
            let first = all.next().unwrap();
            all.all(|other| other == first)
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        for store in self.stores.values() {
            store.shutdown().await;
        }
    }
}

/// Looks until something is the case.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let mut look = interval(Duration::from_millis(10));
    let begun = Instant::now();
    while !check() {
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        look.tick().await;
    }
}

/// Fails when something takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> T {
    timeout(limit, what).await.expect("it takes too long")
}
