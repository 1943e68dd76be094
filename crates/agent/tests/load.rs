//! What two hundred replicas cost: counted, not timed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use smr_agent::{Agent, Options};
use smr_control::{Actor, Control};
use smr_engine::{MemoryEngine, Operation, Owner};
use smr_model::{ReplicaKey, ReplicaState, ReplicaStatus};
use smr_pki::DataKey;
use smr_store::{KeyRange, Store};
use tracing::{Level, Metadata, span};

#[path = "suite/assign.rs"]
mod assign;

/// Counts the planner's visits; everything else is dropped.
struct Visits(Arc<AtomicU64>);

impl tracing::Subscriber for Visits {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "smr_agent::visit" && *metadata.level() == Level::TRACE
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

async fn until_running(control: &Control, count: usize, generation: u64) {
    let mut changes = control.store().watch(KeyRange::prefix("/smr/"), None).unwrap();
    let met = async {
        loop {
            let (_, statuses) = control.statuses().await.unwrap();
            let running = statuses
                .iter()
                .filter(|s| s.state == ReplicaState::Running && s.generation == generation)
                .count();
            if running == count && statuses.len() == count {
                return;
            }
            changes.next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), met).await.expect("all run in time");
}

#[tokio::test]
async fn two_hundred_replicas_cost_a_bounded_number_of_visits() {
    const COUNT: usize = 200;
    let visits = Arc::new(AtomicU64::new(0));
    tracing::subscriber::set_global_default(Visits(Arc::clone(&visits))).unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
    let options = smr_control::Options { node_id: 1, node_name: "node-1".to_owned() };
    let control = Control::new(store, DataKey::from_bytes(&[7; 32]), options);
    let engine = MemoryEngine::new(Owner { cluster: "test".into(), node: "node-1".into() });
    engine.add_image("web:1");
    engine.add_image("web:2");
    // A little time for each call, so that not everything happens in one turn.
    engine.set_latency(Operation::Create, Duration::from_millis(2));
    engine.set_latency(Operation::Start, Duration::from_millis(2));
    let options =
        Options { control: control.clone(), engine: Arc::new(engine.clone()), parallelism: 8 };
    let agent = Agent::start(options).await.unwrap();
    let actor = Actor { name: "kim".to_owned(), role: smr_pki::Role::Admin };
    for (generation, tag) in ["1", "2"].into_iter().enumerate() {
        // Half of them depend on the other half: the worst case for who has to be looked at.
        let documents: Vec<String> = (0..COUNT / 10)
            .map(|n| {
                let (group, depends) = match n % 2 {
                    0 => ("front", "dependencies: [{group: back, name: '*', timeout: 60s}]"),
                    _ => ("back", "user: \"1000\""),
                };
                format!(
                    "kind: containers\nmeta: {{group: {group}, name: w{n}}}\nspec:\n  \
                     {{image: web, tag: \"{tag}\", replicas: 10, {depends}}}\n---\n"
                )
            })
            .collect();
        let (seen, revision) = (visits.load(Ordering::Relaxed), control.revision());
        engine.take_calls();
        control.apply(&documents.concat(), "load.yaml", false, &actor).await.unwrap();
        assign::assign(&control, |_| 1).await;
        until_running(&control, COUNT, generation as u64 + 1).await;
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for call in engine.take_calls() {
            *calls.entry(format!("{:?}", call.operation)).or_default() += 1;
        }
        let visits = visits.load(Ordering::Relaxed) - seen;
        let written = control.revision() - revision;
        println!("tag {tag}: {visits} visits, {written} transactions, calls {calls:?}");
        assert_eq!((calls["Create"], calls["Start"]), (COUNT, COUNT));
        assert!(calls.get("List").copied().unwrap_or(0) <= 100, "{calls:?}");
        // Each replica changes about ten times; dependents are looked at for each change of the
        // group they wait for, a burst of changes at a time.
        assert!(visits <= 40 * COUNT as u64, "{visits} visits");
        assert!(written <= COUNT as u64, "{written} transactions");
    }
    // Those from before go when the new ones are ready.
    let alone = engine.until(|engine| engine.names().len() == COUNT);
    tokio::time::timeout(Duration::from_secs(60), alone).await.expect("nothing is left over");
    elsewhere(&control, &agent, &visits).await;
    agent.shutdown().await;
    assert_eq!(engine.names().len(), COUNT);
}

/// What happens on other nodes concerns those that wait for it, and nobody else.
async fn elsewhere(control: &Control, agent: &Agent, visits: &AtomicU64) {
    let actor = Actor { name: "kim".to_owned(), role: smr_pki::Role::Admin };
    let far = "kind: containers\nmeta: {group: back, name: far}\nspec: {image: web, tag: '1', replicas: 100}\n";
    control.apply(far, "far.yaml", false, &actor).await.unwrap();
    let assigned = assign::assign(control, |key| if key.name == "far" { 2 } else { 1 }).await;
    let mut settled = agent.settled();
    let taken_in = settled.wait_for(|revision| *revision >= assigned);
    tokio::time::timeout(Duration::from_secs(60), taken_in).await.expect("in time").unwrap();
    let seen = visits.load(Ordering::Relaxed);
    for round in 0..10 {
        let mut txn = smr_store::Txn::new();
        for index in 1..=100 {
            let key = ReplicaKey::new("back", "far", index);
            let mut status = ReplicaStatus::new(key, "node-2", 2, jiff::Timestamp::UNIX_EPOCH);
            status.ready = round % 2 == 0;
            status.generation = round;
            let key = smr_control::keyspace::status(&status.key, 2);
            txn.then.push(smr_store::Op::put(key, serde_json::to_vec(&status).unwrap()));
        }
        control.store().txn(txn).await.unwrap();
    }
    let last = "kind: configuration\nmeta: {group: g, name: c}\nspec: {data: {k: v}}\n";
    let done = control.apply(last, "last.yaml", false, &actor).await.unwrap();
    let taken_in = settled.wait_for(|revision| *revision >= done.revision);
    tokio::time::timeout(Duration::from_secs(60), taken_in).await.expect("in time").unwrap();
    let visits = visits.load(Ordering::Relaxed) - seen;
    // Addresses of what was started last may still be read, once for each.
    assert!(visits <= 200, "{visits} visits for 1000 changes on another node");
}
