//! Certificates of a running cluster: revoked at once, replaced with their authority, renewed in time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::Read as _,
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use smr_integration::{Cluster, Node, Rig, wait};

const LIMIT: Duration = Duration::from_mins(1);
/// How long a revoked certificate may still be accepted somewhere.
const REVOKED_WITHIN: Duration = Duration::from_secs(2);

const THREE: &str = "
prefix: simplecontainer.io/v1
kind: containers
meta: {group: three, name: sleepers}
spec:
  image: busybox
  tag: latest
  replicas: 3
  spread: {spread: uniform}
  args: [sleep, '3600']
  stopSignal: SIGKILL
";

/// Makes a user at the first node; every node gets the context, under the user's name, and keeps its own
/// as the active one.
fn add_user(cluster: &Cluster<'_>, name: &str, role: &str) {
    let config = cluster[1].dir().join("smr.toml");
    let made = cluster[1]
        .program("smr")
        .args(["user", "create", name, "--role", role, "--api", "localhost:1443", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let line = String::from_utf8(made.stdout).unwrap();
    for (number, node) in (1..).zip(cluster.nodes()) {
        node.ok(&["context", "import", "--name", name, line.trim()]).unwrap();
        node.ok(&["context", "switch", &format!("n{number}")]).unwrap();
    }
}

/// A stream as a user that has said something, with its open end.
fn stream(node: &Node<'_>, user: &str) -> (Child, ChildStdout) {
    let mut child = node
        .program("smrctl")
        .args(["--context", user, "ps", "--watch", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    assert_eq!(out.read(&mut [0]).unwrap(), 1);
    (child, out)
}

/// Numbers and ids of the containers.
fn ids(cluster: &Cluster<'_>) -> Vec<(u32, String)> {
    let containers = (1..).zip(cluster.nodes());
    let all = containers.flat_map(|(number, node)| {
        let found = node.containers("three-").unwrap();
        found.into_iter().map(move |it| (number, it.id))
    });
    all.collect()
}

fn with_three(cluster: &Cluster<'_>) -> Vec<(u32, String)> {
    cluster.wait_voters(3).unwrap();
    cluster[1].apply(THREE).unwrap();
    cluster.wait_running("three replicas", "three-", LIMIT, |found| found.len() == 3).unwrap();
    ids(cluster)
}

#[test]
fn a_revoked_user_is_refused_everywhere_at_once() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = Cluster::form(&rig, "").unwrap();
    cluster.wait_voters(3).unwrap();
    add_user(&cluster, "bob", "viewer");
    add_user(&cluster, "eve", "operator");
    let mut streams = Vec::new();
    for node in cluster.nodes() {
        streams.push(stream(node, "bob"));
        streams.push(stream(node, "eve"));
    }
    cluster[2].ok(&["cert", "revoke", "bob", "--reason", "a lost laptop"]).unwrap();
    let revoked = Instant::now();
    let mut open = streams.iter_mut();
    while let (Some((bob, _)), Some((eve, _))) = (open.next(), open.next()) {
        let left = REVOKED_WITHIN.saturating_sub(revoked.elapsed());
        wait("the stream to end", left, || match bob.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
        assert!(eve.try_wait().unwrap().is_none(), "another user's stream goes on");
    }
    for node in cluster.nodes() {
        let refused = node.smrctl(&["--context", "bob", "ps"]).unwrap();
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(refused.stderr.to_lowercase().contains("revoked"), "{refused:?}");
        node.ok(&["--context", "eve", "ps"]).unwrap();
    }
    let list = cluster[3].ok(&["cert", "ls"]).unwrap();
    let line = list.lines().find(|line| line.contains("bob")).unwrap();
    assert!(line.contains("lost laptop"), "{list}");
    for (mut child, _) in streams {
        let _ = child.kill();
        child.wait().unwrap();
    }
}

#[test]
fn a_new_authority_takes_over_while_everything_runs() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = Cluster::form(&rig, "").unwrap();
    let before = with_three(&cluster);
    add_user(&cluster, "bob", "viewer");
    let leader = cluster.leader(1).unwrap();
    let term = cluster.status(1).unwrap()["term"].clone();

    // It stops before it locks people out.
    let refused = cluster[1].smrctl(&["cert", "rotate-ca"]).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("bob"), "{refused:?}");
    // One who asked meanwhile has a certificate of the new one.
    add_user(&cluster, "eve", "viewer");
    cluster[1].ok(&["cert", "rotate-ca", "finish", "--force"]).unwrap();
    wait("the old authority to be refused", LIMIT, || {
        let output = cluster[2].smrctl(&["--context", "bob", "ps"]).unwrap();
        if output.code == 0 { Err(format!("{output:?}")) } else { Ok(()) }
    })
    .unwrap();
    for node in cluster.nodes() {
        node.ok(&["--context", "eve", "ps"]).unwrap();
        node.ok(&["ps"]).unwrap();
    }
    cluster.wait_ready().unwrap();
    assert_eq!(ids(&cluster), before, "no container was touched");
    assert_eq!(cluster.leader(1).unwrap(), leader);
    assert_eq!(cluster.status(1).unwrap()["term"], term);
    // What starts anew has nothing but the new one.
    let other = leader % 3 + 1;
    cluster.node(other).restart().unwrap();
    cluster.wait_ready().unwrap();
    cluster[other].apply(&THREE.replace("replicas: 3", "replicas: 4")).unwrap();
    let kept = ids(&cluster);
    assert!(before.iter().all(|it| kept.contains(it)), "{kept:?}");
}

/// The end of the newest certificate of each node.
fn ends(cluster: &Cluster<'_>) -> Vec<Timestamp> {
    let text = cluster[1].ok(&["cert", "ls", "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let of = |id: u64| {
        let items = list["items"].as_array().unwrap().iter().filter(|it| it["node"] == id);
        items
            .map(|it| it["notAfter"].as_str().unwrap().parse::<Timestamp>().unwrap())
            .max()
            .unwrap()
    };
    (1..=3).map(of).collect()
}

#[test]
fn certificates_of_nodes_are_renewed_while_they_run() {
    let Some(rig) = Rig::require(3) else { return };
    let short = "[certificates]\nnode = \"1h\"\n";
    let mut cluster = Cluster::prepare(&rig, short).unwrap();
    let minutes = |minutes: i64| minutes * 60;
    for number in 1..=3 {
        cluster.node(number).set_clock(minutes(-50)).unwrap();
    }
    cluster.found().unwrap();
    for number in 2..=3 {
        cluster.node(number).restart().unwrap();
    }
    cluster.wait_ready().unwrap();
    let before = with_three(&cluster);
    let soon = Timestamp::now() + SignedDuration::from_mins(15);
    assert!(ends(&cluster).iter().all(|end| *end < soon), "{:?}", ends(&cluster));
    let pids: Vec<u32> = cluster.nodes().iter().map(Node::pid).collect();

    // Ten minutes are left of an hour.
    for node in cluster.nodes() {
        node.move_clock(0).unwrap();
    }
    wait("new certificates", LIMIT, || {
        let ends = ends(&cluster);
        if ends.iter().all(|end| *end > soon) { Ok(()) } else { Err(format!("{ends:?}")) }
    })
    .unwrap();
    // Now the former ones have ended; who connects anew sees the new ones.
    for node in cluster.nodes() {
        node.move_clock(minutes(20)).unwrap();
    }
    assert_eq!(cluster.nodes().iter().map(Node::pid).collect::<Vec<_>>(), pids, "no restart");
    cluster.node(3).restart().unwrap();
    if let Err(error) = cluster.wait_ready() {
        let logs: Vec<String> = cluster.nodes().iter().map(|node| node.log()).collect();
        panic!("{error:#}\n{}", logs.join("\n---\n"));
    }
    cluster[3].apply(&THREE.replace("sleepers", "others")).unwrap();
    let kept = ids(&cluster);
    assert!(before.iter().all(|it| kept.contains(it)), "{kept:?}");
}
