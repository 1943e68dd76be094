//! Durable writes per second: the store in this process against one member of etcd, on one disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use smr_bench::{
    etcd::Etcd,
    load::{Figures, median, run},
    raw,
};
use smr_store::{Op, Options, Store, Txn};

/// Durable writes per second of the store and of etcd.
#[derive(Debug, Parser)]
struct Arguments {
    /// Directory on the disk to measure; a subdirectory is made and removed.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Rounds; stores take turns, the table shows the median round.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Size of a value in bytes.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// Numbers of concurrent writers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    writers: Vec<usize>,
    /// Leaves etcd out.
    #[arg(long)]
    alone: bool,
    /// Only opens and measures the store in this directory.
    #[arg(long, hide = true)]
    idle: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((raw::CHILD, rest)) =
        words.split_first().map(|(first, rest)| (first.as_str(), rest))
    {
        println!("{}", raw::child(rest)?);
        return Ok(());
    }
    let arguments = Arguments::parse();
    if let Some(dir) = &arguments.idle {
        return measure_idle(dir).await;
    }
    let time = Duration::from_secs_f64(arguments.seconds);
    let scratch = tempfile::Builder::new().prefix("bench-store-").tempdir_in(&arguments.dir)?;
    let store = Store::open(Options::new(scratch.path().join("store"))).await?;
    let etcd = if arguments.alone {
        None
    } else {
        Some(Etcd::start(&scratch.path().join("etcd"), 1).await?)
    };
    let count = arguments.writers.len();
    let mut ours = vec![Vec::new(); count];
    let mut theirs = vec![Vec::new(); count];
    let mut limits = vec![Vec::new(); count];
    let raw_file = scratch.path().join("raw");
    for round in 0..arguments.rounds {
        for (place, &writers) in arguments.writers.iter().enumerate() {
            let value = vec![b'v'; arguments.value_bytes];
            let key = move |writer: usize, i: u64| format!("/bench/{round}/{writer}/{}", i % 1000);
            if let Some(etcd) = &etcd {
                let (putter, value) = (etcd.putter(0), value.clone());
                let write = move |writer, i| {
                    let (putter, value) = (putter.clone(), value.clone());
                    async move { putter.put(key(writer, i).into_bytes(), value).await }
                };
                theirs[place].push(run(writers, time, write).await?);
            }
            let store = store.clone();
            let write = move |writer, i| {
                let (store, value) = (store.clone(), value.clone());
                async move {
                    store.put(key(writer, i), value).await?;
                    Ok(())
                }
            };
            ours[place].push(run(writers, time, write).await?);
            limits[place].push(raw::measure(&raw_file, writers, arguments.value_bytes, time / 3)?);
        }
    }
    print_table(&arguments, ours, theirs, limits);
    store.shutdown().await;
    drop((store, etcd));
    print_idle(&scratch.path().join("idle")).await
}

/// What a quiet store of 10,000 objects costs: reading all of them, opening, memory.
async fn print_idle(dir: &Path) -> anyhow::Result<()> {
    let store = Store::open(Options::new(dir)).await?;
    for chunk in 0..100 {
        let put = |i| Op::put(format!("/smr/object/{:05}", chunk * 100 + i), vec![b'v'; 1024]);
        store.txn((0..100).map(put).fold(Txn::new(), Txn::then)).await?;
    }
    store.shutdown().await;
    // A process of its own: memory that the writers above used does not count.
    let child =
        std::process::Command::new(std::env::current_exe()?).arg("--idle").arg(dir).status()?;
    anyhow::ensure!(child.success(), "measuring an idle store failed");
    Ok(())
}

/// Opens an existing store and measures it.
async fn measure_idle(dir: &Path) -> anyhow::Result<()> {
    let begin = Instant::now();
    let store = Store::open(Options::new(dir)).await?;
    let opened = begin.elapsed();
    let memory = resident()?;
    let mut lists: Vec<_> = (0..20)
        .map(|_| {
            let begin = Instant::now();
            store.list("/smr/object/").map(|all| (begin.elapsed(), all.count))
        })
        .collect::<Result<_, _>>()?;
    lists.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!();
    println!("quiet store (10,000 objects of 1 KiB): opened in {:.1} ms", milliseconds(opened));
    if let Some((median, count)) = lists.get(lists.len() / 2) {
        println!(
            "list of all {count}: {:.2} ms (median of {})",
            milliseconds(*median),
            lists.len()
        );
    }
    println!("resident memory: {memory} after opening, {} after the lists", resident()?);
    store.shutdown().await;
    Ok(())
}

fn resident() -> anyhow::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(resident.unwrap_or("?").trim().to_owned())
}

fn print_table(
    arguments: &Arguments,
    ours: Vec<Vec<Figures>>,
    theirs: Vec<Vec<Figures>>,
    limits: Vec<Vec<Figures>>,
) {
    println!(
        "durable writes, values of {} B, median of {} rounds of {} s, same disk, same run",
        arguments.value_bytes, arguments.rounds, arguments.seconds
    );
    println!(
        "store: called in this process. etcd: one member, called over gRPC on localhost; it pays"
    );
    println!(
        "for that hop, the store does not. limit: one thread that writes the values of all writers"
    );
    println!(
        "into a file allocated before and syncs, and does nothing else, at real-time priority."
    );
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        println!("load of the machine afterwards: {}", load.trim());
    }
    println!();
    println!(
        "{:<24}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "", "writes/s", "p50 ms", "p99 ms", "of etcd", "of limit"
    );
    let rows = arguments.writers.iter().zip(ours.into_iter().zip(theirs).zip(limits));
    for (&writers, ((ours, theirs), limit)) in rows {
        let (ours, theirs, limit) = (median(ours), median(theirs), median(limit));
        let share = |of: Option<Figures>| {
            let ratio = ours.zip(of).map(|(ours, of)| ours.per_second / of.per_second);
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"))
        };
        row(&format!("limit, {writers} writers"), limit, "", "");
        row(&format!("etcd, {writers} writers"), theirs, "", "");
        row(&format!("store, {writers} writers"), ours, &share(theirs), &share(limit));
    }
}

fn row(name: &str, figures: Option<Figures>, of_peer: &str, of_limit: &str) {
    let Some(figures) = figures else { return };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{name:<24}{:>12.0}{:>12.3}{:>12.3}{of_peer:>10}{of_limit:>10}",
        figures.per_second,
        milliseconds(figures.p50),
        milliseconds(figures.p99)
    );
}
