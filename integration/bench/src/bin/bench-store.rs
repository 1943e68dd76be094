//! Durable writes per second: the store in this process against one member of etcd, on one disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use smr_bench::{
    etcd::Etcd,
    load::{Figures, median, run},
    raw,
};
use smr_store::{Options, Store};

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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs_f64(arguments.seconds);
    let scratch = tempfile::Builder::new().prefix("bench-store-").tempdir_in(&arguments.dir)?;
    let store = Store::open(Options::new(scratch.path().join("store"))).await?;
    let etcd = match arguments.alone {
        true => None,
        false => Some(Etcd::start(&scratch.path().join("etcd")).await?),
    };
    let count = arguments.writers.len();
    let mut ours = vec![Vec::new(); count];
    let mut theirs = vec![Vec::new(); count];
    let mut grown = Vec::new();
    let mut overwritten = Vec::new();
    for round in 0..arguments.rounds {
        let raw_file = scratch.path().join("raw");
        let short = time / 3;
        grown.push(raw::append(&raw_file, arguments.value_bytes, false, short)?);
        overwritten.push(raw::append(&raw_file, arguments.value_bytes, true, short)?);
        for (place, &writers) in arguments.writers.iter().enumerate() {
            let value = vec![b'v'; arguments.value_bytes];
            let key = move |writer: usize, i: u64| format!("/bench/{round}/{writer}/{}", i % 1000);
            if let Some(etcd) = &etcd {
                let (putter, value) = (etcd.putter(), value.clone());
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
        }
    }
    print_table(&arguments, ours, theirs, median(grown), median(overwritten));
    store.shutdown().await;
    Ok(())
}

fn print_table(
    arguments: &Arguments,
    ours: Vec<Vec<Figures>>,
    theirs: Vec<Vec<Figures>>,
    grown: Option<Figures>,
    overwritten: Option<Figures>,
) {
    println!(
        "durable writes, values of {} B, median of {} rounds of {} s, same disk, same run",
        arguments.value_bytes, arguments.rounds, arguments.seconds
    );
    println!(
        "store: called in this process. etcd: one member, called over gRPC on localhost; it pays"
    );
    println!("for that hop, the store does not. raw: one thread that only writes and syncs.");
    println!();
    println!("{:<34}{:>12}{:>12}{:>12}{:>9}", "", "writes/s", "p50 ms", "p99 ms", "ratio");
    row("raw append + fdatasync", grown, None);
    row("raw overwrite + fdatasync", overwritten, None);
    for (&writers, (ours, theirs)) in arguments.writers.iter().zip(ours.into_iter().zip(theirs)) {
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second);
        row(&format!("etcd, {writers} writers"), theirs, None);
        row(&format!("store, {writers} writers"), ours, ratio);
    }
}

fn row(name: &str, figures: Option<Figures>, ratio: Option<f64>) {
    let Some(figures) = figures else { return };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
    println!(
        "{name:<34}{:>12.0}{:>12.3}{:>12.3}{ratio:>9}",
        figures.per_second,
        milliseconds(figures.p50),
        milliseconds(figures.p99)
    );
}
