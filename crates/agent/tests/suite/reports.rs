//! What is stored about replicas, and how often.

use smr_model::ReplicaState;

use crate::support::{Node, containers, secret};

#[tokio::test]
async fn a_burst_costs_few_transactions() {
    let node = Node::start().await;
    let before = node.control.revision();
    node.apply(&containers("web", "1", 50, "")).await;
    node.until("fifty run", |all| {
        all.len() == 50
            && all.values().all(|s| s.state == ReplicaState::Running && !s.addresses.is_empty())
    })
    .await;
    let written = node.control.revision() - before;
    // Each passes eight states; gathered, they take a few transactions each with many changes.
    assert!(written <= 50, "{written} transactions for fifty replicas");
}

#[tokio::test]
async fn nothing_happens_nothing_is_written() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 3, "")).await;
    node.until("three run", |all| {
        all.len() == 3 && all.values().all(|s| s.ready && !s.addresses.is_empty())
    })
    .await;
    let before = node.control.revision();
    // Looked at again, and again the same.
    node.engine.take_calls();
    node.engine.break_events();
    node.until_engine("it was listed", |engine| {
        let listed = |calls: &[smr_engine::Call]| {
            calls.iter().any(|c| c.operation == smr_engine::Operation::List)
        };
        // Events of the engine wake this; one is made so that there is one.
        engine.set_health("shop-web-1", smr_engine::Health::default());
        listed(&engine.take_calls())
    })
    .await;
    let statuses = node.statuses().await;
    assert!(statuses.values().all(|s| s.state == ReplicaState::Running));
    let written = node.control.revision() - before;
    assert!(written <= 2, "{written} transactions though nothing happened");
}

#[tokio::test]
async fn no_secret_is_in_the_keyspace() {
    const MARKER: &str = "hunter2-marker";
    let node = Node::start().await;
    node.apply(&secret("s", MARKER)).await;
    let value = "(( lookup \"secret/shop/s:key\" ))";
    let specs = [
        format!("envs: ['V={value}']\nlabels: {{l: '{value}'}}\nconfiguration: {{c: '{value}'}}"),
        format!("readiness: [{{name: r, command: [check, '{value}'], timeout: 200ms}}]"),
        format!("registryAuth: '{value}'"),
        format!("envs: ['V=(( toInt ({}) ))']", "lookup \"secret/shop/s:key\""),
        format!("readiness: [{{name: r, url: 'http://localhost:1/{value}', timeout: 200ms}}]"),
        format!("readiness: [{{name: r, tcp: '{value}', timeout: 200ms}}]"),
    ];
    for (number, spec) in specs.iter().enumerate() {
        node.apply(&containers(&format!("w{number}"), "1", 1, spec)).await;
    }
    node.until("each has come as far as it can", |all| {
        use ReplicaState::{Dead, Pending, Running};
        let tried = |s: &smr_model::ReplicaStatus| s.restarts > 0 || s.state == Dead;
        all.len() == specs.len()
            && all["shop-w0-1"].state == Running
            && [2, 3, 5].iter().all(|i| all[&format!("shop-w{i}-1")].state == Pending)
            && [1, 4].iter().all(|i| tried(&all[&format!("shop-w{i}-1")]))
    })
    .await;
    for kv in node.control.store().list("/").unwrap().kvs {
        let text = String::from_utf8_lossy(&kv.value);
        assert!(!text.contains(MARKER), "{}: {text}", kv.key);
    }
}
