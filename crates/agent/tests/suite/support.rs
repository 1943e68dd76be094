//! A node in a directory of its own: store, object API, engine, agent.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use smr_agent::{Agent, EngineStatus, Options};
use smr_control::{Actor, Control};
use smr_engine::{Call, MemoryEngine, Operation, Owner};
use smr_model::{Kind, ObjectKey, ReplicaKey, ReplicaState, ReplicaStatus};
use smr_pki::DataKey;
use smr_reconcile::is_previous;
use smr_store::{KeyRange, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::assign::assign;

/// Nothing here takes nearly as long; a condition not met by then never is.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Statuses by generated name.
pub(crate) type Statuses = BTreeMap<String, ReplicaStatus>;

pub(crate) struct Node {
    pub(crate) control: Control,
    pub(crate) engine: MemoryEngine,
    agent: Option<(Agent, Runtime)>,
    /// Of a store of its own.
    dir: Option<TempDir>,
}

impl Node {
    /// A node with images `web:1` and `web:2` on its engine, its agent running.
    pub(crate) async fn start() -> Self {
        let mut node = Self::without_agent().await;
        node.start_agent().await;
        node
    }

    pub(crate) async fn without_agent() -> Self {
        // Every test tries; the first one in the process succeeds.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
        let mut node = Self::member(store, 1);
        node.dir = Some(dir);
        node
    }

    /// A node of a cluster, which is one store here; its agent does not run yet.
    pub(crate) fn member(store: Store, id: u64) -> Self {
        let name = format!("node-{id}");
        let options = smr_control::Options { node_id: id, node_name: name.clone() };
        let control = Control::new(store, DataKey::from_bytes(&[7; 32]), options);
        let engine = MemoryEngine::new(Owner { cluster: "test".to_owned(), node: name });
        engine.add_image("web:1");
        engine.add_image("web:2");
        Self { control, engine, agent: None, dir: None }
    }

    /// The agent runs on a runtime of its own, so that it can be killed.
    pub(crate) async fn start_agent(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            control: self.control.clone(),
            engine: Arc::new(self.engine.clone()),
            parallelism: 8,
        };
        let agent = runtime.spawn(Agent::start(options)).await.unwrap().unwrap();
        self.agent = Some((agent, runtime));
    }

    /// Ends the agent as a crash does: nothing is finished, nothing is stored.
    pub(crate) async fn kill_agent(&mut self) {
        let (_agent, runtime) = self.agent.take().expect("an agent runs");
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE));
        ended.await.unwrap();
        // The store outlives it here: what it had handed in is written before this is.
        self.control.store().put("/test/killed", "").await.unwrap();
    }

    /// Ends the agent in good order.
    pub(crate) async fn stop_agent(&mut self) {
        let (agent, runtime) = self.agent.take().expect("an agent runs");
        tokio::time::timeout(DEADLINE, agent.shutdown()).await.expect("the agent stops");
        runtime.shutdown_background();
    }

    /// Waits until the agent says this of the engine.
    pub(crate) async fn engine_is(&self, wanted: impl Fn(&EngineStatus) -> bool) {
        let (agent, _) = self.agent.as_ref().expect("an agent runs");
        let mut status = agent.engine_status();
        let found = tokio::time::timeout(DEADLINE, status.wait_for(wanted)).await;
        assert!(found.expect("the agent notices the engine").is_ok());
    }

    pub(crate) async fn apply(&self, text: &str) {
        if let Err(error) = self.control.apply(text, "test.yaml", false, &kim()).await {
            panic!("{error}: {error:?}");
        }
        self.assign().await;
    }

    /// Every replica is to run here.
    async fn assign(&self) -> u64 {
        assign(&self.control, |_| 1).await
    }

    /// Applies and waits until statuses tell what follows from it.
    pub(crate) async fn apply_and_settle(&self, text: &str) {
        self.control.apply(text, "test.yaml", false, &kim()).await.unwrap();
        let revision = self.assign().await;
        let (agent, _) = self.agent.as_ref().expect("an agent runs");
        let mut settled = agent.settled();
        let wait = settled.wait_for(|settled| *settled >= revision);
        tokio::time::timeout(DEADLINE, wait).await.expect("the change is taken in").unwrap();
    }

    pub(crate) async fn remove(&self, kind: Kind, group: &str, name: &str) {
        let key = ObjectKey::new(kind, group, name);
        self.control.delete_all(vec![key], None, &kim()).await.unwrap();
        self.assign().await;
    }

    pub(crate) async fn restart(&self, group: &str, name: &str) {
        self.control.restart(group, name, &kim()).await.unwrap();
    }

    pub(crate) async fn statuses(&self) -> Statuses {
        let (_, statuses) = self.control.statuses().await.unwrap();
        statuses.into_iter().map(|status| (status.key.generated_name(), status)).collect()
    }

    /// Waits until the stored statuses are as wanted.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        what: &'a str,
        wanted: impl Fn(&Statuses) -> bool + 'a,
    ) -> impl Future<Output = Statuses> + 'a {
        let place = std::panic::Location::caller();
        async move {
            // Whatever is written after this wakes the watch.
            let mut changes = self.control.store().watch(KeyRange::prefix("/smr/"), None).unwrap();
            let met = async {
                loop {
                    let statuses = self.statuses().await;
                    if wanted(&statuses) {
                        return statuses;
                    }
                    changes.next().await.unwrap().unwrap();
                }
            };
            let Ok(statuses) = tokio::time::timeout(DEADLINE, met).await else {
                panic!("{place}: not so in time: {what}\n{}", self.describe().await);
            };
            statuses
        }
    }

    /// Waits until exactly these replicas exist and all of them are `state`, and no container from
    /// before is left.
    #[track_caller]
    pub(crate) fn until_all<'a>(
        &'a self,
        names: &'a [&'a str],
        state: ReplicaState,
    ) -> impl Future<Output = Statuses> + 'a {
        let statuses = self.until("all replicas in that state", move |statuses| {
            statuses.keys().eq(names.iter()) && statuses.values().all(|s| s.state == state)
        });
        let alone = self.until_engine("nothing from before", |engine| {
            !engine.names().iter().any(|name| is_previous(name))
        });
        async move {
            let statuses = statuses.await;
            alone.await;
            statuses
        }
    }

    #[track_caller]
    pub(crate) fn until_running<'a>(
        &'a self,
        names: &'a [&'a str],
    ) -> impl Future<Output = Statuses> + 'a {
        self.until_all(names, ReplicaState::Running)
    }

    /// Waits until the engine is as wanted.
    #[track_caller]
    pub(crate) fn until_engine<'a>(
        &'a self,
        what: &'a str,
        wanted: impl Fn(&MemoryEngine) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let met = tokio::time::timeout(DEADLINE, self.engine.until(wanted)).await;
            assert!(met.is_ok(), "{place}: not so in time: {what}\n{}", self.describe().await);
        }
    }

    async fn describe(&self) -> String {
        let mut text = String::new();
        for (name, status) in self.statuses().await {
            let reason = status.reason.map(|r| format!("{}: {}", r.code, r.message));
            let _ = writeln!(text, "{name} {} {}", status.state, reason.unwrap_or_default());
            if let Some((agent, _)) = &self.agent {
                for line in agent.debug_log().read(&status.key).0.iter().rev().take(12).rev() {
                    let _ = writeln!(text, "    {line}");
                }
            }
        }
        text + &format!("containers: {:?}", self.engine.names())
    }

    /// Container ids by name.
    pub(crate) fn ids(&self) -> BTreeMap<String, String> {
        let names = self.engine.names();
        names.into_iter().map(|n| (n.clone(), self.engine.container(&n).unwrap().id)).collect()
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.engine.container(name).unwrap_or_else(|| panic!("no container `{name}`")).id
    }

    /// Kinds of the events about a replica, oldest first.
    pub(crate) async fn events(&self, key: &ReplicaKey) -> Vec<String> {
        let resource = format!("containers/{}/{}", key.group, key.generated_name());
        let query = smr_wire::EventQuery { resource: Some(resource), ..Default::default() };
        self.control.events(&query).await.unwrap().items.into_iter().map(|e| e.kind).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((_, runtime)) = self.agent.take() {
            runtime.shutdown_background();
        }
        drop(self.dir.take());
    }
}

pub(crate) fn kim() -> Actor {
    Actor { name: "kim".to_owned(), role: smr_pki::Role::Admin }
}

/// A `containers` object of the group `shop` with more lines in its `spec`.
pub(crate) fn containers(name: &str, tag: &str, replicas: u32, spec: &str) -> String {
    containers_in("shop", name, tag, replicas, spec)
}

pub(crate) fn containers_in(
    group: &str,
    name: &str,
    tag: &str,
    replicas: u32,
    spec: &str,
) -> String {
    let lines = spec.replace('\n', "\n  ");
    format!(
        "kind: containers\nmeta: {{group: {group}, name: {name}}}\nspec:\n  image: web\n  \
         tag: \"{tag}\"\n  replicas: {replicas}\n  {lines}\n---\n"
    )
}

pub(crate) fn secret(name: &str, value: &str) -> String {
    format!(
        "kind: secret\nmeta: {{group: shop, name: {name}}}\nspec: {{data: {{key: {value}}}}}\n---\n"
    )
}

pub(crate) fn configuration(name: &str, value: &str) -> String {
    secret(name, value).replace("kind: secret", "kind: configuration")
}

/// The calls of these kinds.
pub(crate) fn calls_of(calls: &[Call], operations: &[Operation]) -> Vec<Call> {
    calls.iter().filter(|call| operations.contains(&call.operation)).cloned().collect()
}

/// Whatever changes containers.
pub(crate) const CHANGING: [Operation; 4] =
    [Operation::Create, Operation::Start, Operation::Stop, Operation::Remove];
