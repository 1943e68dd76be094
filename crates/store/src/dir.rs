//! The data directory: modes, lock, format file, and file operations that survive a power loss.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use fs2::FileExt;

use crate::{NodeId, OpenError};

/// Version of the directory layout.
pub(crate) const FORMAT: u32 = 1;

/// The locked data directory. The lock ends with the process or with this value.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) root: PathBuf,
    lock: File,
}

impl DataDir {
    /// Creates the directory when missing, locks it, and checks that it is ours to read.
    pub(crate) fn open(root: &Path, node_id: NodeId) -> Result<Self, OpenError> {
        let unwritable = |source| OpenError::Unwritable { dir: root.to_owned(), source };
        create_root(root).map_err(unwritable)?;
        let lock = create_file(&root.join("lock"), false).map_err(unwritable)?;
        if lock.try_lock_exclusive().is_err() {
            return Err(OpenError::Locked { dir: root.to_owned() });
        }
        let dir = Self { root: root.to_owned(), lock };
        dir.check_format(node_id)?;
        for sub in [dir.wal(), dir.snapshots()] {
            create_dir(&sub).map_err(|source| OpenError::Unwritable { dir: sub, source })?;
        }
        sync_dir(root).map_err(unwritable)?;
        Ok(dir)
    }

    /// Whose directory it is, if no node runs on it. Changes nothing.
    pub(crate) fn peek(root: &Path) -> Result<NodeId, OpenError> {
        let file = root.join("format");
        let failed = |source| OpenError::Io { file: file.clone(), source };
        let text = fs::read_to_string(&file).map_err(failed)?;
        let lock = root.join("lock");
        let lock = File::open(&lock).map_err(|source| OpenError::Io { file: lock, source })?;
        if lock.try_lock_shared().is_err() {
            return Err(OpenError::Locked { dir: root.to_owned() });
        }
        let node = text.lines().nth(1).and_then(|line| line.strip_prefix("node ")?.parse().ok());
        node.ok_or(OpenError::Damaged { file, offset: 0, what: "no node identity" })
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.root.join("wal")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn unlock(&self) {
        // Closing the file would unlock as well; a failure here changes nothing.
        let _ = FileExt::unlock(&self.lock);
    }

    fn check_format(&self, node_id: NodeId) -> Result<(), OpenError> {
        let file = self.root.join("format");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = format!("smr-store {FORMAT}\nnode {node_id}\n");
                return write_durably(&file, text.as_bytes()).map_err(|source| {
                    if is_full(&source) {
                        OpenError::DiskFull { dir: self.root.clone(), source }
                    } else {
                        OpenError::Unwritable { dir: self.root.clone(), source }
                    }
                });
            }
            Err(source) => return Err(OpenError::Io { file, source }),
        };
        let mut lines = text.lines();
        let number = |line: Option<&str>, word: &str| -> Option<u64> {
            line?.strip_prefix(word)?.trim().parse().ok()
        };
        let Some(found) = number(lines.next(), "smr-store ") else {
            return Err(OpenError::Damaged { file, offset: 0, what: "no format version" });
        };
        if found > u64::from(FORMAT) {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(OpenError::NewerFormat { file, found, supported: FORMAT });
        }
        match number(lines.next(), "node ") {
            Some(found) if found == node_id => Ok(()),
            Some(found) => {
                Err(OpenError::OtherNode { dir: self.root.clone(), found, wanted: node_id })
            }
            None => Err(OpenError::Damaged { file, offset: 0, what: "no node identity" }),
        }
    }
}

/// Creates a directory and its parents, readable for the owner only; an existing one is left alone.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates the data directory so that it outlives a loss of power, with the parents it needed.
fn create_root(root: &Path) -> io::Result<()> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let created: Vec<&Path> = root.ancestors().take_while(missing).collect();
    create_dir(root)?;
    for path in created {
        match sync_dir(parent(path)) {
            // A parent that may be entered but not read cannot be synced.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    Ok(())
}

/// The directory a path lies in.
fn parent(path: &Path) -> &Path {
    // A bare name has the empty path as its parent.
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file for reading and writing, created with mode 0600 when missing.
pub(crate) fn create_file(path: &Path, truncate: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)?;
    if truncate {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Makes creations, renames and removals in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Renames durably: the file must be synced already.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_dir(parent(to))
}

/// Writes a whole file so that after a power loss it is there in full or not at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = create_file(&temporary, true)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename_durably(&temporary, path)
}

/// Whether an error means that the disk or the quota is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_bare_name_is_the_current_one() {
        assert_eq!(parent(Path::new("name")), Path::new("."));
        assert_eq!(parent(Path::new("a/name")), Path::new("a"));
        assert_eq!(parent(Path::new("/name")), Path::new("/"));
    }
}
