//! Networks and volumes: there before containers start, gone after them.

use smr_engine::{ContainerEngine as _, ErrorClass, Operation};
use smr_model::{Kind, ReplicaState};

use crate::support::{Node, calls_of, containers};

const NETWORK: &str =
    "kind: network\nmeta: {group: shop, name: front}\nspec: {driver: bridge}\n---\n";
const VOLUME: &str = "kind: volume\nmeta: {group: shop, name: data}\nspec: {driver: local}\n---\n";
const USES: &str = "networks: [{group: shop, name: front}]\n\
                    volumes: [{name: data, type: volume, mountPoint: /data}]";

#[tokio::test]
async fn they_are_there_before_and_gone_after() {
    let node = Node::start().await;
    node.apply(&(containers("web", "1", 2, USES) + NETWORK + VOLUME)).await;
    node.until_running(&["shop-web-1", "shop-web-2"]).await;
    let order = [Operation::EnsureNetwork, Operation::EnsureVolume, Operation::Create];
    let calls = calls_of(&node.engine.take_calls(), &order);
    let first_create = calls.iter().position(|c| c.operation == Operation::Create).unwrap();
    for made in &order[..2] {
        assert!(calls[..first_create].iter().any(|c| c.operation == *made), "{calls:?}");
    }
    let spec = node.engine.spec("shop-web-1").unwrap();
    assert_eq!(spec.mounts[0].source, "shop-data");
    assert!(spec.networks[0].aliases.contains(&"front.shop.web.private".to_owned()));

    for (kind, name) in
        [(Kind::Containers, "web"), (Kind::Network, "front"), (Kind::Volume, "data")]
    {
        node.remove(kind, "shop", name).await;
    }
    node.until("no replica is left", |all| all.is_empty()).await;
    // The last one to go is removed in the background.
    let gone = async {
        loop {
            let networks = node.engine.list_networks().await.unwrap();
            let volumes = node.engine.list_volumes().await.unwrap();
            if networks.is_empty() && volumes.is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, gone).await.expect("both are removed");
}

#[tokio::test]
async fn a_network_that_comes_later_is_waited_for() {
    let node = Node::start().await;
    let spec = "networks: [{group: shop, name: front}]";
    node.apply(&containers("web", "1", 1, spec)).await;
    let statuses = node.until_all(&["shop-web-1"], ReplicaState::Pending).await;
    let reason = statuses["shop-web-1"].reason.clone().unwrap();
    assert_eq!(reason.code, "MissingObject");
    assert!(reason.message.contains("front"), "{}", reason.message);
    node.apply(NETWORK).await;
    node.until_running(&["shop-web-1"]).await;
}

#[tokio::test]
async fn a_network_that_cannot_be_made_is_shown_and_tried_again() {
    let node = Node::start().await;
    node.engine.fail(Operation::EnsureNetwork, 1, ErrorClass::Refused);
    let spec = "networks: [{group: shop, name: front}]";
    node.apply(&(containers("web", "1", 1, spec) + NETWORK)).await;
    let key = smr_model::ReplicaKey::new("shop", "web", 1);
    node.until_running(&["shop-web-1"]).await;
    let events = node.events(&key).await;
    assert!(events.contains(&"pending".to_owned()), "{events:?}");
}

#[tokio::test]
async fn a_network_removed_behind_our_back_is_made_again() {
    let node = Node::start().await;
    let spec = "networks: [{group: shop, name: front}]";
    node.apply(&(NETWORK.to_owned() + &containers("web", "1", 1, spec))).await;
    node.until_running(&["shop-web-1"]).await;
    node.apply(&containers("web", "1", 0, spec)).await;
    node.until("scaled to nothing", |all| all.is_empty()).await;
    node.engine.remove_network("front").await.unwrap();
    node.apply(&containers("web", "1", 1, spec)).await;
    node.until_running(&["shop-web-1"]).await;
}

#[tokio::test]
async fn what_was_made_for_objects_that_cannot_be_read_stays() {
    let mut node = Node::start().await;
    let both = containers("web", "1", 1, USES) + &containers("job", "1", 1, USES);
    node.apply(&(both + NETWORK + VOLUME)).await;
    node.until_running(&["shop-job-1", "shop-web-1"]).await;
    let ids = node.ids();
    node.stop_agent().await;
    // As after a newer version, which knows more fields, or with another data key.
    let mut readable = Vec::new();
    for (kind, name) in
        [(Kind::Containers, "web"), (Kind::Network, "front"), (Kind::Volume, "data")]
    {
        let path = smr_control::keyspace::object(&smr_model::ObjectKey::new(kind, "shop", name));
        readable.push((path.clone(), node.control.store().get(&path).unwrap().unwrap().value));
        node.control.store().put(&path, "{}").await.unwrap();
    }
    node.engine.take_calls();
    node.start_agent().await;
    // Every agent looks at networks and volumes before it makes one.
    node.apply(&(VOLUME.replace("data", "other") + &containers("api", "1", 1, ""))).await;
    // `job` can be read; the volume it mounts cannot.
    let told = |all: &crate::support::Statuses| {
        let is_told = |name: &str| {
            let reason = all.get(name).and_then(|status| status.reason.as_ref());
            reason.is_some_and(|reason| reason.code == "UnreadableObject")
        };
        is_told("shop-web-1")
            && is_told("shop-job-1")
            && all.get("shop-api-1").is_some_and(|api| api.state == ReplicaState::Running)
    };
    node.until("two say why they stay as they are, the third runs", told).await;
    // The agent removes what nobody asks for after it made what somebody does.
    node.remove(Kind::Volume, "shop", "other").await;
    let gone = async {
        while node.engine.list_volumes().await.unwrap().len() != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::DEADLINE, gone).await.expect("the other is removed");
    assert_eq!(node.engine.list_volumes().await.unwrap()[0].name, "shop-data");
    assert_eq!(node.engine.list_networks().await.unwrap().len(), 1);
    let calls = calls_of(&node.engine.take_calls(), &[Operation::Stop, Operation::Remove]);
    assert!(calls.is_empty(), "{calls:?}");

    for (path, value) in readable {
        node.control.store().put(&path, value).await.unwrap();
    }
    let clear = |all: &crate::support::Statuses| {
        all.values().all(|status| status.reason.is_none() && status.state == ReplicaState::Running)
    };
    node.until("all can be read again", clear).await;
    let mut now = node.ids();
    now.remove("shop-api-1");
    assert_eq!(now, ids);
}
