//! What real clusters meet: killed leaders, partitions, power cuts, lossy links. Nothing acknowledged is
//! lost, and at quiet exactly the desired replicas run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{sync::mpsc, thread, time::Duration};

use smr_integration::{Client, Cluster, Rig, wait};

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

fn formed(rig: &Rig) -> Cluster<'_> {
    let cluster = Cluster::form(rig, "").unwrap();
    wait("three voters", LIMIT, || {
        let text = cluster[1].ok(&["cluster", "status", "--output", "json"]);
        let text = text.map_err(|error| format!("{error:#}"))?;
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let voters = status["voters"].as_array().map_or(0, Vec::len);
        if voters == 3 { Ok(()) } else { Err(text) }
    })
    .unwrap();
    cluster
}

fn with_six(rig: &Rig) -> Cluster<'_> {
    let cluster = formed(rig);
    cluster[1].apply(SIX).unwrap();
    let spread = |found: &[(String, u32)]| found.len() == 6;
    cluster.wait_running("six replicas", "six-", LIMIT, spread).unwrap();
    cluster
}

/// Six replicas, none of them on `host`.
fn six_without(host: u32) -> impl Fn(&[(String, u32)]) -> bool {
    move |found| found.len() == 6 && found.iter().all(|(_, at)| *at != host)
}

fn others(host: u32) -> [u32; 2] {
    match host {
        1 => [2, 3],
        2 => [1, 3],
        _ => [1, 2],
    }
}

/// Applies one object after the other through whichever client answers; sends the name of each that was
/// acknowledged.
fn write_until(clients: &[Client], ended: &mpsc::Receiver<()>, acknowledge: &mpsc::Sender<String>) {
    for number in 0_usize.. {
        if ended.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
            return;
        }
        let client = &clients[number % clients.len()];
        let name = format!("c{number}");
        let yaml = format!(
            "prefix: simplecontainer.io/v1\nkind: configuration\n\
             meta: {{group: stream, name: {name}}}\nspec: {{data: {{number: '{number}'}}}}\n"
        );
        let path = client.file("stream.yaml", &yaml).unwrap();
        if client.smrctl(&["apply", &path]).unwrap().code == 0 {
            acknowledge.send(name).unwrap();
        }
    }
}

/// Runs `faults` while objects are applied through every node; then every acknowledged one must be there,
/// on every node.
fn under_load<'rig>(
    cluster: &mut Cluster<'rig>,
    faults: impl FnOnce(&mut Cluster<'rig>, &mut dyn FnMut(usize)),
) {
    let clients: Vec<Client> = cluster.nodes().iter().map(|node| (**node).clone()).collect();
    let (acknowledge, acknowledged) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let writer = thread::spawn(move || write_until(&clients, &ended, &acknowledge));
    let mut names = Vec::new();
    let mut writes = |count: usize| {
        for _ in 0..count {
            names.push(acknowledged.recv_timeout(LIMIT).unwrap());
        }
    };
    writes(5);
    faults(cluster, &mut writes);
    writes(5);
    drop(end);
    writer.join().unwrap();
    names.extend(acknowledged.try_iter());
    cluster.wait_ready().unwrap();
    for node in cluster.nodes() {
        let stored = node.ok(&["list", "configuration", "--output", "name"]).unwrap();
        let lost: Vec<_> = names
            .iter()
            .filter(|name| !stored.lines().any(|line| line.ends_with(&format!("/{name}"))))
            .collect();
        assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), names.len());
    }
}

#[test]
fn a_killed_leader_loses_nothing_under_load() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = formed(&rig);
    under_load(&mut cluster, |cluster, writes| {
        for _ in 0..3 {
            let leader = cluster.leader(1).or_else(|_| cluster.leader(2)).unwrap();
            cluster.node(leader).kill().unwrap();
            writes(5);
            cluster.node(leader).restart().unwrap();
            writes(3);
        }
    });
}

#[test]
fn all_nodes_lose_their_power_and_nothing_is_lost() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = formed(&rig);
    under_load(&mut cluster, |cluster, writes| {
        for number in 1..=3 {
            cluster.node(number).kill().unwrap();
        }
        for number in 1..=3 {
            cluster.node(number).spawn().unwrap();
        }
        for number in 1..=3 {
            cluster.node(number).wait_ready().unwrap();
        }
        writes(3);
    });
}

#[test]
fn a_node_without_power_is_replaced_and_drops_its_copies_when_it_returns() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = with_six(&rig);
    let victim = others(cluster.leader(1).unwrap())[1];
    let seen_by = others(victim);
    cluster.node(victim).kill().unwrap();
    rig[victim].power_off().unwrap();
    cluster.wait_running("six elsewhere", "six-", LIMIT, six_without(victim)).unwrap();
    cluster.wait_ready_of(&seen_by, &seen_by).unwrap();

    rig[victim].start_dockerd().unwrap();
    cluster.node(victim).restart().unwrap();
    cluster.wait_ready().unwrap();
    wait("the old copies to go", LIMIT, || {
        let left = rig[victim].docker().containers(&serde_json::json!({})).unwrap();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .unwrap();
    cluster.wait_running("six, each once", "six-", LIMIT, six_without(victim)).unwrap();
}

#[test]
fn a_minority_keeps_its_containers_and_refuses_writes() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = with_six(&rig);
    let victim = others(cluster.leader(1).unwrap())[0];
    let kept = cluster[victim].containers("six-").unwrap();
    rig.cut(victim).unwrap();
    // The majority gives its replicas to others; the minority knows nothing of that and keeps them.
    let elsewhere =
        |found: &[(String, u32)]| found.iter().filter(|(_, host)| *host != victim).count() == 6;
    cluster.wait_running("six in the majority", "six-", LIMIT, elsewhere).unwrap();
    assert_eq!(cluster[victim].containers("six-").unwrap(), kept, "the minority keeps its own");
    let path = cluster[victim].file("minority.yaml", SIX).unwrap();
    let refused = cluster[victim].smrctl(&["apply", &path]).unwrap();
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("no node leads"), "{refused:?}");
    let refused = cluster[victim].smrctl(&["ps"]).unwrap();
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("--stale"), "{refused:?}");
    let stale = cluster[victim].smrctl(&["ps", "--stale"]).unwrap();
    assert_eq!(stale.code, 0, "{stale:?}");

    rig.join(victim).unwrap();
    cluster.wait_ready().unwrap();
    cluster.wait_running("six, each once", "six-", LIMIT, six_without(victim)).unwrap();
}

#[test]
fn a_cut_off_leader_is_replaced() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = with_six(&rig);
    let old = cluster.leader(1).unwrap();
    let [a, b] = others(old);
    rig.cut(old).unwrap();
    wait("a new leader", LIMIT, || {
        let leader = cluster.leader(a).map_err(|error| format!("{error:#}"))?;
        if leader == old { Err(format!("n{leader}")) } else { Ok(()) }
    })
    .unwrap();
    let elsewhere =
        |found: &[(String, u32)]| found.iter().filter(|(_, host)| *host != old).count() == 6;
    cluster.wait_running("six in the majority", "six-", LIMIT, elsewhere).unwrap();
    cluster[b].apply(&SIX.replace("replicas: 6", "replicas: 7")).unwrap();
    rig.join(old).unwrap();
    cluster.wait_ready().unwrap();
    cluster.wait_running("seven, each once", "six-", LIMIT, |found| found.len() == 7).unwrap();
}

#[test]
fn one_way_and_flapping_links_disturb_no_leader() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = formed(&rig);
    let status = |by: u32| -> serde_json::Value {
        serde_json::from_str(&cluster[by].ok(&["cluster", "status", "--output", "json"]).unwrap())
            .unwrap()
    };
    let leader = cluster.leader(1).unwrap();
    let term = status(leader)["term"].clone();
    let victim = others(leader)[0];
    // It hears nobody, but everybody hears it.
    for other in others(victim) {
        rig.cut_one_way(other, victim).unwrap();
    }
    let seen_by = others(victim);
    cluster.wait_ready_of(&seen_by, &seen_by).unwrap();
    rig.heal().unwrap();
    cluster.wait_ready().unwrap();
    for _ in 0..5 {
        rig.cut(victim).unwrap();
        let path = cluster[leader].file("flap.yaml", SIX).unwrap();
        assert_eq!(cluster[leader].smrctl(&["apply", &path]).unwrap().code, 0);
        rig.join(victim).unwrap();
        assert_eq!(cluster[leader].smrctl(&["apply", &path]).unwrap().code, 0);
    }
    cluster.wait_ready().unwrap();
    assert_eq!(status(leader)["term"], term, "nobody was disturbed");
    assert_eq!(cluster.leader(leader).unwrap(), leader);
}

#[test]
fn a_lossy_link_slows_down_and_breaks_nothing() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = formed(&rig);
    for host in 1..=3 {
        rig.lose(host, 10).unwrap();
    }
    cluster[2].apply(SIX).unwrap();
    cluster.wait_running("six replicas", "six-", LIMIT, |found| found.len() == 6).unwrap();
    rig.heal().unwrap();
    cluster.wait_ready().unwrap();
    cluster.wait_running("six replicas", "six-", LIMIT, |found| found.len() == 6).unwrap();
}

#[test]
fn a_killed_engine_is_waited_for_and_its_replicas_come_back() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = with_six(&rig);
    let victim = others(cluster.leader(1).unwrap())[0];
    let before = cluster.running("six-").unwrap();
    rig[victim].kill_dockerd().unwrap();
    rig[victim].start_dockerd().unwrap();
    let back = cluster.wait_running("six again", "six-", LIMIT, |found| found.len() == 6).unwrap();
    assert_eq!(back, before, "on the same nodes");
}

#[test]
fn a_rolling_restart_of_all_nodes_restarts_no_container() {
    let Some(rig) = Rig::require(3) else { return };
    let mut cluster = with_six(&rig);
    let ids = |cluster: &Cluster<'_>| {
        let containers = cluster.nodes().iter().map(|node| node.containers("six-").unwrap());
        containers.flatten().map(|it| (it.name, it.id)).collect::<Vec<_>>()
    };
    let before = ids(&cluster);
    under_load(&mut cluster, |cluster, writes| {
        for number in 1..=3 {
            cluster.node(number).stop().unwrap();
            cluster.node(number).restart().unwrap();
            cluster.wait_ready().unwrap();
            writes(2);
        }
    });
    assert_eq!(ids(&cluster), before);
}
