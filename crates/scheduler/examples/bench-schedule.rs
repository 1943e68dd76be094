//! `cargo xtask bench schedule`: 100,000 replicas on 1,000 nodes, from nothing and after one loss.
//! Times are those of the processor, so that a busy machine does not matter; elapsed ones are beside.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::{collections::BTreeMap, fs, time::Instant};

use jiff::Timestamp;
use smr_model::{
    Bytes, Cpus, Health,
    spec::{ContainersSpec, Placement, Port, Spread, SpreadKind, Strategy},
};
use smr_scheduler::{Decision, Node, Scheduler, Workload};

const NODES: u64 = 1_000;
const ROUNDS: u64 = 10;

/// `OBJECTS REPLICAS` pairs that make 100,000 replicas.
const SHAPES: &[(u32, u32)] = &[(1_000, 100), (10_000, 10), (100_000, 1)];

fn main() {
    for &(objects, replicas) in SHAPES {
        measure(objects, replicas);
    }
    println!("peak memory of all: {} MiB (bound 200)", peak_kib() / 1024);
}

fn measure(objects: u32, replicas: u32) {
    let now = Timestamp::UNIX_EPOCH;
    let mut scheduler = Scheduler::new();
    let started = Stopwatch::start();
    for id in 1..=NODES {
        scheduler.set_node(node(id));
    }
    for object in 0..objects {
        scheduler.set_workload(workload(object, replicas));
    }
    let changes = scheduler.settle(now);
    let from_nothing = started.stop();
    let pending =
        changes.iter().filter(|it| matches!(it.decision, Some(Decision::Pending(_)))).count();
    let total = changes.len();
    drop(changes);

    let mut worst = (0.0_f64, 0.0_f64);
    let mut moved = 0;
    for round in 0..ROUNDS {
        let lost = 1 + round * (NODES / ROUNDS);
        let started = Stopwatch::start();
        scheduler.set_node(Node { health: Health::Down, down_since: Some(now), ..node(lost) });
        moved += scheduler.settle(now).len();
        let (cpu, elapsed) = started.stop();
        worst = (worst.0.max(cpu), worst.1.max(elapsed));
    }
    println!(
        "{objects} objects x {replicas} on {NODES} nodes: {total} decisions in {:.0} ms (elapsed \
         {:.0}, bound 1000), {pending} pending; one node lost: at worst {:.2} ms (elapsed {:.2}, \
         bound 20), {} moved on average",
        from_nothing.0,
        from_nothing.1,
        worst.0,
        worst.1,
        moved as u64 / ROUNDS,
    );
}

/// Milliseconds of the processor and elapsed.
struct Stopwatch {
    cpu: f64,
    started: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self { cpu: cpu_millis(), started: Instant::now() }
    }

    fn stop(self) -> (f64, f64) {
        (cpu_millis() - self.cpu, self.started.elapsed().as_secs_f64() * 1e3)
    }
}

/// Time this thread ran.
fn cpu_millis() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|it| it.parse::<f64>().ok());
    nanos.unwrap_or_default() / 1e6
}

fn node(id: u64) -> Node {
    let labels = [
        ("zone".to_owned(), format!("zone-{}", id % 5)),
        ("disk".to_owned(), if id.is_multiple_of(3) { "ssd" } else { "hdd" }.to_owned()),
    ];
    Node {
        id,
        name: format!("node-{id}"),
        labels: labels.into(),
        os: "Debian GNU/Linux 12".to_owned(),
        arch: "x86_64".to_owned(),
        cpu_millis: 64_000,
        memory: 256 << 30,
        engine_ready: true,
        ..Node::default()
    }
}

/// A mix of what people write: most by rank, some in chunks, some with ports, constraints,
/// affinities, zones.
fn workload(object: u32, replicas: u32) -> Workload {
    let mut spec = ContainersSpec {
        image: "nginx".to_owned(),
        replicas: Some(replicas),
        cpu_reservation: Some(Cpus(u64::from(100 + object % 7 * 50))),
        memory_reservation: Some(Bytes(u64::from(128 + object % 5 * 128) << 20)),
        ..ContainersSpec::default()
    };
    let mut placement = Placement::default();
    match object % 10 {
        0 => spec.spread = Some(Spread { spread: SpreadKind::Uniform, agents: Vec::new() }),
        1 | 2 => placement.strategy = Some(Strategy::Spread),
        3 => placement.constraints = vec!["node.labels.disk==ssd".to_owned()],
        4 => {
            placement.strategy = Some(Strategy::Spread);
            placement.spread_over = vec!["node.labels.zone".to_owned()];
        }
        5 => placement.affinity = vec![format!("!containers/g{}/w{object}", object % 20)],
        6 => {
            let port = 8_000 + object % 1_000;
            spec.ports = vec![Port { container: "80".to_owned(), host: port.to_string() }];
        }
        _ => {}
    }
    if spec.spread.is_none() {
        spec.placement = Some(placement);
    }
    let group = format!("g{}", object % 20);
    Workload::new(group, format!("w{object}"), &BTreeMap::new(), 1, &spec)
}

/// Most memory this process ever had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
