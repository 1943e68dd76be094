//! What a node remembers of itself outside the store: its id, its cluster, and how often it was
//! started.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use smr_pki::{read_private, write_private};

/// Name of the file in the data directory.
pub(crate) const FILE: &str = "node.json";

/// A node's record of itself. It is written before the node takes part in anything, so a node that is
/// interrupted while it joins goes on as the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    /// Id in the cluster.
    pub(crate) id: u64,
    /// Name in the cluster.
    pub(crate) name: String,
    /// Id of the cluster; empty until the founder has made it.
    #[serde(default)]
    pub(crate) cluster: String,
    /// Whether the state came from elsewhere (a join) or was begun here.
    #[serde(default)]
    pub(crate) joined: bool,
    /// How often the data directory was opened. The cluster remembers the highest count it was told:
    /// a directory with a lower one is an old copy, one with the same is a clone.
    #[serde(default)]
    pub(crate) epoch: u64,
    /// Set by a restore or a recovery: all other members are gone for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) alone: bool,
}

impl NodeRecord {
    fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Reads the record of a data directory, if there is one.
    pub(crate) fn load(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data);
        let Some(bytes) = read_private(&path)? else { return Ok(None) };
        let record = serde_json::from_slice(&bytes).with_context(|| {
            format!("`{}` is damaged; put it back from a backup of the directory", path.display())
        })?;
        Ok(Some(record))
    }

    /// Writes the record; on disk when this returns.
    pub(crate) fn save(&self, data: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        write_private(&Self::path(data), &text)?;
        Ok(())
    }

    /// The record with one start more, on disk.
    pub(crate) fn started(mut self, data: &Path) -> anyhow::Result<Self> {
        self.epoch += 1;
        self.save(data)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_counts_and_nothing_is_lost_on_the_way() {
        let dir = tempfile::TempDir::new().unwrap();
        assert_eq!(NodeRecord::load(dir.path()).unwrap(), None);
        let record = NodeRecord {
            id: 3,
            name: "n3".to_owned(),
            cluster: "c".to_owned(),
            joined: true,
            epoch: 0,
            alone: false,
        };
        let first = record.started(dir.path()).unwrap();
        assert_eq!(NodeRecord::load(dir.path()).unwrap().unwrap(), first);
        assert_eq!(first.started(dir.path()).unwrap().epoch, 2);
        std::fs::write(NodeRecord::path(dir.path()), "{").unwrap();
        assert!(NodeRecord::load(dir.path()).unwrap_err().to_string().contains("is damaged"));
    }
}
