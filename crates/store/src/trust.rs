//! Whether the files of the applied state may be believed.
//!
//! Sled does not sync. What it wrote survives the end of the process, not a loss of power: then some of
//! it may be missing without sled noticing. So the state is used again only if it was closed and
//! synced, or if the system has not started anew since; anything else is rebuilt from snapshot and log.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::dir::{sync_dir, write_durably};

const CLEAN: &str = "clean\n";
const SUSPECT: &str = "suspect\n";

/// The note beside the state that says what is known about it.
#[derive(Debug)]
pub(crate) struct Trust {
    state: PathBuf,
    note: PathBuf,
    suspect: AtomicBool,
}

impl Trust {
    pub(crate) fn new(state: &Path) -> Self {
        let note = state.with_extension("note");
        Self { state: state.to_owned(), note, suspect: AtomicBool::new(false) }
    }

    /// Whether the state may be used as it is.
    pub(crate) fn is_deserved(&self) -> bool {
        let note = fs::read_to_string(&self.note).unwrap_or_default();
        note == CLEAN || open_note().is_some_and(|open| note == open)
    }

    /// Notes that the state is in use from here on.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.write(&open_note().unwrap_or_default())
    }

    fn write(&self, text: &str) -> io::Result<()> {
        write_durably(&self.note, text.as_bytes()).or_else(|error| {
            // No note says the same as a bad one, and removing it needs no space.
            match fs::remove_file(&self.note) {
                Err(missing) if missing.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            sync_dir(self.note.parent().unwrap_or(&self.state))
        })
    }

    /// Notes that the state failed: the next start rebuilds it.
    pub(crate) fn lose(&self) {
        if !self.suspect.swap(true, Ordering::AcqRel)
            && let Err(error) = self.write(SUSPECT)
        {
            tracing::warn!(error = %error, file = %self.note.display(), "cannot note that the applied state failed");
        }
    }

    /// Syncs the closed state and notes that it is whole.
    pub(crate) fn end(&self) -> io::Result<()> {
        if self.suspect.load(Ordering::Acquire) {
            return Ok(());
        }
        sync_tree(&self.state)?;
        write_durably(&self.note, CLEAN.as_bytes())
    }
}

/// The note of a state in use: it names this run of the system.
fn open_note() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("open {}\n", boot.trim()))
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_state_or_one_of_this_run_of_the_system_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        assert!(!Trust::new(&state).is_deserved(), "nothing known");
        let trust = Trust::new(&state);
        trust.begin().unwrap();
        assert!(Trust::new(&state).is_deserved(), "the process was killed");
        trust.end().unwrap();
        assert!(Trust::new(&state).is_deserved(), "closed");
        fs::write(state.with_extension("note"), "open another-run\n").unwrap();
        assert!(!Trust::new(&state).is_deserved(), "the system was started anew");
        trust.begin().unwrap();
        trust.lose();
        trust.end().unwrap();
        assert!(!Trust::new(&state).is_deserved(), "it failed");
    }
}
