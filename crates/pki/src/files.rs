//! Private files: mode 0600 in directories of mode 0700, replaced atomically and durably.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::PkiError;

/// Whether a file that already exists may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    Keep,
}

/// Creates `dir` and its missing parents with mode 0700; takes away the access of group and
/// others when the directory exists with it. For directories that are ours alone; one that is
/// shared by its nature (sticky, such as `/tmp`) is left as it is.
pub fn ensure_private_dir(dir: &Path) -> Result<(), PkiError> {
    let failed = |source| PkiError::Write { path: dir.to_owned(), source };
    create_dir(dir)?;
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 && mode & 0o1000 == 0 {
        tracing::warn!(path = %dir.display(), "directory was open to others, closing it");
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// Writes `bytes` to `path` with mode 0600: readers see the old or the new content, never a
/// part, and when this returns it is on the disk. Missing directories are made with mode 0700.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    write(path, bytes, 0o600, Existing::Replace)
}

/// Like [`write_private`] for what everybody may read (certificates, mode 0644).
pub(crate) fn write_public(path: &Path, bytes: &[u8]) -> Result<(), PkiError> {
    write(path, bytes, 0o644, Existing::Replace)
}

/// Like [`write_private`], but `false` and no change if `path` exists already.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<bool, PkiError> {
    match write(path, bytes, 0o600, Existing::Keep) {
        Err(PkiError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            Ok(false)
        }
        result => result.map(|()| true),
    }
}

/// Reads a private file; `None` when there is none. A file that group or others can read is
/// closed to them first, with a warning in the log.
pub fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PkiError> {
    let failed = |source| PkiError::Read { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 && metadata.is_file() {
        tracing::warn!(path = %path.display(), "private file was open to others, closing it");
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|source| PkiError::OpenToOthers { path: path.to_owned(), source })?;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> Result<(), PkiError> {
    let failed = |source| PkiError::Write { path: path.to_owned(), source };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    create_dir(dir)?;
    let temporary = temporary_beside(path)?;
    let result = write_new(&temporary, bytes, mode).and_then(|()| match existing {
        Existing::Replace => fs::rename(&temporary, path),
        // Unlike a rename, a hard link never replaces what is there.
        Existing::Keep => fs::hard_link(&temporary, path),
    });
    if result.is_err() || existing == Existing::Keep {
        // Best effort: a leftover is unreadable for others and never looked at.
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(failed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn create_dir(dir: &Path) -> Result<(), PkiError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| PkiError::Write { path: dir.to_owned(), source })
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?; // whatever the umask
    file.write_all(bytes)?;
    file.sync_all()
}

fn temporary_beside(path: &Path) -> Result<PathBuf, PkiError> {
    let mut random = [0u8; 8];
    SystemRandom::new().fill(&mut random).map_err(|err| PkiError::Crypto {
        action: "get random bytes",
        source: err.to_string().into(),
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.{}.tmp", hex::encode(random))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_0600_in_directories_of_0700_and_leave_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/key");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(read_private(&path).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_open_to_others_is_closed_when_it_is_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        fs::write(&path, b"x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        read_private(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn directories_of_ours_are_closed_and_shared_ones_left() {
        let root = tempfile::tempdir().unwrap();
        let (own, shared) = (root.path().join("own"), root.path().join("shared"));
        for (dir, before, after) in [(&own, 0o755, 0o700), (&shared, 0o1777, 0o777)] {
            fs::create_dir(dir).unwrap();
            fs::set_permissions(dir, Permissions::from_mode(before)).unwrap();
            ensure_private_dir(dir).unwrap();
            assert_eq!(mode(dir), after);
        }
        fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
        write_private(&own.join("key"), b"").unwrap();
        assert_eq!(mode(&own), 0o755, "writing a file does not change the directory around it");
    }

    #[test]
    fn create_keeps_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key");
        assert!(create_private(&path, b"first").unwrap());
        assert!(!create_private(&path, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn errors_name_the_path() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), b"").unwrap();
        let path = root.path().join("file/key");
        let message = write_private(&path, b"").unwrap_err().to_string();
        assert_eq!(message, format!("cannot write `{}`", root.path().join("file").display()));
    }
}
