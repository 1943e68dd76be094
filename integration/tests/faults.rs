//! What single machines meet: a clock that jumps, a copied data directory, a node that dies again and
//! again. The others go on, and the one says what is wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use smr_integration::{Cluster, Rig, wait};

const LIMIT: Duration = Duration::from_mins(1);

const SIX: &str = "
prefix: simplecontainer.io/v1
kind: containers
meta: {group: six, name: sleepers}
spec:
  image: busybox
  tag: latest
  replicas: 6
  spread: {spread: uniform}
  args: [sleep, '3600']
  stopSignal: SIGKILL
";

/// An object of about so many bytes.
fn large(name: &str, bytes: usize) -> String {
    format!(
        "prefix: simplecontainer.io/v1\nkind: configuration\nmeta: {{group: large, name: {name}}}\n\
         spec: {{data: {{text: '{}'}}}}\n",
        "x".repeat(bytes)
    )
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn copy(from: &Path, to: &Path) {
    run("cp", &["-a", "--", from.to_str().unwrap(), to.to_str().unwrap()]);
}

fn others(host: u32) -> [u32; 2] {
    match host {
        1 => [2, 3],
        2 => [1, 3],
        _ => [1, 2],
    }
}

/// What a node says the time is: that of the newest status of its own.
fn time_of(cluster: &Cluster<'_>, number: u32) -> Timestamp {
    let log = cluster[number].log();
    let stamps = log.lines().rev().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    stamps.take(1).next().unwrap()
}

#[test]
fn a_clock_that_jumps_disturbs_nothing() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = Cluster::prepare(&rig, "[telemetry]\nlog_level = \"debug\"\n").unwrap();
    // What is valid was made long ago; nobody accepts what is from the future.
    for number in 1..=3 {
        cluster.node(number).set_clock(-2 * 3600).unwrap();
    }
    cluster.found().unwrap();
    for number in 2..=3 {
        cluster.node(number).restart().unwrap();
    }
    cluster.wait_ready().unwrap();
    cluster.wait_voters(3).unwrap();
    cluster[1].apply(SIX).unwrap();
    let placed =
        cluster.wait_running("six replicas", "six-", LIMIT, |found| found.len() == 6).unwrap();
    let ids = |cluster: &Cluster<'_>| {
        let containers = cluster.nodes().iter().map(|node| node.containers("six-").unwrap());
        containers.flatten().map(|it| it.id).collect::<Vec<_>>()
    };
    let before = ids(&cluster);
    let leader = cluster.leader(1).unwrap();
    let follower = others(leader)[0];
    let term = cluster.status(leader).unwrap()["term"].clone();
    for node in cluster.nodes() {
        node.move_clock(0).unwrap();
    }
    for victim in [follower, leader] {
        for hours in [1, -1, 0] {
            cluster.node(victim).move_clock(hours * 3600).unwrap();
            let wanted = SignedDuration::from_hours(hours);
            wait("the node to live in another time", LIMIT, || {
                let path = cluster[victim].file("tick.yaml", &large("tick", 10)).unwrap();
                let applied = cluster[victim].smrctl(&["apply", &path]).unwrap();
                assert_eq!(applied.code, 0, "{applied:?}");
                let away = time_of(&cluster, victim).duration_since(Timestamp::now()) - wanted;
                if away.abs() < SignedDuration::from_mins(1) {
                    Ok(())
                } else {
                    Err(away.to_string())
                }
            })
            .unwrap();
            cluster.wait_ready().unwrap();
            let word = format!("h{}", hours + 1);
            cluster[victim].apply(&large(&word, 10)).unwrap();
            cluster[others(victim)[0]].apply(&large(&word, 20)).unwrap();
        }
    }
    let status: Value = cluster.status(leader).unwrap();
    assert_eq!(status["term"], term, "nobody was disturbed");
    assert_eq!(ids(&cluster), before, "no container was touched");
    // Replicas come and go while one node lives an hour ahead.
    cluster.node(follower).move_clock(3600).unwrap();
    cluster[1].apply(&SIX.replace("replicas: 6", "replicas: 3")).unwrap();
    cluster.wait_running("three", "six-", LIMIT, |found| found.len() == 3).unwrap();
    cluster[1].apply(SIX).unwrap();
    cluster.wait_running("the same six", "six-", LIMIT, |found| found == placed).unwrap();
}

#[test]
fn an_older_copy_of_a_data_directory_is_refused() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = Cluster::form(&rig, "").unwrap();
    cluster.wait_voters(3).unwrap();
    let own = cluster[3].data_dir();
    cluster.node(3).stop().unwrap();
    copy(&own, &own.with_extension("old"));
    cluster.node(3).restart().unwrap();
    cluster[3].apply(SIX).unwrap();
    cluster.node(3).stop().unwrap();
    fs::rename(&own, own.with_extension("new")).unwrap();
    fs::rename(own.with_extension("old"), &own).unwrap();
    let said = refused(&mut cluster, 3);
    assert!(said.contains("the data directory of node `3` is a copy"), "{said}");
    cluster[1].ok(&["ps"]).unwrap();

    // The right one goes on.
    fs::remove_dir_all(&own).unwrap();
    fs::rename(own.with_extension("new"), &own).unwrap();
    cluster.node(3).restart().unwrap();
    cluster.wait_ready().unwrap();
}

/// Starts a node that must not stay, and returns what it says before it ends.
fn refused(cluster: &mut Cluster<'_>, number: u32) -> String {
    let before = cluster[number].log().len();
    cluster.node(number).spawn().unwrap();
    wait_ended(cluster, number);
    cluster[number].log().split_off(before)
}

/// Waits until a node has ended by itself.
fn wait_ended(cluster: &mut Cluster<'_>, number: u32) {
    wait("the node to end", LIMIT, || {
        if cluster.node(number).runs() { Err("it runs".to_owned()) } else { Ok(()) }
    })
    .unwrap();
    cluster.node(number).kill().unwrap();
}

#[test]
fn a_name_that_is_taken_is_refused_at_join() {
    let Some(rig) = Rig::require(2) else { return };
    let mut cluster = Cluster::prepare(&rig, "").unwrap();
    cluster.found().unwrap();
    let config = cluster[2].dir().join("smr.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("name = \"n2\"", "name = \"n1\"")).unwrap();
    let said = refused(&mut cluster, 2);
    assert!(said.contains("the name `n1` belongs to node `1` of the cluster"), "{said}");
    // The token was not used up by that.
    fs::write(&config, text).unwrap();
    cluster.node(2).restart().unwrap();
    cluster.wait_ready().unwrap();
}

#[test]
fn a_node_that_dies_again_and_again_disturbs_no_leader() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = Cluster::form(&rig, "").unwrap();
    cluster.wait_voters(3).unwrap();
    let leader = cluster.leader(1).unwrap();
    let victim = others(leader)[1];
    let term = cluster.status(leader).unwrap()["term"].clone();
    for number in 0..5 {
        cluster.node(victim).kill().unwrap();
        cluster[leader].apply(&large(&format!("dead{number}"), 10)).unwrap();
        cluster.node(victim).spawn().unwrap();
        cluster[leader].apply(&large(&format!("back{number}"), 10)).unwrap();
        if number % 2 == 0 {
            cluster.node(victim).wait_ready().unwrap();
        }
    }
    cluster.node(victim).restart().unwrap();
    cluster.wait_ready().unwrap();
    assert_eq!(cluster.status(leader).unwrap()["term"], term);
    let stored = cluster[victim].ok(&["list", "configuration", "--output", "name"]).unwrap();
    assert_eq!(stored.lines().count(), 10, "{stored}");
}
