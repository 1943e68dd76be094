//! Damaged, newer, locked, unwritable and full data directories: clear errors, nothing lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use smr_store::{Error, OpenError, Options, Store};

async fn written(dir: &Path, count: usize) -> Store {
    let store = Store::open(Options::new(dir)).await.unwrap();
    for i in 0..count {
        store.put(format!("/k{i}"), format!("value number {i}")).await.unwrap();
    }
    store
}

/// The only log file.
fn log_file(dir: &Path) -> PathBuf {
    dir.join("wal").join(format!("{:020}.wal", 1))
}

/// Offset of the first occurrence of `needle`.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}

fn flip(file: &Path, needle: &[u8]) -> u64 {
    let mut bytes = fs::read(file).unwrap();
    let at = find(&bytes, needle);
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
    at as u64
}

/// Makes the frame with `needle` and what follows look like an append that a loss of power cut.
fn tear(file: &Path, needle: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let at = find(&bytes, needle);
    bytes[at..].fill(0);
    fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_of_the_log_is_dropped_and_everything_before_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 20).await.shutdown().await;
    // The last frame was never acknowledged in this story: its append was cut by a power loss. The
    // applied state is older then too, because entries are applied after they are durable.
    let log = log_file(dir.path());
    tear(&log, b"value number 19");
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let store = Store::open(Options::new(dir.path())).await.unwrap();
    assert!(store.get("/k18").unwrap().is_some());
    assert!(store.get("/k19").unwrap().is_none());
    store.put("/k19", "again").await.unwrap();
    store.shutdown().await;
    let store = Store::open(Options::new(dir.path())).await.unwrap();
    assert_eq!(store.get("/k19").unwrap().unwrap().value, b"again");
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_middle_of_the_log_is_named_with_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 20).await.shutdown().await;
    let log = log_file(dir.path());
    let at = flip(&log, b"value number 7");
    let error = Store::open(Options::new(dir.path())).await.unwrap_err();
    let OpenError::Damaged { file, offset, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*file, log);
    assert!(*offset < at && at - *offset < 200, "frame at {offset}, flipped at {at}");
    let text = error.to_string();
    assert!(text.contains("is damaged at offset") && text.contains(".wal"), "{text}");

    // Nothing was changed: with the bit back in place everything is there.
    let mut bytes = fs::read(&log).unwrap();
    bytes[at as usize] ^= 1;
    fs::write(&log, bytes).unwrap();
    let store = Store::open(Options::new(dir.path())).await.unwrap();
    assert_eq!(store.list("/k").unwrap().count, 20);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_is_told_from_a_torn_one_by_the_applied_state() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 20).await.shutdown().await;
    tear(&log_file(dir.path()), b"value number 19");
    let error = Store::open(Options::new(dir.path())).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Damaged { what, .. } if what.contains("applied")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_the_last_record_is_not_taken_for_a_torn_append() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 20).await.shutdown().await;
    let at = flip(&log_file(dir.path()), b"value number 19");
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    let error = Store::open(Options::new(dir.path())).await.unwrap_err();
    let OpenError::Damaged { offset, .. } = error else { panic!("{error:?}") };
    assert!(offset < at && at - offset < 200, "frame at {offset}, flipped at {at}");
}

/// A store whose log went through several files and was cut behind a snapshot.
async fn rolled(dir: &Path) -> (Options, Vec<PathBuf>) {
    let mut options = Options::new(dir);
    options.segment_bytes = 16 * 1024;
    options.keep_entries = 30;
    let store = Store::open(options.clone()).await.unwrap();
    for i in 0..100 {
        store.put(format!("/k{i}"), vec![b'x'; 1000]).await.unwrap();
        if i == 50 {
            store.snapshot().await.unwrap();
        }
    }
    store.shutdown().await;
    let mut files: Vec<_> = fs::read_dir(dir.join("wal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    (options, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_that_is_missing_or_lost_its_end_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (options, files) = rolled(dir.path()).await;
    // The applied state knows nothing, so the log itself has to tell.
    let forget = || {
        let _ = fs::remove_dir_all(dir.path().join("state"));
    };
    for (place, file) in files.iter().enumerate() {
        let bytes = fs::read(file).unwrap();
        let newest = place + 1 == files.len();
        if !newest {
            forget();
            fs::remove_file(file).unwrap();
            let error = Store::open(options.clone()).await.unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "missing {place}: {error}");

            forget();
            let mut cut = bytes.clone();
            let end = cut.iter().rposition(|byte| *byte != 0).unwrap();
            cut[end - 1100..].fill(0);
            fs::write(file, cut).unwrap();
            let error = Store::open(options.clone()).await.unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "cut {place}: {error}");
        }
        forget();
        let mut headless = bytes.clone();
        headless[70] ^= 1;
        for byte in &mut headless[200..] {
            *byte = 0;
        }
        fs::write(file, headless).unwrap();
        let error = Store::open(options.clone()).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "first record {place}: {error}");
        fs::write(file, bytes).unwrap();
    }
    forget();
    let store = Store::open(options.clone()).await.unwrap();
    assert_eq!(store.list("/k").unwrap().count, 100);
    store.shutdown().await;

    fs::remove_dir_all(dir.path().join("wal")).unwrap();
    let error = Store::open(options).await.unwrap_err().to_string();
    assert!(error.contains("the log is missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_state_that_a_power_loss_may_have_hurt_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 20).await.shutdown().await;
    let note = dir.path().join("state.note");
    assert_eq!(fs::read_to_string(&note).unwrap(), "clean\n");
    let canary = dir.path().join("state/canary");
    for (text, kept) in [("clean\n", true), ("open another-run-of-the-system\n", false)] {
        fs::write(&canary, "").unwrap();
        fs::write(&note, text).unwrap();
        let store = Store::open(Options::new(dir.path())).await.unwrap();
        assert_eq!(canary.exists(), kept, "{text}");
        assert_eq!(store.list("/k").unwrap().count, 20);
        store.shutdown().await;
    }
}

/// A value full of what looks like the beginning of a frame must not mislead a start or slow it down.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_look_like_frames_are_only_values() {
    let dir = tempfile::tempdir().unwrap();
    let store = written(dir.path(), 3).await;
    let fake = b"fRm\x02\x00\x00\x10\x00".repeat(128 * 1024);
    store.put("/fake", fake.clone()).await.unwrap();
    store.shutdown().await;
    tear(&log_file(dir.path()), b"/fake");
    let mut bytes = fs::read(log_file(dir.path())).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + fake.len()].copy_from_slice(&fake);
    fs::write(log_file(dir.path()), bytes).unwrap();
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let begin = std::time::Instant::now();
    let store = Store::open(Options::new(dir.path())).await.unwrap();
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    assert_eq!(store.list("/").unwrap().count, 3);
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_sled_files_are_rebuilt_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = written(dir.path(), 50).await;
    let before = store.list("").unwrap();
    store.shutdown().await;
    for name in ["db", "conf"] {
        let file = dir.path().join("state").join(name);
        let length = fs::metadata(&file).unwrap().len() as usize;
        fs::write(&file, vec![0xa5; length]).unwrap();
        let store = Store::open(Options::new(dir.path())).await.unwrap();
        assert_eq!(store.list("").unwrap(), before, "{name}");
        store.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 1).await.shutdown().await;
    let format = dir.path().join("format");
    let old = fs::read(&format).unwrap();
    fs::write(&format, "smr-store 9\nnode 1\n").unwrap();
    let error = Store::open(Options::new(dir.path())).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "`{}` has format version `9`, this build reads up to `1`; upgrade this node",
            format.display()
        )
    );
    fs::write(&format, old).unwrap();

    let log = log_file(dir.path());
    let mut bytes = fs::read(&log).unwrap();
    bytes[8] = 3;
    let sum = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&sum.to_le_bytes());
    fs::write(&log, bytes).unwrap();
    let error = Store::open(Options::new(dir.path())).await.unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 3, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_or_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = written(dir.path(), 1).await;
    let error = Store::open(Options::new(dir.path())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "data directory `{}` is locked by another process; stop it or choose another directory",
            dir.path().display()
        )
    );
    store.shutdown().await;
    let mut options = Options::new(dir.path());
    options.node_id = 2;
    let error = Store::open(options).await.unwrap_err();
    assert!(matches!(error, OpenError::OtherNode { found: 1, wanted: 2, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(Options::new(file.join("data"))).await.unwrap_err();
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_directories_are_for_the_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = written(&data, 3).await;
    store.snapshot().await.unwrap();
    let mut todo = vec![data];
    while let Some(path) = todo.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
            // What sled creates later follows the umask; its directory keeps others out.
            if !path.ends_with("state") {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    store.shutdown().await;
}

/// A small file system of its own, unmounted at the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(dir))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reads_and_recovers() {
    let Some(disk) = Tmpfs::mount(24) else {
        assert!(std::env::var("SMR_LAB").is_err(), "mounting a file system needs root");
        println!("skipped: mounting a file system needs root");
        return;
    };
    let root = disk.0.path();
    let options = || {
        let mut options = Options::new(root.join("data"));
        options.segment_bytes = 1024 * 1024;
        options.min_free_bytes = 4 * 1024 * 1024;
        options.snapshot_log_bytes = 2 * 1024 * 1024;
        options.keep_revisions = 50;
        options
    };
    let store = Store::open(options()).await.unwrap();
    let ballast = root.join("ballast");
    fs::write(&ballast, vec![1; 12 * 1024 * 1024]).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match store.put(format!("/k{acknowledged:05}"), vec![b'x'; 100_000]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(acknowledged > 0);
    assert_eq!(store.list("/k").unwrap().count, acknowledged, "reads go on");
    assert!(store.put("/more", vec![0; 10]).await.is_err());

    // Not one byte is left, as when something else fills the disk: a start says so and changes nothing.
    store.shutdown().await;
    let rest = root.join("rest");
    let mut filler = fs::File::create(&rest).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    let error = Store::open(options()).await.unwrap_err();
    assert!(matches!(error, OpenError::DiskFull { .. }), "{error}");
    fs::remove_file(&rest).unwrap();
    let store = Store::open(options()).await.unwrap();
    assert_eq!(store.list("/k").unwrap().count, acknowledged, "reads after a restart");
    let error = store.put("/more", vec![0; 10]).await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");

    fs::remove_file(&ballast).unwrap();
    store.put("/after", "x").await.unwrap();
    store.shutdown().await;
    let store = Store::open(options()).await.unwrap();
    assert_eq!(store.list("/k").unwrap().count, acknowledged);
    assert!(store.get("/after").unwrap().is_some());
    store.shutdown().await;
}
