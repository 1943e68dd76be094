//! A backup of a running node brings back what it held, whatever happened since.

use std::time::Duration;

use smr_integration::{Lab, Node};

const FIRST: &str = "
kind: secret
meta: {group: keep, name: key}
spec: {data: {value: a2VwdA==}}
---
kind: containers
meta: {group: keep, name: box}
spec:
  image: smr-examples/busybox
  tag: '1'
  entrypoint: [sleep, '3600']
  stopTimeout: 1s
  envs: ['V=(( lookup \"secret/keep/key:value\" | base64decode ))']
";

const LATER: &str = "
kind: configuration
meta: {group: keep, name: later}
spec: {data: {made: after the backup}}
";

#[test]
fn a_restored_node_has_what_the_backup_has_and_its_containers_go_on() {
    let Some(lab) = Lab::require() else { return };
    lab.image("busybox").unwrap();
    let mut node = Node::start(&lab, "").unwrap();
    node.apply(FIRST).unwrap();
    let before = node.wait_running("keep-", 1, Duration::from_secs(30)).unwrap();
    let config = node.dir().join("smr.toml").to_string_lossy().into_owned();
    let file = node.dir().join("one.backup").to_string_lossy().into_owned();
    let smr =
        |node: &Node, arguments: &[&str]| node.program("smr").args(arguments).output().unwrap();

    let created = smr(&node, &["backup", "create", &file]);
    assert!(created.status.success(), "{created:?}");
    node.apply(LATER).unwrap();
    node.ok(&["remove", "secret/keep/key"]).unwrap();

    let running = smr(&node, &["backup", "restore", &file, "--config", &config, "--force"]);
    assert!(!running.status.success(), "a running node is left alone: {running:?}");
    node.stop().unwrap();
    let careful = smr(&node, &["backup", "restore", &file, "--config", &config]);
    assert!(!careful.status.success(), "state is not replaced unasked: {careful:?}");
    let restored = smr(&node, &["backup", "restore", &file, "--config", &config, "--force"]);
    assert!(restored.status.success(), "{restored:?}");

    node.restart().unwrap();
    let after = node.wait_running("keep-", 1, Duration::from_secs(30)).unwrap();
    assert_eq!(before, after, "the container was adopted");
    let revealed = node.ok(&["get", "secret/keep/key", "--reveal"]).unwrap();
    assert!(revealed.contains("a2VwdA=="), "the secret is back and can be opened");
    let later = node.smrctl(&["get", "configuration/keep/later"]).unwrap();
    assert_eq!(later.code, 1, "what came after the backup is not there: {later:?}");
}
