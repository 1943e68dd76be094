//! A backup of a running node brings back what it held, whatever happened since, there and elsewhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Output, time::Duration};

use smr_integration::{Lab, Node, Rig, smr_binary};

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

/// `smr` as somebody types it, without a terminal.
fn smr(node: &Node, arguments: &[&str]) -> Output {
    node.program("smr").args(arguments).output().unwrap()
}

fn succeeds(node: &Node, arguments: &[&str]) -> String {
    let output = smr(node, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(node: &Node, arguments: &[&str]) -> String {
    let output = smr(node, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn a_backup_and_its_passphrase_are_enough_on_another_machine() {
    let Some(rig) = Rig::require(2) else { return };
    let binary = smr_binary().unwrap();
    let node = |number: u32| {
        let host = &rig[number];
        host.image("busybox").unwrap();
        let config = format!(
            "[node]\nname = \"m{number}\"\nips = [\"{0}\"]\n[api]\nlisten = [\"0.0.0.0:1443\"]\n\
             [cluster]\nlisten = [\"0.0.0.0:9212\"]\n",
            host.address()
        );
        Node::prepare(host, &binary, &config).unwrap()
    };
    let mut old = node(1);
    old.restart().unwrap();
    old.apply(FIRST).unwrap();
    old.wait_running("keep-", 1, Duration::from_secs(30)).unwrap();
    let (phrase, wrong) = (old.dir().join("phrase"), old.dir().join("wrong"));
    fs::write(&phrase, "correct horse battery\n").unwrap();
    fs::write(&wrong, "wrong horse battery\n").unwrap();
    let (phrase, wrong) = (text(&phrase), text(&wrong));
    let file = text(&old.dir().join("cluster.backup"));
    succeeds(&old, &["backup", "create", &file, "--passphrase-file", &phrase]);
    old.kill().unwrap();

    let mut new = node(2);
    let config = text(&new.dir().join("smr.toml"));
    let verify = |file: &str, more: &[&str]| {
        let arguments = [&["backup", "verify", file, "--config", &config], more].concat();
        smr(&new, &arguments)
    };
    let told = verify(&file, &[]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("authentic: not known"), "{told}");
    let told = String::from_utf8(verify(&file, &["--passphrase-file", &phrase]).stdout).unwrap();
    assert!(told.contains("authentic: yes"), "{told}");

    let restore = ["backup", "restore", &file, "--config", &config];
    let with = |path: &str| {
        [&restore[..], &["--passphrase-file", path]]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let with_wrong: Vec<String> = with(&wrong);
    let with_wrong: Vec<&str> = with_wrong.iter().map(String::as_str).collect();
    let error = refused(&new, &with_wrong);
    assert!(error.contains("the passphrase is not that of this file"), "{error}");
    let error = refused(&new, &restore);
    assert!(error.contains("--passphrase-file"), "{error}");
    for (what, change) in [
        ("changed", (|bytes| bytes[40] ^= 1) as fn(&mut Vec<u8>)),
        ("cut off", |bytes| bytes.truncate(bytes.len() - 100)),
        ("empty", Vec::clear),
    ] {
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        let bad = text(&new.dir().join("bad.backup"));
        fs::write(&bad, bytes).unwrap();
        let arguments =
            ["backup", "restore", &bad, "--config", &config, "--passphrase-file", &phrase];
        let error = refused(&new, &arguments);
        assert!(error.contains("cannot use the backup"), "{what}: {error}");
        assert!(!verify(&bad, &["--passphrase-file", &phrase]).status.success(), "{what}");
    }
    assert!(!new.data_dir().join("store").exists(), "nothing was changed");
    assert!(!new.data_dir().join("pki").exists(), "nothing was changed");

    let mut arguments = [&restore[..], &["--passphrase-file", &phrase]].concat();
    arguments.extend(["--name", "phoenix"]);
    succeeds(&new, &arguments);
    new.restart().unwrap();
    new.wait_running("keep-", 1, Duration::from_secs(30)).unwrap();
    let revealed = new.ok(&["get", "secret/keep/key", "--reveal"]).unwrap();
    assert!(revealed.contains("a2VwdA=="), "the secret is there and can be opened");
    let nodes = new.ok(&["node", "ls"]).unwrap();
    assert!(nodes.contains("phoenix") && !nodes.contains("m1"), "{nodes}");
    // It is a cluster that others join.
    let token = new.ok(&["token", "create", "--quiet"]).unwrap();
    assert!(!token.trim().is_empty());
    new.restart().unwrap();
    new.wait_running("keep-", 1, Duration::from_secs(30)).unwrap();
}

#[test]
fn without_a_passphrase_the_data_key_makes_the_backup_whole() {
    let Some(lab) = Lab::require() else { return };
    let mut node = Node::start(&lab, "").unwrap();
    node.apply(LATER).unwrap();
    let config = text(&node.dir().join("smr.toml"));
    let file = text(&node.dir().join("one.backup"));
    let created = smr(&node, &["backup", "create", &file]);
    assert!(created.status.success(), "{created:?}");
    let told = String::from_utf8(created.stderr).unwrap();
    assert!(told.contains("the data key is not in it"), "{told}");
    let told = succeeds(&node, &["backup", "verify", &file, "--config", &config]);
    assert!(told.contains("authentic: yes"), "{told}");
    node.stop().unwrap();

    // On a machine without the data key nobody can say whether it is authentic.
    let pki = node.data_dir().join("pki");
    fs::rename(&pki, node.dir().join("safe")).unwrap();
    let restore = ["backup", "restore", &file, "--config", &config, "--force"];
    let error = refused(&node, &restore);
    assert!(error.contains("put `pki/data.key`"), "{error}");
    assert!(node.data_dir().join("store").exists(), "the state is where it was");
    fs::create_dir(&pki).unwrap();
    fs::copy(node.dir().join("safe/data.key"), pki.join("data.key")).unwrap();
    succeeds(&node, &restore);
    node.restart().unwrap();
    node.ok(&["get", "configuration/keep/later"]).unwrap();
}
