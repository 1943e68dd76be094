//! One node, used as the rest of the product uses it.

use std::time::Duration;

use smr_store::{
    CmpOp, Compare, Error, EventKind, KeyRange, Op, Options, RangeQuery, Store, Txn,
    restore_backup, verify_backup,
};

fn options(dir: &tempfile::TempDir) -> Options {
    Options::new(dir.path().join("data"))
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_restores_everything_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    assert!(store.is_leader());
    assert_eq!(store.revision(), 1);
    assert_eq!(store.put("/a", "1").await.unwrap(), 2);
    assert_eq!(store.put("/b", "2").await.unwrap(), 3);
    assert_eq!(store.delete("/a").await.unwrap(), Some(4));
    assert_eq!(store.delete("/a").await.unwrap(), None);
    let lease = store.grant_lease(0, 3600).await.unwrap();
    store.txn(Txn::new().then(Op::put_leased("/c", "3", lease.id))).await.unwrap();
    let before = store.list("").unwrap();
    store.shutdown().await;
    assert!(matches!(store.put("/late", "x").await, Err(Error::Stopped)));
    assert!(matches!(store.get("/b"), Err(Error::Stopped)));

    let store = Store::open(options(&dir)).await.unwrap();
    assert_eq!(store.list("").unwrap(), before);
    assert_eq!(store.leases().unwrap(), [lease]);
    assert_eq!(store.barrier().await.unwrap(), before.revision);
    assert_eq!(store.range(&RangeQuery::prefix("").at(2)).unwrap().kvs[0].key, "/a");
    assert_eq!(store.put("/d", "4").await.unwrap(), before.revision + 1);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_compare_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    let first = store.put("/a", "1").await.unwrap();
    let txn = Txn::new()
        .when(Compare::mod_revision("/a", CmpOp::Equal, first + 7))
        .then(Op::put("/a", "2"))
        .or_else(Op::get("/a"));
    let outcome = store.txn(txn).await.unwrap();
    assert!(!outcome.succeeded);
    assert_eq!(outcome.revision, first);
    assert_eq!(store.get("/a").unwrap().unwrap().value, b"1");
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_replays_history_and_goes_on_live_without_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    let first = store.put("/w/1", "x").await.unwrap();
    store.put("/other", "x").await.unwrap();
    store.delete("/w/1").await.unwrap();
    let mut watch = store.watch(KeyRange::prefix("/w/"), Some(first)).unwrap();
    let mut fresh = store.watch(KeyRange::key("/w/2"), None).unwrap();
    store.put("/w/2", "y").await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let batch = watch.next().await.unwrap().unwrap();
        seen.push((batch.revision, batch.events[0].kind, batch.events[0].kv.key.clone()));
    }
    assert_eq!(
        seen,
        [
            (first, EventKind::Put, "/w/1".to_owned()),
            (first + 2, EventKind::Delete, "/w/1".to_owned()),
            (first + 3, EventKind::Put, "/w/2".to_owned()),
        ]
    );
    assert_eq!(fresh.next().await.unwrap().unwrap().revision, first + 3);
    store.shutdown().await;
    assert!(watch.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watch_never_blocks_writers_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    let mut watch = store.watch(KeyRange::All, None).unwrap();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0..20 {
                    store.put(format!("/{writer}/{i}"), "v").await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for expected in 2..=1 + 64 * 20 {
        assert_eq!(watch.next().await.unwrap().unwrap().revision, expected);
    }
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_where_to_resume_while_it_still_replays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    for i in 0..5 {
        store.put("/a", format!("{i}")).await.unwrap();
    }
    let mut watch = store.watch(KeyRange::All, Some(2)).unwrap();
    for revision in 2..=6 {
        assert_eq!(watch.next_revision(), revision);
        assert_eq!(watch.next().await.unwrap().unwrap().revision, revision);
    }
    assert_eq!(watch.next_revision(), 7);
    store.shutdown().await;
}

/// Nothing happened in its range for so long that history is gone; then too much at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_watch_outlives_compaction_and_a_burst() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    let mut watch = store.watch(KeyRange::prefix("/quiet/"), None).unwrap();
    for i in 0..20 {
        store.put(format!("/other/{i}"), "x").await.unwrap();
    }
    store.compact(20).await.unwrap();
    let first = store.revision() + 1;
    for i in 0..400 {
        store.put(format!("/quiet/{i}"), "x").await.unwrap();
    }
    for revision in first..first + 400 {
        assert_eq!(watch.next().await.unwrap().unwrap().revision, revision);
    }
    store.shutdown().await;
}

/// A store whose handles are gone may still be finishing; nobody else may write meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_dropped_without_shutdown_frees_its_directory_only_when_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=20 {
        let store = loop {
            match Store::open(options(&dir)).await {
                Ok(store) => break store,
                Err(smr_store::OpenError::Locked { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        };
        store.put(format!("/k{round}"), "v").await.unwrap();
        assert_eq!(store.list("/k").unwrap().count, round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_of_compacted_history_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    for i in 0..10 {
        store.put("/a", format!("{i}")).await.unwrap();
    }
    store.compact(8).await.unwrap();
    let refused = store.watch(KeyRange::All, Some(8)).map(|_| ());
    assert!(matches!(refused, Err(Error::Compacted { requested: 8, compacted: 8 })));
    let mut watch = store.watch(KeyRange::All, Some(9)).unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().revision, 9);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    let before = store.status();
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0..10 {
                    store.put(format!("/{writer}/{i}"), vec![0; 256]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let syncs = store.status().syncs - before.syncs;
    assert!(syncs < 320, "640 writes of 64 writers took {syncs} syncs");
    assert_eq!(store.list("/").unwrap().count, 640);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_purge_and_restart_keep_state_and_history() {
    let dir = tempfile::tempdir().unwrap();
    let small = || {
        let mut options = options(&dir);
        options.segment_bytes = 64 * 1024;
        options.snapshot_log_bytes = 128 * 1024;
        options.keep_entries = 10;
        options
    };
    let store = Store::open(small()).await.unwrap();
    for i in 0..1500 {
        store.put(format!("/k{}", i % 100), vec![b'v'; 300]).await.unwrap();
    }
    assert!(store.status().snapshot_index > 0, "a snapshot was made");
    let before = store.list("").unwrap();
    store.shutdown().await;
    let segments = std::fs::read_dir(dir.path().join("data/wal")).unwrap().count();
    assert!(segments < 8, "old log files are gone, `{segments}` left");

    // Sled gone: everything comes back from snapshot and log.
    std::fs::remove_dir_all(dir.path().join("data/state")).unwrap();
    let store = Store::open(small()).await.unwrap();
    assert_eq!(store.list("").unwrap(), before);
    let mut watch = store.watch(KeyRange::All, Some(2)).unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().revision, 2);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_expires_and_takes_its_keys_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    let lease = store.grant_lease(7, 1).await.unwrap();
    let mut watch = store.watch(KeyRange::All, None).unwrap();
    store.txn(Txn::new().then(Op::put_leased("/l", "x", lease.id))).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().events[0].kind, EventKind::Put);
    let gone = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap();
    assert_eq!(gone.unwrap().unwrap().events[0].kind, EventKind::Delete);
    assert_eq!(store.lease(7).unwrap(), None);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_compacted_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir);
    options.keep_revisions = 100;
    let store = Store::open(options).await.unwrap();
    for i in 0..300 {
        store.put("/a", format!("{i}")).await.unwrap();
    }
    let status = store.status();
    assert!(status.compacted > 0 && status.revision - status.compacted < 200, "{status:?}");
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_consistent_verifiable_and_restorable() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(&dir)).await.unwrap();
    for i in 0..5000 {
        store.put(format!("/k{i:05}"), "v").await.unwrap();
        if i == 3000 {
            break;
        }
    }
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..300 {
                store.put(format!("/k{i:05}"), "changed").await.unwrap();
                store.put(format!("/new{i:05}"), "n").await.unwrap();
            }
        })
    };
    let file = dir.path().join("backup.smr");
    let made = store.backup(&file).await.unwrap();
    let wanted = store.range(&RangeQuery::prefix("").at(made.revision)).unwrap().kvs;
    writer.await.unwrap();
    store.shutdown().await;

    assert_eq!(verify_backup(&file).unwrap(), made);
    let target = dir.path().join("restored");
    assert_eq!(restore_backup(&file, &target).unwrap(), made);
    assert!(restore_backup(&file, &target).is_err(), "not into a directory in use");
    for _ in 0..2 {
        let store = Store::open(Options::new(&target)).await.unwrap();
        assert_eq!(store.list("/k").unwrap().kvs.len(), 3001);
        let at = store.range(&RangeQuery::prefix("").at(made.revision)).unwrap();
        assert_eq!(at.kvs, wanted);
        assert_eq!(store.put("/after", "x").await.unwrap(), at.revision + 1);
        store.shutdown().await;
    }

    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    assert!(verify_backup(&file).is_err());
    let target = dir.path().join("never");
    assert!(restore_backup(&file, &target).is_err());
    assert!(!target.exists());
}

/// Files are allocated, started, retired and reused all at once; none may be taken for another.
#[tokio::test(flavor = "multi_thread")]
async fn log_files_that_come_and_go_under_load_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let small = || {
        let mut options = options(&dir);
        options.segment_bytes = 16 * 1024;
        options.snapshot_log_bytes = 64 * 1024;
        options.keep_entries = 5;
        options
    };
    for round in 0..5 {
        let store = Store::open(small()).await.unwrap();
        assert_eq!(store.list("/f/").unwrap().count, round * 8 * 100);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for i in 0..100 {
                        let key = format!("/f/{round}/{writer}/{i}");
                        store.put(key, vec![b'x'; 1000]).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        store.shutdown().await;
        // Everything must come from snapshot and log.
        std::fs::remove_dir_all(dir.path().join("data/state")).unwrap();
    }
}
