//! A cluster with nothing to do: memory and processor time of each node.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use smr_integration::{Rig, cpu, events::Events};

use super::{
    hosts::{HOSTS, Starts, containers, definition, formed, say_load},
    stats::{s, table, verdict},
};

/// All stored objects.
const OBJECTS: usize = 1_000;

/// Those of them that are replicas, and how many each has.
const WORKLOADS: usize = 10;
const REPLICAS: usize = 30;

/// Silence before the nodes are watched.
const CALM: Duration = Duration::from_secs(15);

/// How long the idle nodes are watched.
const WATCH: Duration = Duration::from_secs(30);

/// Most memory of a node, MB.
const MEMORY: f64 = 80.0;

/// Most processor time of a node, per cent of a core.
const CPU: f64 = 1.0;

pub(super) fn idle_cluster(rig: &Rig) -> Result<()> {
    let cluster = formed(rig, "")?;
    let hosts: Vec<u32> = rig.hosts().iter().map(|host| host.number()).collect();
    let fresh: Vec<f64> = figures(&cluster)?;
    let configurations = (WORKLOADS..OBJECTS).map(|number| {
        format!(
            "prefix: simplecontainer.io/v1\nkind: configuration\n\
             meta: {{group: bench, name: c{number}}}\nspec: {{data: {{key: value {number}}}}}\n"
        )
    });
    let workloads = (0..WORKLOADS).map(|number| definition(&format!("idle{number}"), REPLICAS));
    let documents: Vec<String> = configurations.chain(workloads).collect();
    let path = cluster[1].file("idle.yaml", &documents.join("---\n"))?;
    let starts = Starts::watch(rig, &hosts)?;
    let start = Instant::now();
    cluster[1].ok(&["apply", &path, "--wait"])?;
    starts.all("bench-idle", WORKLOADS * REPLICAS)?;
    println!("{OBJECTS} objects with {} replicas in {}", WORKLOADS * REPLICAS, s(start.elapsed()));
    let found = containers(rig, &hosts, "bench-idle")?;
    ensure!(found.len() == WORKLOADS * REPLICAS, "{} containers", found.len());

    // Idle engines are silent: their streams of events are the clock.
    let mut events = Events::subscribe(rig[1].docker(), &["start", "die", "create", "destroy"])?;
    let calm = events.next(Instant::now() + CALM, |_| true).is_err();
    say_load();
    let pids: Vec<u32> = cluster.nodes().iter().map(|node| node.pid()).collect();
    let used =
        |pids: &[u32]| pids.iter().map(|pid| cpu::of_process(*pid)).collect::<Result<Vec<_>>>();
    let (before, start) = (used(&pids)?, Instant::now());
    let silent = events.next(Instant::now() + WATCH, |_| true).is_err();
    let (after, watched) = (used(&pids)?, start.elapsed());
    let memory = figures(&cluster)?;
    let leader = cluster.leader(1)?;

    println!(
        "\n{HOSTS} nodes, {OBJECTS} objects, {} running replicas; node {leader} leads; idle for {}\n",
        WORKLOADS * REPLICAS,
        s(watched)
    );
    let rows: Vec<Vec<String>> = hosts
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let busy = after[at].saturating_sub(before[at]).as_secs_f64() / watched.as_secs_f64();
            vec![
                format!("node {host}"),
                verdict(memory[at], MEMORY),
                format!("{:.1}", fresh[at]),
                verdict(busy * 100.0, CPU),
            ]
        })
        .collect();
    table(&["", "resident memory, MB", "the same, empty", "processor, % of a core"], &rows);
    println!("\nengine of host 1 silent before and meanwhile: {}", calm && silent);
    Ok(())
}

/// Resident memory of each node in MB.
fn figures(cluster: &smr_integration::Cluster) -> Result<Vec<f64>> {
    cluster.nodes().iter().map(|node| Ok(cpu::resident_bytes(node.pid())? as f64 / 1e6)).collect()
}
