//! Replicas that wait for others go on at once when those are ready.

use std::time::{Duration, Instant};

use smr_integration::{Lab, Node};

/// The one that waits comes first in every order of names, and nothing else happens when the other is ready.
const CHAIN: &str = "
prefix: simplecontainer.io/v1
kind: containers
meta: {group: chain, name: a}
spec:
  image: busybox
  tag: latest
  args: [sleep, '3600']
  stopSignal: SIGKILL
  dependencies: [{group: chain, name: b, timeout: 60s}]
---
prefix: simplecontainer.io/v1
kind: containers
meta: {group: chain, name: b}
spec:
  image: busybox
  tag: latest
  args: [sh, -c, 'sleep 2; touch /tmp/ready; sleep 3600']
  stopSignal: SIGKILL
  readiness: [{command: [test, -e, /tmp/ready]}]
";

#[test]
fn a_dependent_starts_as_soon_as_its_dependency_is_ready() {
    let Some(lab) = Lab::require() else { return };
    let node = Node::start(&lab, "").unwrap();
    let start = Instant::now();
    node.apply(CHAIN).unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "not by the timeout of 60 s, but it took {took:?}");
    let running = node.wait_running("chain-", 2, Duration::from_secs(10)).unwrap();
    let started = |index: usize| {
        let state = lab.docker().inspect(&running[index].id).unwrap();
        state["State"]["StartedAt"].as_str().unwrap().to_owned()
    };
    assert!(started(0) > started(1), "the dependency came first");
}
