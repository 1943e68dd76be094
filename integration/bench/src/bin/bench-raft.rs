//! Durable writes per second and their tail: three members of ours against three of etcd, on one disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Parser;
use smr_bench::{
    etcd::Etcd,
    load::{self, Figures},
    member::{self, Members},
};

/// Members of each cluster.
const MEMBERS: usize = 3;

/// Writes per second and p99 of three members of the store and of etcd.
#[derive(Debug, Parser)]
struct Arguments {
    /// Directory on the disk to measure; a subdirectory is made and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Rounds; the two take turns in who is first, the table shows the median of each figure.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before each measurement that do not count.
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// Size of a value in bytes.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// Numbers of concurrent clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    clients: Vec<usize>,
    /// All clients write through the leader; otherwise they take the members in turn, the leader first.
    #[arg(long)]
    leader: bool,
}

/// What one measurement gave.
#[derive(Clone, Copy)]
struct Sample {
    figures: Figures,
    /// Processor time of all members per write, in microseconds.
    cpu: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((member::CHILD, rest)) =
        words.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        return member::child(rest).await;
    }
    let arguments = Arguments::parse();
    let scratch = tempfile::Builder::new().prefix("bench-raft-").tempdir_in(&arguments.dir)?;
    let etcd = Etcd::start(&scratch.path().join("etcd"), MEMBERS).await?;
    let ours = Members::start(&scratch.path().join("smr"), MEMBERS).await?;
    let mut samples = vec![(Vec::new(), Vec::new()); arguments.clients.len()];
    for round in 0..arguments.rounds {
        for (&clients, (of_etcd, of_ours)) in arguments.clients.iter().zip(&mut samples) {
            if round % 2 == 0 {
                of_etcd.push(measure_etcd(&etcd, &arguments, clients).await?);
                of_ours.push(measure_ours(&ours, &arguments, clients).await?);
            } else {
                of_ours.push(measure_ours(&ours, &arguments, clients).await?);
                of_etcd.push(measure_etcd(&etcd, &arguments, clients).await?);
            }
        }
    }
    print_table(&arguments, &samples);
    Ok(())
}

/// The member that a client writes through.
fn member_of(client: usize, leader: usize, only_leader: bool) -> usize {
    if only_leader { leader } else { (leader + client) % MEMBERS }
}

async fn measure_etcd(
    etcd: &Etcd,
    arguments: &Arguments,
    clients: usize,
) -> anyhow::Result<Sample> {
    let leader = etcd.leader().await?;
    let putters: Vec<_> = (0..MEMBERS).map(|member| etcd.putter(member)).collect();
    let (value, only_leader) = (vec![b'v'; arguments.value_bytes], arguments.leader);
    let write = move |client, i| {
        let putter = putters[member_of(client, leader, only_leader)].clone();
        let value = value.clone();
        async move { putter.put(key(client, i).into_bytes(), value).await }
    };
    measure(&etcd.pids(), arguments, clients, write).await
}

async fn measure_ours(
    members: &Members,
    arguments: &Arguments,
    clients: usize,
) -> anyhow::Result<Sample> {
    let leader = members.leader().await?;
    let putters: Vec<_> = (0..MEMBERS).map(|member| members.putter(member)).collect();
    let (value, only_leader) = (vec![b'v'; arguments.value_bytes], arguments.leader);
    let write = move |client, i| {
        let putter = putters[member_of(client, leader, only_leader)].clone();
        let value = value.clone();
        async move { putter.put(&key(client, i), &value).await }
    };
    measure(&members.pids(), arguments, clients, write).await
}

fn key(client: usize, i: u64) -> String {
    format!("/bench/{client}/{}", i % 1000)
}

async fn measure<W, F>(
    pids: &[u32],
    arguments: &Arguments,
    clients: usize,
    write: W,
) -> anyhow::Result<Sample>
where
    W: Fn(usize, u64) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    load::run(clients, Duration::from_secs_f64(arguments.warm), write.clone()).await?;
    let time = Duration::from_secs_f64(arguments.seconds);
    let (before, start) = (cpu_seconds(pids)?, Instant::now());
    let figures = load::run(clients, time, write).await?;
    let used = cpu_seconds(pids)? - before;
    let writes = figures.per_second * start.elapsed().as_secs_f64();
    Ok(Sample { figures, cpu: used * 1e6 / writes })
}

/// Processor time that these processes have used.
fn cpu_seconds(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        ticks += fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(ticks as f64 / 100.0)
}

fn print_table(arguments: &Arguments, samples: &[(Vec<Sample>, Vec<Sample>)]) {
    println!(
        "\nwrites of {} B acknowledged by {MEMBERS} members, all syncing to one disk; medians of {} rounds of \
         {} s, each after {} s that do not count",
        arguments.value_bytes, arguments.rounds, arguments.seconds, arguments.warm
    );
    println!("all members and the clients are processes of their own on this machine;");
    println!("ours: HTTP/2 over mutual TLS between all of them; etcd: gRPC in plain text");
    let through = if arguments.leader { "the leader" } else { "all members in turn" };
    println!("clients write through {through}");
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        println!("load of the machine afterwards: {}", load.trim());
    }
    println!(
        "\n| clients | etcd | ours | of etcd | p50 etcd / ours | p99 etcd / ours | of etcd | cpu per write etcd / ours |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (clients, (etcd, ours)) in arguments.clients.iter().zip(samples) {
        let both = |what: fn(&Sample) -> f64| (median(etcd, what), median(ours, what));
        let (etcd_rate, our_rate) = both(|it| it.figures.per_second);
        let (etcd_p50, our_p50) = both(|it| it.figures.p50.as_secs_f64() * 1e3);
        let (etcd_p99, our_p99) = both(|it| it.figures.p99.as_secs_f64() * 1e3);
        let (etcd_cpu, our_cpu) = both(|it| it.cpu);
        println!(
            "| {clients} | {etcd_rate:.0}/s | {our_rate:.0}/s | **{:.2}** | {etcd_p50:.2} / {our_p50:.2} ms | \
             {etcd_p99:.1} / {our_p99:.1} ms | **{:.2}** | {etcd_cpu:.0} / {our_cpu:.0} µs |",
            our_rate / etcd_rate,
            our_p99 / etcd_p99,
        );
    }
}

fn median(samples: &[Sample], what: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(what).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
