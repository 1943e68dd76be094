//! Backups come back on fresh, foreign and former members' directories.

use smr_pki::KeyLock;
use smr_store::{Options, Store};

use super::{
    super::{
        file::{
            Note, finish,
            tests::{CHEAP, note, phrase},
        },
        verify_backup,
    },
    *,
};

fn config(dir: &Path) -> Config {
    let host = smr_config::Host { hostname: "machine".to_owned(), home: dir.to_owned() };
    let text = format!("[data]\ndir = \"{}\"\n", dir.join("data").display());
    Config::parse(&text, "smr.toml", &host).unwrap()
}

fn key() -> DataKey {
    DataKey::from_bytes(&[7; 32])
}

/// What the store writes, of a store with `/a = b`.
async fn store_backup(dir: &Path) -> PathBuf {
    let store = Store::open(Options::new(dir.join("origin"))).await.unwrap();
    store.put("/a", "b").await.unwrap();
    let path = dir.join("backup");
    store.backup(&path).await.unwrap();
    store.shutdown().await;
    path
}

async fn backup(dir: &Path, sealed: bool) -> PathBuf {
    let path = store_backup(dir).await;
    let mut note: Note = note();
    if sealed {
        note.seal(&KeyLock::new(&phrase(), CHEAP).unwrap(), &key()).unwrap();
    }
    finish(&path, &note, &key()).unwrap();
    path
}

/// Names in a directory, sorted; times in names are left out.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let name = |entry: io::Result<fs::DirEntry>| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.split(".until-").next().unwrap().to_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn on_a_fresh_machine_the_file_and_its_passphrase_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let path = backup(dir.path(), true).await;
    let config = config(dir.path());
    let data = &config.data.dir;
    let refused = |how: &Restore<'_>| {
        let error = restore_backup(&path, &config, how).unwrap_err();
        assert_eq!(names(data), [""; 0], "nothing was made");
        format!("{error:#}")
    };
    let error = refused(&Restore::default());
    assert!(error.contains("--passphrase-file"), "{error}");
    let wrong = SecretString::from("wrong horse battery".to_owned());
    let error = refused(&Restore { passphrase: Some(&wrong), ..Restore::default() });
    assert!(error.contains("not that of this file"), "{error}");

    let phrase = phrase();
    let how =
        Restore { passphrase: Some(&phrase), name: Some("phoenix".into()), ..Restore::default() };
    let info = restore_backup(&path, &config, &how).unwrap();
    assert!(info.authentic && info.has_key);
    assert_eq!((info.cluster.as_str(), info.node.as_str()), ("c", "n3"));
    assert_eq!(names(data), ["node.json", "pki", "store"]);
    let record = NodeRecord::load(data).unwrap().unwrap();
    let expected = NodeRecord {
        id: 3,
        name: "phoenix".into(),
        cluster: "c".into(),
        joined: false,
        epoch: 7,
        alone: true,
    };
    assert_eq!(record, expected);
    assert!(is_that_of(&key(), &config).unwrap());
    let mut options = Options::new(store_dir(&config));
    options.node_id = 3;
    let store = Store::open(options).await.unwrap();
    assert_eq!(store.get("/a").unwrap().unwrap().value, b"b");
    store.shutdown().await;

    let again = restore_backup(&path, &config, &how).unwrap_err().to_string();
    assert!(again.contains("has state already"), "{again}");
}

#[tokio::test]
async fn what_is_there_is_put_aside_and_a_member_stays_who_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = backup(dir.path(), true).await;
    let config = config(dir.path());
    let data = &config.data.dir;
    ensure_private_dir(&store_dir(&config)).unwrap();
    DataKey::from_bytes(&[8; 32]).save(&data_key_path(&config)).unwrap();
    let of = |cluster: &str| NodeRecord {
        id: 5,
        name: "five".into(),
        cluster: cluster.into(),
        joined: true,
        epoch: 9,
        alone: false,
    };
    of("another").save(data).unwrap();
    let phrase = phrase();
    let how = Restore { passphrase: Some(&phrase), replace: true, ..Restore::default() };
    restore_backup(&path, &config, &how).unwrap();
    assert_eq!(names(data), ["node.json", "node.json", "pki", "pki", "store", "store"]);
    let record = NodeRecord::load(data).unwrap().unwrap();
    assert_eq!((record.id, record.name.as_str(), record.epoch), (3, "machine", 7));

    // A member of the same cluster needs no passphrase and keeps its identity.
    of("c").save(data).unwrap();
    let how = Restore { replace: true, ..Restore::default() };
    restore_backup(&path, &config, &how).unwrap();
    let record = NodeRecord::load(data).unwrap().unwrap();
    assert_eq!((record.id, record.name.as_str(), record.epoch), (5, "five", 9));
    assert!(record.alone && !record.joined);
}

#[tokio::test]
async fn without_a_passphrase_only_the_data_key_proves_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = backup(dir.path(), false).await;
    let config = config(dir.path());
    let error = restore_backup(&path, &config, &Restore::default()).unwrap_err().to_string();
    assert!(error.contains("put `pki/data.key`"), "{error}");
    assert!(!verify_backup(&path, Some(&config.data.dir), None).unwrap().authentic);
    key().save(&data_key_path(&config)).unwrap();
    assert!(verify_backup(&path, Some(&config.data.dir), None).unwrap().authentic);
    assert!(restore_backup(&path, &config, &Restore::default()).unwrap().authentic);

    // The same key and cluster, another content: somebody changed it.
    let bytes = fs::read(&path).unwrap();
    let other = dir.path().join("forged");
    fs::write(&other, &bytes[..bytes.len() - 200]).unwrap();
    assert!(verify_backup(&other, None, None).is_err());
}

#[tokio::test]
async fn a_file_of_the_first_format_is_taken_on_ones_word() {
    let dir = tempfile::tempdir().unwrap();
    let path = store_backup(dir.path()).await;
    let config = config(dir.path());
    let error = restore_backup(&path, &config, &Restore::default()).unwrap_err().to_string();
    assert!(error.contains("--unproved"), "{error}");
    assert_eq!(names(&config.data.dir), [""; 0]);
    let how = Restore { unproved: true, ..Restore::default() };
    let info = restore_backup(&path, &config, &how).unwrap();
    assert!(!info.authentic && info.cluster.is_empty());
    assert_eq!(NodeRecord::load(&config.data.dir).unwrap().unwrap().id, 1);
}

#[test]
fn a_swap_that_fails_half_way_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let (pki, store) = (dir.path().join("pki"), dir.path().join("store"));
    for path in [&pki, &store] {
        fs::create_dir(path).unwrap();
        fs::write(path.join("old"), "old").unwrap();
    }
    let mut swap = Swap::new();
    swap.put_aside(&pki).unwrap();
    fs::create_dir(&pki).unwrap();
    swap.made(&pki);
    swap.put_aside(&store).unwrap();
    swap.put_aside(&dir.path().join("missing")).unwrap();
    swap.undo();
    assert_eq!(names(dir.path()), ["pki", "store"]);
    assert!(pki.join("old").exists() && store.join("old").exists());
}
