//! Docker goes away and comes back, in order or not, while replicas run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, time::Duration};

use smr_integration::{Lab, Node};

const REPLICAS: usize = 20;

const LIMIT: Duration = Duration::from_mins(3);

/// They end at SIGTERM, so that the engine's own shutdown is quick.
const TWENTY: &str = "
prefix: simplecontainer.io/v1
kind: containers
meta: {group: many, name: sleepers}
spec:
  image: busybox
  tag: latest
  replicas: 20
  entrypoint: [sh, -c, 'trap exit TERM; sleep 3600 & wait']
";

#[test]
fn replicas_come_back_after_the_engine_is_restarted() {
    come_back_after(Lab::stop_dockerd);
}

#[test]
fn replicas_come_back_after_the_engine_is_killed() {
    come_back_after(Lab::kill_dockerd);
}

fn come_back_after(failure: impl FnOnce(&Lab) -> anyhow::Result<()>) {
    let Some(lab) = Lab::require() else { return };
    let mut node = Node::start(&lab, "").unwrap();
    node.apply(TWENTY).unwrap();
    node.wait_running("many-sleepers-", REPLICAS, LIMIT).unwrap();
    let pid = node.pid();

    failure(&lab).unwrap();
    lab.start_dockerd().unwrap();

    let back = node.wait_running("many-sleepers-", REPLICAS, LIMIT).unwrap();
    let names: BTreeSet<_> = back.iter().map(|it| &it.name).collect();
    assert_eq!(names.len(), REPLICAS, "each once");
    assert!(node.runs(), "the node never ended");
    assert_eq!(node.pid(), pid);
}
