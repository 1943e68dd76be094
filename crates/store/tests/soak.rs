//! Writers, watches, snapshots, compactions and restarts at random, compared with a model.
//!
//! `SMR_SOAK_SECONDS` asks for more than the short run of every day.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use smr_store::{
    CmpOp, Compare, Error, Event, EventKind, KeyRange, KeyValue, Op, Options, Revision, Store, Txn,
    Watch,
};

/// Far more than any call may take, even on a machine that is busy with other things.
const STALL: Duration = Duration::from_secs(60);
const WRITERS: u64 = 6;
const KEYS: u64 = 40;

/// A small generator of random numbers (xorshift).
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

type Model = BTreeMap<String, KeyValue>;

fn small(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = 64 * 1024;
    options.snapshot_log_bytes = 256 * 1024;
    options.keep_entries = 10;
    options.keep_revisions = 2_000;
    options
}

async fn in_time<T>(what: &str, call: impl Future<Output = T>) -> T {
    tokio::time::timeout(STALL, call).await.unwrap_or_else(|_| panic!("{what} stalled"))
}

/// Changes keys of its own until told to stop; returns them and the last revision it made.
async fn write(store: Store, writer: u64, mut model: Model, stop: Arc<AtomicBool>) -> Writer {
    let mut random = Random::new();
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("/w{writer}/{:02}", random.below(KEYS));
        let known = model.get(&key).cloned();
        let length = if random.below(50) == 0 { 60_000 } else { random.below(600) };
        let value = vec![b'a' + random.below(26) as u8; length as usize];
        let found = known.as_ref().map_or(0, |kv| kv.mod_revision);
        let txn = match random.below(5) {
            0 => Txn::new().then(Op::delete(&*key)),
            1 => Txn::new()
                .when(Compare::mod_revision(&*key, CmpOp::Equal, found + 1))
                .then(Op::put(&*key, "never")),
            _ => Txn::new()
                .when(Compare::mod_revision(&*key, CmpOp::Equal, found))
                .then(Op::put(&*key, value.clone())),
        };
        let (deletes, wrong) = (
            txn.compares.is_empty(),
            matches!(&txn.compares[..], [c] if *c
            == Compare::mod_revision(&*key, CmpOp::Equal, found + 1)),
        );
        let outcome = in_time("a write", store.txn(txn)).await.unwrap();
        assert_eq!(outcome.succeeded, !wrong, "{key}");
        if wrong {
            continue;
        }
        if deletes {
            if known.is_some() {
                model.remove(&key);
                last = outcome.revision;
            }
        } else {
            last = outcome.revision;
            let kv = KeyValue {
                key: key.clone(),
                value,
                create_revision: known.as_ref().map_or(last, |kv| kv.create_revision),
                mod_revision: last,
                version: known.map_or(0, |kv| kv.version) + 1,
                lease: 0,
            };
            model.insert(key.clone(), kv);
        }
        assert_eq!(store.get(&key).unwrap().as_ref(), model.get(&key), "own write is read");
    }
    Writer { model, last }
}

struct Writer {
    model: Model,
    last: Revision,
}

/// Every event says what was there before, so a gap or a repetition cannot go unnoticed.
fn follow(seen: &mut Model, event: &Event) {
    assert_eq!(seen.get(&event.kv.key), event.prev.as_ref(), "gap or repetition");
    match event.kind {
        EventKind::Put => seen.insert(event.kv.key.clone(), event.kv.clone()),
        EventKind::Delete => seen.remove(&event.kv.key),
    };
}

/// Follows a prefix up to `goal` (0: not known yet), at times slowly; begins anew where history is gone.
async fn follow_all(store: Store, prefix: String, lazy: bool, goal: Arc<AtomicU64>) -> Model {
    let mut random = Random::new();
    let (mut seen, mut watch) = begin(&store, &prefix);
    loop {
        let wanted = goal.load(Ordering::Acquire);
        if wanted > 0 && watch.next_revision() > wanted {
            return seen;
        }
        if lazy && wanted == 0 && random.below(20) == 0 {
            // Falls behind by some revisions, or by more than is kept.
            let behind = store.revision() + random.below(3_000);
            while store.revision() < behind && goal.load(Ordering::Acquire) == 0 {
                tokio::task::yield_now().await;
            }
        }
        // The goal may be set while nothing comes any more, so the wait is short.
        let next = tokio::time::timeout(Duration::from_millis(200), watch.next()).await;
        match next {
            Ok(Some(Ok(batch))) => {
                assert!(batch.revision < watch.next_revision() && !batch.events.is_empty());
                for event in batch.events.iter() {
                    assert_eq!(event.kv.mod_revision, batch.revision);
                    follow(&mut seen, event);
                }
            }
            Ok(Some(Err(Error::Compacted { .. }))) if lazy => {
                (seen, watch) = begin(&store, &prefix)
            }
            Ok(other) => panic!("{prefix}: {other:?}"),
            Err(_) if wanted > 0 => {
                // Nothing is on its way: the last change of this prefix must have been seen.
                assert!(watch.next_revision() > wanted, "{prefix}: {watch:?} wants {wanted}");
            }
            Err(_) => {}
        }
    }
}

fn begin(store: &Store, prefix: &str) -> (Model, Watch) {
    loop {
        let all = store.list(prefix).unwrap();
        match store.watch(KeyRange::prefix(prefix), Some(all.revision + 1)) {
            Ok(watch) => {
                return (all.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect(), watch);
            }
            Err(Error::Compacted { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn disturb(store: Store, dir: std::path::PathBuf, stop: Arc<AtomicBool>) {
    let mut random = Random::new();
    while !stop.load(Ordering::Relaxed) {
        match random.below(4) {
            0 => in_time("a snapshot", store.snapshot()).await.unwrap(),
            1 => {
                let revision = store.revision().saturating_sub(random.below(1_000)).max(1);
                match in_time("a compaction", store.compact(revision)).await {
                    Ok(()) | Err(Error::Compacted { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            2 => {
                let file = dir.join("backup");
                let made = in_time("a backup", store.backup(&file)).await.unwrap();
                assert_eq!(smr_store::verify_backup(&file).unwrap(), made);
            }
            _ => {
                let lease = in_time("a lease", store.grant_lease(0, 100)).await.unwrap();
                let put = Txn::new().then(Op::put_leased("/leased", "x", lease.id));
                in_time("a leased write", store.txn(put)).await.unwrap();
                in_time("a revocation", store.revoke_lease(lease.id)).await.unwrap();
                assert_eq!(store.get("/leased").unwrap(), None);
            }
        }
        let until = store.revision() + random.below(200);
        while store.revision() < until && !stop.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    }
}

async fn round(dir: &Path, models: Vec<Model>, time: Duration) -> Vec<Model> {
    let store = in_time("opening", Store::open(small(dir))).await.unwrap();
    for (writer, model) in models.iter().enumerate() {
        let found = store.list(&format!("/w{writer}/")).unwrap().kvs;
        assert!(found.iter().eq(model.values()), "writer {writer} after the restart");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let goals: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let watches: Vec<_> = (0..WRITERS * 2)
        .map(|i| {
            let (writer, goal) = (i / 2, Arc::clone(&goals[(i / 2) as usize]));
            tokio::spawn(follow_all(store.clone(), format!("/w{writer}/"), i % 2 == 1, goal))
        })
        .collect();
    let writers: Vec<_> = models
        .into_iter()
        .enumerate()
        .map(|(writer, model)| {
            tokio::spawn(write(store.clone(), writer as u64, model, Arc::clone(&stop)))
        })
        .collect();
    let mut disturber = tokio::spawn(disturb(store.clone(), dir.to_owned(), Arc::clone(&stop)));
    // For that long; should it end by itself, it panicked, and that is told below.
    let ended = tokio::time::timeout(time, &mut disturber).await;
    assert!(ended.is_err(), "the disturbance ended by itself: {ended:?}");
    stop.store(true, Ordering::Relaxed);
    let mut models = Vec::new();
    for (writer, goal) in writers.into_iter().zip(&goals) {
        let writer = writer.await.unwrap();
        goal.store(writer.last.max(1), Ordering::Release);
        models.push(writer.model);
    }
    disturber.await.unwrap();
    for (i, watch) in watches.into_iter().enumerate() {
        assert_eq!(watch.await.unwrap(), models[i / 2], "watch {i}");
    }
    in_time("shutdown", store.shutdown()).await;
    models
}

#[tokio::test(flavor = "multi_thread")]
async fn random_work_agrees_with_the_model() {
    let seconds = std::env::var("SMR_SOAK_SECONDS").map_or(4, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut models = vec![Model::new(); WRITERS as usize];
    let begin = Instant::now();
    let mut rounds = 0;
    while begin.elapsed() < Duration::from_secs(seconds) {
        models = round(dir.path(), models, Duration::from_secs(seconds.div_ceil(12))).await;
        rounds += 1;
        if rounds % 2 == 0 {
            // Everything must come back from snapshot and log.
            std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        }
    }
    let store = Store::open(small(dir.path())).await.unwrap();
    println!("{rounds} rounds, {:?}", store.status());
    store.shutdown().await;
}
