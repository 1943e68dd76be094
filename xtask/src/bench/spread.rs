//! Many replicas over three hosts, from the command to all running, and how long a person waits.

use std::time::{Duration, Instant};

use anyhow::Result;
use smr_integration::{Cluster, Rig, cpu};

use super::{
    hosts::{HOSTS, Starts, containers, definition, formed, say_load, wait_gone},
    stats::{median, ratio, s, table, verdict},
    swarm::Swarm,
};

/// Replicas of a round; with the smaller number the wait of a person weighs more than the engines.
const COUNTS: [usize; 2] = [150, 50];

/// Rounds of each kind, taken in turn.
const ROUNDS: usize = 3;

struct Round {
    /// Until the last container started.
    running: Duration,
    /// Until the command came back.
    waited: Duration,
}

pub(super) fn spread(rig: &Rig) -> Result<()> {
    let cluster = formed(rig, "")?;
    let swarm = Swarm::form(rig)?;
    for count in COUNTS {
        compare(rig, &cluster, &swarm, count)?;
    }
    Ok(())
}

fn compare(rig: &Rig, cluster: &Cluster, swarm: &Swarm, count: usize) -> Result<()> {
    let (mut peer, mut ours) = (Vec::new(), Vec::new());
    let mut own = Vec::new();
    for round in 0..ROUNDS {
        say_load();
        if round % 2 == 0 {
            peer.push(swarm_round(rig, swarm, count)?);
        }
        let before = own_cpu(cluster)?;
        ours.push(smr_round(rig, cluster, count)?);
        own.push(own_cpu(cluster)?.saturating_sub(before));
        if round % 2 == 1 {
            peer.push(swarm_round(rig, swarm, count)?);
        }
    }
    let of = |rounds: &[Round], what: fn(&Round) -> Duration| {
        median(&rounds.iter().map(what).collect::<Vec<_>>())
    };
    let running = (of(&ours, |it| it.running), of(&peer, |it| it.running));
    let waited = (of(&ours, |it| it.waited), of(&peer, |it| it.waited));
    println!(
        "\n{count} replicas over {HOSTS} hosts on this machine, median of {ROUNDS} rounds taken in turn\n"
    );
    table(
        &["", "Swarm mode", "smr", "ratio"],
        &[
            vec![
                "submitted to all running".to_owned(),
                s(running.1),
                s(running.0),
                verdict(ratio(running.0, running.1), 1.0),
            ],
            vec![
                "`service create`; `apply --wait`".to_owned(),
                s(waited.1),
                s(waited.0),
                verdict(ratio(waited.0, waited.1), 0.6),
            ],
        ],
    );
    let all = |rounds: &[Round], what: fn(&Round) -> Duration| {
        rounds.iter().map(|it| s(what(it))).collect::<Vec<_>>().join(", ")
    };
    for (what, figure) in
        [("running", (|it| it.running) as fn(&Round) -> Duration), ("waited", |it| it.waited)]
    {
        println!("{what}, each round: Swarm {}; smr {}", all(&peer, figure), all(&ours, figure));
    }
    println!("processor time of the three nodes in a round: {}", s(median(&own)));
    Ok(())
}

fn all_hosts(rig: &Rig) -> Vec<u32> {
    rig.hosts().iter().map(|host| host.number()).collect()
}

fn swarm_round(rig: &Rig, swarm: &Swarm, count: usize) -> Result<Round> {
    let hosts = all_hosts(rig);
    let starts = Starts::watch(rig, &hosts)?;
    let start = Instant::now();
    swarm.create(1, "spread", count, &[])?;
    let waited = start.elapsed();
    let running = starts.all("spread.", count)? - start;
    swarm.remove(1, "spread", &hosts)?;
    Ok(Round { running, waited })
}

fn smr_round(rig: &Rig, cluster: &Cluster, count: usize) -> Result<Round> {
    let hosts = all_hosts(rig);
    let path = cluster[1].file("spread.yaml", &definition("spread", count))?;
    let starts = Starts::watch(rig, &hosts)?;
    let start = Instant::now();
    cluster[1].ok(&["apply", &path, "--wait"])?;
    let waited = start.elapsed();
    let running = starts.all("bench-spread-", count)? - start;
    let found = containers(rig, &hosts, "bench-spread-")?;
    anyhow::ensure!(found.len() == count, "{} containers instead of {count}", found.len());
    cluster[1].ok(&["remove", "containers/bench/spread"])?;
    wait_gone(rig, &hosts, "bench-spread-")?;
    Ok(Round { running, waited })
}

fn own_cpu(cluster: &Cluster) -> Result<Duration> {
    let mut used = Duration::ZERO;
    for node in cluster.nodes() {
        used += cpu::of_process(node.pid())?;
    }
    Ok(used)
}
