//! The agent over a real store and an engine in memory: it looks at full state, so whatever it was not
//! told of costs time and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, sync::Arc};

use smr_agent::{Agent, Options};
use smr_control::{Actor, Control, keyspace};
use smr_engine::{Call, ContainerEngine, MemoryEngine, Operation, Owner, Program};
use smr_model::{EngineState, ReplicaState, ReplicaStatus};
use smr_pki::{DataKey, Role};
use smr_store::{KeyRange, Store};
use tempfile::TempDir;

const WEB: &str = "
kind: containers
meta: {group: g, name: web}
spec: {image: app, tag: '1', replicas: 3}
";

/// One container with a secret in its environment, one without.
const USERS: &str = "
kind: secret
meta: {group: g, name: s}
spec: {data: {k: before}}
---
kind: containers
meta: {group: g, name: uses}
spec: {image: app, tag: '1', envs: ['K=(( lookup \"secret/g/s:k\" ))']}
---
kind: containers
meta: {group: g, name: other}
spec: {image: app, tag: '1'}
";

struct Lab {
    control: Control,
    engine: MemoryEngine,
    _dir: TempDir,
}

impl Lab {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
        let options = smr_control::Options { node_id: 1, node_name: "one".to_owned() };
        let control = Control::new(store, DataKey::from_bytes(&[7; 32]), options);
        let engine = MemoryEngine::new(Owner { cluster: "c".into(), node: "1".into() });
        engine.add_image("app:1");
        engine.set_program("app:1", Program::forever());
        Self { control, engine, _dir: dir }
    }

    async fn agent(&self) -> Agent {
        let engine: Arc<dyn ContainerEngine> = Arc::new(self.engine.clone());
        let options = Options { control: self.control.clone(), engine, parallelism: 4 };
        Agent::start(options).await.unwrap()
    }

    async fn apply(&self, text: &str) {
        let actor = Actor { name: "kim".to_owned(), role: Role::Admin };
        self.control.apply(text, "test", false, &actor).await.unwrap();
    }

    /// Waits until the stored statuses are as wanted; looks again after every change.
    async fn until(&self, wanted: impl Fn(&[ReplicaStatus]) -> bool) {
        let mut changes =
            self.control.store().watch(KeyRange::prefix(keyspace::STATUSES), None).unwrap();
        loop {
            let (_, statuses) = self.control.statuses().await.unwrap();
            if wanted(&statuses) {
                return;
            }
            changes.next().await.unwrap().unwrap();
        }
    }

    async fn until_running(&self, count: usize) {
        self.until(|all| {
            all.len() == count && all.iter().all(|s| s.ready && s.state == ReplicaState::Running)
        })
        .await;
    }

    fn runs(&self, name: &str) -> bool {
        self.engine.container(name).is_some_and(|c| c.state == EngineState::Running)
    }

    fn id(&self, name: &str) -> String {
        self.engine.container(name).unwrap().id
    }
}

/// The calls that change something, without their targets.
fn changes(calls: &[Call]) -> Vec<Operation> {
    let changing =
        [Operation::Create, Operation::Start, Operation::Stop, Operation::Remove, Operation::Pull];
    calls.iter().map(|call| call.operation).filter(|it| changing.contains(it)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_event_told_of_is_found_when_the_engine_is_back() {
    let lab = Lab::new().await;
    let agent = lab.agent().await;
    lab.apply(WEB).await;
    lab.until_running(3).await;
    let untouched = lab.id("g-web-1");

    lab.engine.set_reachable(false);
    lab.engine.kill("g-web-2", 1);
    lab.engine.vanish("g-web-3");
    lab.engine.set_reachable(true);

    lab.engine.until(|_| ["g-web-2", "g-web-3"].iter().all(|name| lab.runs(name))).await;
    lab.until_running(3).await;
    assert_eq!(lab.id("g-web-1"), untouched, "nothing had happened to this one");
    assert_eq!(lab.engine.names(), ["g-web-1", "g-web-2", "g-web-3"]);
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_lost_while_the_stream_is_reopened_are_made_up_for() {
    let lab = Lab::new().await;
    let agent = lab.agent().await;
    lab.apply(WEB).await;
    lab.until_running(3).await;

    lab.engine.break_events();
    lab.engine.vanish("g-web-1");

    lab.engine.until(|_| lab.runs("g-web-1")).await;
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_again_adopts_and_changes_nothing() {
    let lab = Lab::new().await;
    let agent = lab.agent().await;
    lab.apply(WEB).await;
    lab.until_running(3).await;
    agent.shutdown().await;
    let ids: BTreeSet<String> = lab.engine.names().iter().map(|name| lab.id(name)).collect();
    lab.engine.take_calls();

    let agent = lab.agent().await;
    // A fourth replica is the sign that the agent has looked at everything.
    lab.apply(&WEB.replace("replicas: 3", "replicas: 4")).await;
    lab.until_running(4).await;
    agent.shutdown().await;

    assert_eq!(changes(&lab.engine.take_calls()), [Operation::Create, Operation::Start]);
    assert!(ids.iter().all(|id| lab.engine.container(id).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_while_nobody_looked_is_cleaned_up_and_strangers_stay() {
    let lab = Lab::new().await;
    let stranger = lab.engine.add_foreign("g-other-1", "app:1");
    let agent = lab.agent().await;
    lab.apply(WEB).await;
    lab.until_running(3).await;
    agent.shutdown().await;
    let actor = Actor { name: "kim".to_owned(), role: Role::Admin };
    lab.control.remove(WEB, "test", &actor).await.unwrap();

    let agent = lab.agent().await;
    lab.engine.until(|engine| engine.names() == ["g-other-1"]).await;
    lab.until(|all| all.is_empty()).await;
    agent.shutdown().await;
    assert_eq!(lab.id("g-other-1"), stranger);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_restarts_only_those_that_use_it() {
    let lab = Lab::new().await;
    let agent = lab.agent().await;
    lab.apply(USERS).await;
    lab.until_running(2).await;
    let (uses, other) = (lab.id("g-uses-1"), lab.id("g-other-1"));

    lab.apply(&USERS.replace("before", "after")).await;
    let replaced = |engine: &MemoryEngine| {
        let found = engine.container("g-uses-1");
        found.is_some_and(|c| c.id != uses && c.state == EngineState::Running)
    };
    lab.engine.until(replaced).await;
    lab.until_running(2).await;
    assert_eq!(lab.engine.spec("g-uses-1").unwrap().env, ["K=after"]);
    assert_eq!(lab.id("g-other-1"), other);
    agent.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_the_name_of_a_replica_is_left_alone_and_told_of() {
    let lab = Lab::new().await;
    let stranger = lab.engine.add_foreign("g-web-1", "app:1");
    let agent = lab.agent().await;
    lab.apply(&WEB.replace("replicas: 3", "replicas: 1")).await;
    let told = |s: &ReplicaStatus| {
        s.state == ReplicaState::DaemonFailure
            && s.reason.as_ref().is_some_and(|reason| reason.code == "Conflict")
    };
    lab.until(|all| all.iter().any(told)).await;
    assert_eq!(lab.id("g-web-1"), stranger);

    lab.engine.vanish("g-web-1");
    lab.until_running(1).await;
    assert_ne!(lab.id("g-web-1"), stranger);
    agent.shutdown().await;
}
