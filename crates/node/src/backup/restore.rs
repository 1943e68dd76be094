//! A backup becomes the state of a stopped node, here or on another machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use smr_config::Config;
use smr_pki::{DataKey, SecretString, ensure_private_dir};
use smr_wire::BackupInfo;

use super::{data_key_path, file, prove, refuse_a_running_node, told};
use crate::{
    record::{self, NodeRecord},
    run::{FIRST_NODE, store_dir},
};

/// How a backup is restored.
#[derive(Debug, Default)]
pub struct Restore<'a> {
    /// Passphrase the backup was made with.
    pub passphrase: Option<&'a SecretString>,
    /// Name of the node from now on; what it was called before, or the configured one, unless given.
    pub name: Option<String>,
    /// Whether state that is there is put aside.
    pub replace: bool,
    /// Whether a file of the first format, which proves nothing, is taken.
    pub unproved: bool,
}

/// Makes the state of the stopped node of `config` that of the backup `path`. At its next start the node is
/// the only member of the cluster; all other members that the backup knows are removed then. What is
/// there already stays beside the new state, with the time in its name.
///
/// # Errors
/// A backup that is damaged, was changed, or cannot be proved to be authentic; a node that runs; state
/// that is there without [`Restore::replace`]. Nothing is changed then.
pub fn restore_backup(
    path: &Path,
    config: &Config,
    how: &Restore<'_>,
) -> anyhow::Result<BackupInfo> {
    let data = &config.data.dir;
    let store = store_dir(config);
    if store.exists() {
        refuse_a_running_node(&store)?;
        if !how.replace {
            bail!(
                "`{}` has state already; restore with `--force` to put it aside",
                store.display()
            );
        }
    }
    file::read(path, &mut io::sink())?;
    ensure_private_dir(data)?;
    let scratch = Scratch::new(data)?;
    // From here on only the copy is looked at: the file may be in a place where others write.
    let complete = file::read(path, &mut scratch.copy()?)?;
    let key = prove(&complete, Some(data), how.passphrase)?;
    refuse_what_nobody_vouches_for(&complete, key.as_ref(), how, config)?;
    let before = NodeRecord::load(data)?;
    let record = record(&complete, before.as_ref(), config, how);
    let new_store = scratch.dir.join("store");
    let info = smr_store::restore_backup_as(&scratch.file(), &new_store, record.id)?;

    let mut swap = Swap::new();
    let swapped = (|| {
        let pki = data.join("pki");
        if let Some(key) = &key
            && !is_that_of(key, config)?
        {
            // Node key and certificates there are of another cluster.
            swap.put_aside(&pki)?;
            ensure_private_dir(&pki)?;
            swap.made(&pki);
            key.save(&data_key_path(config))?;
        }
        swap.put_aside(&data.join(record::FILE))?;
        swap.put_aside(&store)?;
        fs::rename(&new_store, &store)
            .with_context(|| format!("cannot move the state to `{}`", store.display()))?;
        swap.made(&store);
        // Last: a node without it never takes others for gone.
        record.save(data)
    })();
    if let Err(error) = swapped {
        swap.undo();
        return Err(error);
    }
    Ok(told(&info, &complete, key.is_some()))
}

fn refuse_what_nobody_vouches_for(
    complete: &file::Complete,
    key: Option<&DataKey>,
    how: &Restore<'_>,
    config: &Config,
) -> anyhow::Result<()> {
    let Some(note) = &complete.note else {
        if how.unproved {
            return Ok(());
        }
        bail!(
            "it is of the first format, which does not show whether somebody changed it; if you \
             know where it was, restore it with `--unproved`"
        );
    };
    if key.is_some() {
        return Ok(());
    }
    let here = data_key_path(config);
    if note.key.is_some() {
        bail!(
            "the data key of cluster `{}` is sealed in it and not in `{}`; give the passphrase with \
             `--passphrase-file FILE`",
            note.cluster,
            here.display()
        );
    }
    bail!(
        "it was made without a passphrase, so what is sealed in it opens only with the data key of \
         cluster `{}`; put `pki/data.key` of one of its nodes at `{}`",
        note.cluster,
        here.display()
    )
}

/// Whether the data key at hand is this one.
fn is_that_of(key: &DataKey, config: &Config) -> anyhow::Result<bool> {
    let print = |key: &DataKey| key.fingerprint("same", b"");
    Ok(DataKey::load(&data_key_path(config))?.is_some_and(|here| print(&here) == print(key)))
}

/// Who the node is from now on. It keeps its id when it was a member of that cluster, and takes that of the
/// node the backup was made on else: that node's replicas then have a home.
fn record(
    complete: &file::Complete,
    before: Option<&NodeRecord>,
    config: &Config,
    how: &Restore<'_>,
) -> NodeRecord {
    let note = complete.note.as_ref();
    let same = |record: &&NodeRecord| note.is_none_or(|note| note.cluster == record.cluster);
    let before = before.filter(same);
    let id = config.node.id.or(before.map(|it| it.id)).or(note.map(|it| it.node));
    let name = how.name.clone().or_else(|| before.map(|it| it.name.clone()));
    NodeRecord {
        id: id.unwrap_or(FIRST_NODE),
        name: name.unwrap_or_else(|| config.node.name.clone()),
        cluster: match note {
            Some(note) => note.cluster.clone(),
            None => before.map(|it| it.cluster.clone()).unwrap_or_default(),
        },
        joined: false,
        epoch: before.map_or(0, |it| it.epoch).max(note.map_or(0, |it| it.epoch)),
        alone: true,
    }
}

/// Where a restore works until everything is known to be good.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new(data: &Path) -> anyhow::Result<Self> {
        let dir = data.join("restoring");
        if dir.exists() {
            fs::remove_dir_all(&dir)
                .with_context(|| format!("cannot clear `{}`", dir.display()))?;
        }
        ensure_private_dir(&dir)?;
        Ok(Self { dir })
    }

    fn file(&self) -> PathBuf {
        self.dir.join("backup")
    }

    fn copy(&self) -> anyhow::Result<BufWriter<File>> {
        let path = self.file();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        Ok(BufWriter::new(file.with_context(|| format!("cannot write `{}`", path.display()))?))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What was moved and made so far, to be undone in reverse.
struct Swap {
    suffix: String,
    steps: Vec<Step>,
}

enum Step {
    Aside { from: PathBuf, to: PathBuf },
    Made(PathBuf),
}

impl Swap {
    fn new() -> Self {
        Self { suffix: format!("until-{}", Timestamp::now().as_second()), steps: Vec::new() }
    }

    /// Moves what is at `path`, if anything is, to a name with the time in it.
    fn put_aside(&mut self, path: &Path) -> anyhow::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let to = path.with_file_name(format!("{name}.{}", self.suffix));
        match fs::rename(path, &to) {
            Ok(()) => self.steps.push(Step::Aside { from: path.to_owned(), to }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot move `{}` aside", path.display()));
            }
        }
        Ok(())
    }

    fn made(&mut self, path: &Path) {
        self.steps.push(Step::Made(path.to_owned()));
    }

    /// Brings back what was there; as much of it as possible.
    fn undo(self) {
        for step in self.steps.into_iter().rev() {
            let _ = match step {
                Step::Aside { from, to } => fs::rename(to, from),
                Step::Made(path) => fs::remove_dir_all(path),
            };
        }
    }
}

#[cfg(test)]
mod tests;
