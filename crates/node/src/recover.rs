//! After the loss of a quorum: what this node's disk knows, and how it goes on alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use smr_config::Config;
use smr_store::Member;

use crate::{backup::refuse_a_running_node, record::NodeRecord, run::store_dir};

/// What the disk of a stopped node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCopy {
    /// Id of the node.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Id of its cluster.
    pub cluster: String,
    /// How often it was started.
    pub epoch: u64,
    /// Newest term it took part in.
    pub term: u64,
    /// Term of its last log entry.
    pub last_log_term: u64,
    /// Index of its last log entry.
    pub last_log_index: u64,
    /// Last entry it knows to be committed.
    pub committed_index: u64,
    /// Ids of members with a vote, itself included if it has one.
    pub voters: Vec<u64>,
    /// All members as of its last log entry.
    pub members: Vec<MemberAddress>,
}

/// A member and where other nodes reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddress {
    /// Its id.
    pub id: u64,
    /// `host:port`; may be empty.
    pub address: String,
}

/// Reads what the disk of the stopped node of `config` knows. Changes nothing.
///
/// # Errors
/// A node that runs; a directory without a member; damaged files.
pub fn survey(config: &Config) -> anyhow::Result<LocalCopy> {
    let data = &config.data.dir;
    let store = store_dir(config);
    let (Some(record), true) = (NodeRecord::load(data)?, store.exists()) else {
        bail!(
            "`{}` holds no node that was a member of a cluster; if its data is elsewhere, name it with \
             `--data-dir` or `--config`",
            data.display()
        );
    };
    refuse_a_running_node(&store)?;
    let known = smr_store::inspect(&store)?;
    let address = |member: Member| MemberAddress { id: member.id, address: member.address };
    Ok(LocalCopy {
        id: record.id,
        name: record.name,
        cluster: record.cluster,
        epoch: record.epoch,
        term: known.term,
        last_log_term: known.last_log_term,
        last_log_index: known.last_log_index,
        committed_index: known.committed_index,
        voters: known.voters,
        members: known.members.into_iter().map(address).collect(),
    })
}

/// Makes the stopped node of `config` the only member of its cluster; the others are removed when it
/// starts. What it had in log and snapshots is kept beside it, in the directory that is returned.
///
/// # Errors
/// Those of [`survey`]; a disk without room. The node is as it was then.
pub fn recover(config: &Config) -> anyhow::Result<PathBuf> {
    let data = &config.data.dir;
    let local = survey(config)?;
    let store = store_dir(config);
    let kept = data.join(format!("store.until-{}", Timestamp::now().as_second()));
    if let Err(error) = keep(&store, &kept) {
        let _ = fs::remove_dir_all(&kept);
        return Err(error).with_context(|| {
            format!("cannot keep a copy of `{}` in `{}`", store.display(), kept.display())
        });
    }
    let survivor = Member { id: local.id, address: config.cluster.address.clone() };
    if let Err(error) = smr_store::recover(&store, &survivor) {
        let _ = fs::remove_dir_all(&kept);
        return Err(error.into());
    }
    let record = NodeRecord::load(data)?.context("the node's record has vanished")?;
    NodeRecord { alone: true, ..record }.save(data)?;
    Ok(kept)
}

/// Everything the applied state can be made of again.
fn keep(store: &Path, to: &Path) -> io::Result<()> {
    smr_pki::ensure_private_dir(to).map_err(io::Error::other)?;
    fs::copy(store.join("format"), to.join("format"))?;
    fs::File::create(to.join("lock"))?;
    for part in ["wal", "snapshots"] {
        let (from, to) = (store.join(part), to.join(part));
        fs::create_dir(&to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use smr_store::{Options, Store};

    use super::*;

    fn config(dir: &Path) -> Config {
        let host = smr_config::Host { hostname: "n".to_owned(), home: dir.to_owned() };
        let text = format!("[data]\ndir = \"{}\"\n", dir.join("data").display());
        Config::parse(&text, "smr.toml", &host).unwrap()
    }

    #[tokio::test]
    async fn a_survivor_keeps_its_state_and_what_its_log_was() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let error = survey(&config).unwrap_err().to_string();
        assert!(error.contains("holds no node that was a member"), "{error}");

        let store = Store::open(Options::new(store_dir(&config))).await.unwrap();
        store.put("/a", "b").await.unwrap();
        let record = NodeRecord {
            id: 1,
            name: "n1".into(),
            cluster: "c".into(),
            joined: true,
            epoch: 4,
            alone: false,
        };
        record.save(&config.data.dir).unwrap();
        let error = survey(&config).unwrap_err().to_string();
        assert!(error.contains("a node runs on"), "{error}");
        assert!(recover(&config).is_err());
        assert_eq!(NodeRecord::load(&config.data.dir).unwrap(), Some(record.clone()));
        store.shutdown().await;

        let local = survey(&config).unwrap();
        assert_eq!((local.id, local.name.as_str(), local.epoch), (1, "n1", 4));
        assert_eq!(local.voters, [1]);
        assert!(local.last_log_index > 0 && local.last_log_index >= local.committed_index);
        let kept = recover(&config).unwrap();
        assert_eq!(smr_store::inspect(&kept).unwrap().last_log_index, local.last_log_index);
        let after = NodeRecord::load(&config.data.dir).unwrap().unwrap();
        assert_eq!(after, NodeRecord { alone: true, ..record });
        let store = Store::open(Options::new(store_dir(&config))).await.unwrap();
        store.barrier().await.unwrap();
        assert_eq!(store.get("/a").unwrap().unwrap().value, b"b");
        store.shutdown().await;
    }
}
