//! Replicas that wait for others.

use smr_model::ReplicaState;

use crate::support::{Node, containers, containers_in};

const SECRET: &str = "kind: secret\nmeta: {group: data, name: s}\nspec: {data: {key: v}}\n";

/// Two replicas that cannot run before their secret is there.
fn database() -> String {
    containers_in("data", "db", "1", 2, "envs: ['V=(( lookup \"secret/data/s:key\" ))']")
}

#[tokio::test]
async fn dependents_start_after_what_they_depend_on() {
    for name in ["*", "db", "data-db-2"] {
        let node = Node::start().await;
        let spec = format!("dependencies: [{{group: data, name: '{name}'}}]");
        node.apply(&(containers("web", "1", 1, &spec) + &database())).await;
        let statuses = node
            .until("it waits for a replica by name", |all| {
                all.get("shop-web-1").is_some_and(|s| {
                    s.reason.as_ref().is_some_and(|r| r.message.contains("data-db-2"))
                })
            })
            .await;
        let waiting = &statuses["shop-web-1"];
        assert_eq!(waiting.state, ReplicaState::DependsChecking);
        assert_eq!(waiting.dependencies, [format!("data.{name}")]);
        assert!(node.engine.container("shop-web-1").is_none());
        node.apply(SECRET).await;
        node.until_running(&["data-db-1", "data-db-2", "shop-web-1"]).await;
        let started = |name: &str| node.engine.container(name).unwrap().started_at;
        assert!(started("shop-web-1") >= started("data-db-2"));
    }
}

#[tokio::test]
async fn a_dependency_that_comes_late_is_a_failure_first_and_solved_then() {
    let node = Node::start().await;
    let spec = "dependencies: [{group: data, name: db, timeout: 300ms}]";
    node.apply(&containers("web", "1", 1, spec)).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::DependsFailed).await;
    let reason = statuses["shop-web-1"].reason.clone().unwrap();
    assert_eq!(reason.code, "DependencyTimeout");
    assert!(reason.message.contains("`data/db`"), "{}", reason.message);
    node.apply(&database()).await;
    node.apply(SECRET).await;
    node.until_running(&["data-db-1", "data-db-2", "shop-web-1"]).await;
}

/// Each waits for the one before it: one change travels down the whole chain by itself.
#[tokio::test]
async fn a_chain_starts_from_its_first_link() {
    let node = Node::start().await;
    let mut text = database();
    let mut before = "data/db".to_owned();
    for link in ["a", "b", "c", "d"] {
        let (group, name) = before.split_once('/').unwrap();
        let spec = format!("dependencies: [{{group: {group}, name: {name}}}]");
        text += &containers_in(link, link, "1", 1, &spec);
        before = format!("{link}/{link}");
    }
    node.apply(&text).await;
    node.apply(SECRET).await;
    node.until_running(&["a-a-1", "b-b-1", "c-c-1", "d-d-1", "data-db-1", "data-db-2"]).await;
}

#[tokio::test]
async fn a_running_dependent_stays_when_its_dependency_dies() {
    let node = Node::start().await;
    let spec = "dependencies: [{group: data, name: db}]";
    node.apply(&(database() + SECRET)).await;
    node.apply(&containers("web", "1", 1, spec)).await;
    let names = ["data-db-1", "data-db-2", "shop-web-1"];
    node.until_running(&names).await;
    let (id, old) = (node.id("shop-web-1"), node.id("data-db-1"));
    node.engine.kill("data-db-1", 1);
    node.until("the dependency is back", |all| {
        all["data-db-1"].state == ReplicaState::Running && all["data-db-1"].container_id != old
    })
    .await;
    node.until_running(&names).await;
    assert_eq!(node.id("shop-web-1"), id);
}
