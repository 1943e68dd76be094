//! The node may die at any moment; containers and acknowledged objects do not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::mpsc, thread, time::Duration};

use smr_integration::{Client, Lab, Node, wait};

const LIMIT: Duration = Duration::from_mins(1);

const THREE: &str = "
prefix: simplecontainer.io/v1
kind: containers
meta: {group: keep, name: three}
spec:
  image: busybox
  tag: latest
  replicas: 3
  args: [sleep, '3600']
  stopSignal: SIGKILL
";

#[test]
fn a_killed_node_finds_its_containers_again() {
    let Some(lab) = Lab::require() else { return };
    let mut node = Node::start(&lab, "").unwrap();
    let stranger = lab.docker().run("stranger", "busybox:latest", &["sleep", "3600"]).unwrap();
    node.apply(THREE).unwrap();
    let before = node.wait_running("keep-three-", 3, LIMIT).unwrap();

    node.kill().unwrap();
    node.restart().unwrap();
    wait_for_row(&node, "keep-three-3", "running");
    assert_eq!(node.containers("keep-three-").unwrap(), before, "same ids after kill -9");

    node.stop().unwrap();
    assert_eq!(node.containers("keep-three-").unwrap(), before, "stopping the node stops none");
    node.restart().unwrap();
    wait_for_row(&node, "keep-three-1", "running");
    assert_eq!(node.containers("keep-three-").unwrap(), before, "same ids after a restart");

    node.ok(&["remove", "containers/keep/three", "--wait"]).unwrap();
    assert_eq!(node.containers("keep-").unwrap(), []);
    let state = lab.docker().inspect("stranger").unwrap();
    assert_eq!(state["Id"], stranger.as_str());
    assert_eq!(state["State"]["Running"], true, "what smr did not make, it does not touch");
}

#[test]
fn a_container_that_vanishes_while_the_node_is_away_is_made_again() {
    let Some(lab) = Lab::require() else { return };
    let mut node = Node::start(&lab, "").unwrap();
    node.apply(THREE).unwrap();
    let before = node.wait_running("keep-three-", 3, LIMIT).unwrap();
    node.kill().unwrap();
    lab.docker().remove("keep-three-2").unwrap();
    node.restart().unwrap();
    let after = node.wait_running("keep-three-", 3, LIMIT).unwrap();
    assert_eq!((&before[0], &before[2]), (&after[0], &after[2]), "the others are untouched");
    assert_ne!(before[1].id, after[1].id);
}

/// `SMR_KILLS` sets how often; the default is the number that the product promises.
#[test]
fn every_acknowledged_object_survives_kills_in_a_stream_of_applies() {
    let Some(lab) = Lab::require() else { return };
    let kills = std::env::var("SMR_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(100);
    let mut node = Node::start(&lab, "").unwrap();
    let client = (*node).clone();
    let (acknowledge, acknowledged) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let writer = thread::spawn(move || write_until(&client, &ended, &acknowledge));

    let mut names = Vec::new();
    for kill in 0..kills {
        // The next write is under way when the node dies; how far it got differs from round to round.
        for _ in 0..=kill % 4 {
            names.push(acknowledged.recv_timeout(LIMIT).unwrap());
        }
        node.kill().unwrap();
        node.restart().unwrap();
    }
    drop(end);
    writer.join().unwrap();
    names.extend(acknowledged.try_iter());

    let stored = node.ok(&["list", "configuration", "--output", "name"]).unwrap();
    let lost: Vec<_> =
        names.iter().filter(|name| !stored.lines().any(|line| line.ends_with(*name))).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged objects lost: {lost:?}",
        lost.len(),
        names.len()
    );
    assert!(names.len() >= kills, "{} acknowledged in {kills} rounds", names.len());
}

/// Applies one object after the other; sends the name of each that was acknowledged.
fn write_until(client: &Client, ended: &mpsc::Receiver<()>, acknowledge: &mpsc::Sender<String>) {
    for number in 0.. {
        if ended.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
            return;
        }
        let name = format!("stream/c{number}");
        let yaml = format!(
            "prefix: simplecontainer.io/v1\nkind: configuration\n\
             meta: {{group: stream, name: c{number}}}\nspec: {{data: {{number: '{number}'}}}}\n"
        );
        let path = client.file("stream.yaml", &yaml).unwrap();
        if client.smrctl(&["apply", &path]).unwrap().code == 0 {
            acknowledge.send(name).unwrap();
        }
    }
}

fn wait_for_row(node: &Node, replica: &str, state: &str) {
    wait(&format!("{replica} {state} in `ps`"), LIMIT, || {
        let text = node.ok(&["ps"]).map_err(|error| format!("{error:#}"))?;
        let found = text.lines().any(|line| line.contains(replica) && line.contains(state));
        if found { Ok(()) } else { Err(text) }
    })
    .unwrap();
}
