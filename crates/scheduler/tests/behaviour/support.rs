//! Clusters for tests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{
    Bytes, Cpus, ReplicaKey,
    spec::{ContainersSpec, Placement, Port, Spread, SpreadKind, Strategy},
};
use smr_scheduler::{Cluster, Node, Replica, Workload, schedule};

/// A node that is ready, with 4 processors and 8 GiB.
pub(crate) fn node(id: u64) -> Node {
    Node {
        id,
        name: format!("n{id}"),
        os: "Debian GNU/Linux 12".to_owned(),
        arch: "x86_64".to_owned(),
        cpu_millis: 4000,
        memory: 8 << 30,
        engine_ready: true,
        ..Node::default()
    }
}

/// The same with a label.
pub(crate) fn labelled(id: u64, key: &str, value: &str) -> Node {
    Node { labels: [(key.to_owned(), value.to_owned())].into(), ..node(id) }
}

/// A definition by `placement`.
pub(crate) fn placed(replicas: u32, change: impl FnOnce(&mut Placement)) -> ContainersSpec {
    let mut placement = Placement::default();
    change(&mut placement);
    let replicas = (placement.strategy != Some(Strategy::Global)).then_some(replicas);
    ContainersSpec { replicas, placement: Some(placement), ..plain() }
}

/// A definition without any word on placement.
pub(crate) fn plain() -> ContainersSpec {
    ContainersSpec { image: "busybox".to_owned(), ..ContainersSpec::default() }
}

/// A definition by `spread`.
pub(crate) fn spread(replicas: u32, spread: SpreadKind, agents: &[u64]) -> ContainersSpec {
    let spread = Some(Spread { spread, agents: agents.to_vec() });
    ContainersSpec { replicas: Some(replicas), spread, ..plain() }
}

/// With reservations.
pub(crate) fn sized(mut spec: ContainersSpec, cpu_millis: u64, memory: u64) -> ContainersSpec {
    spec.cpu_reservation = Some(Cpus(cpu_millis));
    spec.memory_reservation = Some(Bytes(memory));
    spec
}

/// With a published port.
pub(crate) fn published(mut spec: ContainersSpec, container: &str, host: &str) -> ContainersSpec {
    spec.ports.push(Port { container: container.to_owned(), host: host.to_owned() });
    spec
}

/// `shop/NAME`, applied at node 1.
pub(crate) fn object(name: &str, spec: &ContainersSpec) -> Workload {
    Workload::new("shop", name, &BTreeMap::new(), 1, spec)
}

/// A replica that is on a node.
pub(crate) fn on(index: u32, node: u64) -> Replica {
    Replica { index, node: Some(node), ..Replica::default() }
}

pub(crate) fn key(name: &str, index: u32) -> ReplicaKey {
    ReplicaKey::new("shop", name, index)
}

pub(crate) fn cluster(nodes: Vec<Node>, workloads: Vec<Workload>) -> Cluster {
    Cluster { now: now(), nodes, workloads }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).expect("a time")
}

/// `web-1 2, web-2 (why)`: where every replica goes.
pub(crate) fn shown(cluster: &Cluster) -> String {
    let placement = schedule(cluster);
    let words = placement.decisions.iter().map(|(key, decision)| {
        let node = decision.node().map(|node| format!(" {node}")).unwrap_or_default();
        let why = decision.reason().map(|it| format!(" ({})", it.message)).unwrap_or_default();
        format!("{}-{}{node}{why}", key.name, key.index)
    });
    words.collect::<Vec<_>>().join(", ")
}
