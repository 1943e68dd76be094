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
