//! `kill -9` at random moments, and the order of syncs and acknowledgements as the kernel sees it.
//!
//! The tests run this very binary again as a writer that acknowledges on its standard output.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use smr_store::{Options, Store};

/// Kills per run; `SMR_KILLS` asks for more.
const KILLS: u64 = 25;

static NEXT: AtomicU64 = AtomicU64::new(0);

fn small(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    // Small, so that files, snapshots, purges and compactions are met in every life.
    options.segment_bytes = 32 * 1024;
    options.snapshot_log_bytes = 128 * 1024;
    options.keep_entries = 20;
    options.keep_revisions = 200;
    options
}

/// The child: does nothing unless the tests below ask for it.
#[tokio::test(flavor = "multi_thread")]
async fn writer() {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(dir) = variable("SMR_WRITER_DIR") else { return };
    let number = |name: &str| variable(name).unwrap().parse::<u64>().unwrap();
    NEXT.store(number("SMR_WRITER_FIRST"), Ordering::Relaxed);
    let last = number("SMR_WRITER_LAST");
    let store = Store::open(small(Path::new(&dir))).await.unwrap();
    let tasks: Vec<_> = (0..number("SMR_WRITERS"))
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    let number = NEXT.fetch_add(1, Ordering::Relaxed);
                    if number > last {
                        return;
                    }
                    store.put(format!("/k/{number:08}"), value(number)).await.unwrap();
                    // One short write to a pipe is atomic: a line is there in full or not at all.
                    std::io::stdout().lock().write_all(format!("{number}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    store.shutdown().await;
}

/// The value of a key: it tells its number, and values are of all sizes.
fn value(number: u64) -> String {
    format!("value {number} {}", "x".repeat((number * 7919 % 1500) as usize))
}

fn start(mut command: Command, dir: &Path, first: u64, last: u64, writers: u64) -> Child {
    command
        .args(["--exact", "writer", "--nocapture"])
        .env("SMR_WRITER_DIR", dir)
        .env("SMR_WRITER_FIRST", first.to_string())
        .env("SMR_WRITER_LAST", last.to_string())
        .env("SMR_WRITERS", writers.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn this_binary() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// Uniform enough for choosing moments.
fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_kill_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let kills = std::env::var("SMR_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut acknowledged = BTreeSet::new();
    let mut next = 0;
    for kill in 0..kills {
        let mut child = start(Command::new(this_binary()), dir.path(), next, u64::MAX - 10_000, 4);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness prints words of its own.
        let mut numbers = lines.map_while(Result::ok).filter_map(|line| line.parse::<u64>().ok());
        // The moment is a random number of acknowledgements, so it falls anywhere in the work.
        for _ in 0..=random(400) {
            acknowledged.insert(numbers.next().expect("the writer ended by itself"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe was acknowledged as well.
        acknowledged.extend(numbers);
        next = acknowledged.last().unwrap() + 100;
        if kill % 5 == 4 || kill + 1 == kills {
            // Every other time everything must come from snapshot and log.
            if kill % 10 == 9 {
                std::fs::remove_dir_all(dir.path().join("state")).unwrap();
            }
            check(dir.path(), &acknowledged).await;
        }
    }
}

async fn check(dir: &Path, acknowledged: &BTreeSet<u64>) {
    let store = Store::open(small(dir)).await.unwrap();
    let kvs = store.list("/k/").unwrap().kvs;
    let found: BTreeSet<u64> = kvs
        .iter()
        .map(|kv| {
            let number = kv.key.strip_prefix("/k/").unwrap().parse().unwrap();
            assert_eq!(kv.value, value(number).into_bytes());
            number
        })
        .collect();
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "lost {} of {}: {lost:?}", lost.len(), acknowledged.len());
    store.shutdown().await;
}

/// With one writer every write needs a sync of its own, so at each acknowledgement at least as many
/// syncs must have returned as there were acknowledgements.
#[test]
fn the_kernel_sees_a_sync_of_the_log_before_every_acknowledgement() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fdatasync,write", "-o"]).arg(&trace).arg(this_binary());
    let mut child = start(strace, &dir.path().join("data"), 1, 200, 1);
    // Drained, so that the writer never waits for the pipe.
    let output = BufReader::new(child.stdout.take().unwrap()).lines().count();
    assert!(child.wait().unwrap().success() && output >= 200);
    let (mut syncs, mut acknowledged) = (0, 0);
    let mut log_sync_pending = BTreeSet::new();
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let thread = line.split_whitespace().next().unwrap_or_default().to_owned();
        if line.contains("fdatasync(") && line.contains(".wal>") {
            if line.contains("<unfinished") {
                log_sync_pending.insert(thread);
            } else if line.ends_with("= 0") {
                syncs += 1;
            }
        } else if line.contains("fdatasync resumed") && log_sync_pending.remove(&thread) {
            assert!(line.ends_with("= 0"), "{line}");
            syncs += 1;
        } else if line.contains("write(1<pipe:")
            && line.contains(&format!("\"{}\\n\"", acknowledged + 1))
        {
            acknowledged += 1;
            assert!(
                syncs >= acknowledged,
                "write {acknowledged} was acknowledged after {syncs} syncs"
            );
        }
    }
    assert_eq!(acknowledged, 200);
}
