//! Objects that containers are made from change, appear and go.

use smr_model::{Kind, ReplicaState};

use crate::support::{Node, configuration, containers, secret};

fn uses(kind: &str, name: &str) -> String {
    format!("envs: ['V=(( lookup \"{kind}/shop/{name}:key\" ))']")
}

#[tokio::test]
async fn a_change_replaces_exactly_the_replicas_that_use_it() {
    let node = Node::start().await;
    node.apply(&(secret("one", "old") + &secret("two", "old") + &configuration("conf", "old")))
        .await;
    let nested = configuration("nested", "'(( lookup \"secret/shop/two:key\" ))'");
    node.apply(&nested).await;
    node.apply(&containers("a", "1", 2, &uses("secret", "one"))).await;
    node.apply(&containers("b", "1", 1, &uses("configuration", "conf"))).await;
    node.apply(&containers("c", "1", 1, &uses("configuration", "nested"))).await;
    node.apply(&containers("d", "1", 1, "")).await;
    let names = ["shop-a-1", "shop-a-2", "shop-b-1", "shop-c-1", "shop-d-1"];
    node.until_running(&names).await;

    let changes = [
        (secret("one", "new"), vec!["shop-a-1", "shop-a-2"]),
        (configuration("conf", "new"), vec!["shop-b-1"]),
        // Through a configuration that looks it up.
        (secret("two", "new"), vec!["shop-c-1"]),
    ];
    for (change, replaced) in changes {
        let before = node.ids();
        node.apply(&change).await;
        node.until_engine("those run with the new value", |engine| {
            replaced.iter().all(|name| {
                engine.spec(name).is_some_and(|s| s.env == ["V=new"])
                    && engine.container(name).is_some_and(|c| c.is_running())
            })
        })
        .await;
        node.until_running(&names).await;
        for (name, id) in node.ids() {
            assert_eq!(id != before[&name], replaced.contains(&name.as_str()), "{name}: {change}");
        }
    }
}

#[tokio::test]
async fn a_change_that_is_taken_in_is_seen_in_statuses() {
    let node = Node::start().await;
    node.apply(&secret("one", "0")).await;
    node.apply(&containers("web", "1", 1, &uses("secret", "one"))).await;
    node.until_running(&["shop-web-1"]).await;
    // The old container takes its time to stop: nobody may take it for the new one meanwhile.
    node.engine.set_latency(smr_engine::Operation::Stop, std::time::Duration::from_millis(200));
    for round in 1..=3 {
        let old = node.id("shop-web-1");
        node.apply_and_settle(&secret("one", &round.to_string())).await;
        let status = node.statuses().await.remove("shop-web-1").unwrap();
        assert!(
            status.state != ReplicaState::Running || status.container_id != old,
            "the old container is not told to be what was applied: {status:?}"
        );
        node.until_running(&["shop-web-1"]).await;
    }
}

#[tokio::test]
async fn a_missing_secret_is_waited_for_and_comes() {
    let node = Node::start().await;
    node.apply(&containers("web", "1", 1, &uses("secret", "later"))).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::Pending).await;
    let reason = statuses["shop-web-1"].reason.clone().unwrap();
    assert_eq!(reason.code, "MissingObject");
    assert!(reason.message.contains("spec.envs[0]") && reason.message.contains("shop/later"));
    assert!(node.engine.names().is_empty());
    node.apply(&secret("later", "there")).await;
    node.until_running(&["shop-web-1"]).await;
    assert_eq!(node.engine.spec("shop-web-1").unwrap().env, ["V=there"]);
}

#[tokio::test]
async fn a_removed_secret_leaves_the_running_container_alone() {
    let node = Node::start().await;
    node.apply(&(secret("s", "one") + &containers("web", "1", 1, &uses("secret", "s")))).await;
    node.until_running(&["shop-web-1"]).await;
    let id = node.id("shop-web-1");
    node.remove(Kind::Secret, "shop", "s").await;
    let statuses = node.until("it says so", |all| all["shop-web-1"].reason.is_some()).await;
    let status = &statuses["shop-web-1"];
    assert_eq!(status.state, ReplicaState::Running);
    let reason = status.reason.as_ref().unwrap();
    assert!(reason.message.contains("the running container is kept"), "{reason:?}");
    assert_eq!(node.id("shop-web-1"), id);
    node.apply(&secret("s", "one")).await;
    node.until("the reason is gone", |all| all["shop-web-1"].reason.is_none()).await;
    assert_eq!(node.id("shop-web-1"), id, "the same value makes the same container");
}

#[tokio::test]
async fn a_resource_becomes_a_file_and_its_change_replaces() {
    let node = Node::start().await;
    let resource = |text: &str| {
        format!(
            "kind: resource\nmeta: {{group: shop, name: files}}\nspec: {{data: {{f: '{text}'}}}}\n---\n"
        )
    };
    let spec = "resources: [{group: shop, name: files, key: f, mountPoint: /f}]";
    node.apply(&(resource("one (( .index ))") + &containers("web", "1", 1, spec))).await;
    node.until_running(&["shop-web-1"]).await;
    assert_eq!(node.engine.spec("shop-web-1").unwrap().files[0].content, "one 1");
    node.apply(&resource("two")).await;
    node.until_engine("the new file is there", |engine| {
        engine.spec("shop-web-1").is_some_and(|s| s.files[0].content == "two")
    })
    .await;
    node.until_running(&["shop-web-1"]).await;
}
