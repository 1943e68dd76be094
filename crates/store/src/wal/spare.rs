//! Allocates the next log file ahead of need, on its own thread.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
};

use super::segment::{Allocated, allocate_spare, segment_path, spare_path};
use crate::dir::sync_dir;

/// State of the file allocated ahead.
#[derive(Debug, Default)]
struct State {
    ready: Option<Allocated>,
    /// Number of the next name. Names are never used twice, so that a file on its way to becoming a log
    /// file and one that is being allocated cannot be mixed up.
    next_name: u64,
    /// Counts finished attempts, so that a waiter sees its own.
    attempts: u64,
    failure: Option<io::ErrorKind>,
}

/// Handle to the allocating thread.
#[derive(Debug)]
pub(crate) struct Spare {
    dir: PathBuf,
    size: u64,
    state: Mutex<State>,
    changed: Condvar,
}

/// Work for the allocating thread.
#[derive(Debug)]
pub(crate) enum Job {
    /// Have a spare file ready.
    Prepare,
    /// A log file is not needed any more: reuse it as the spare or remove it.
    Retire(u64),
}

impl Spare {
    /// Starts the thread; it ends when the sender is dropped.
    pub(crate) fn start(
        dir: PathBuf,
        size: u64,
    ) -> io::Result<(Arc<Self>, mpsc::Sender<Job>, JoinHandle<()>)> {
        let spare = Arc::new(Self { dir, size, state: Mutex::default(), changed: Condvar::new() });
        let (jobs, inbox) = mpsc::channel::<Job>();
        let worker = Arc::clone(&spare);
        let thread = std::thread::Builder::new().name("smr-wal-spare".into()).spawn(move || {
            let mut retired = VecDeque::new();
            for job in inbox {
                match job {
                    Job::Prepare => worker.prepare(),
                    Job::Retire(sequence) => retired.push_back(sequence),
                }
                worker.retire(&mut retired);
            }
        })?;
        Ok((spare, jobs, thread))
    }

    /// Whether a file is ready to be taken.
    pub(crate) fn is_ready(&self) -> bool {
        self.lock().ready.is_some()
    }

    /// Takes the ready file, or allocates one here and now.
    pub(crate) fn take(&self) -> io::Result<Allocated> {
        let ready = self.lock().ready.take();
        ready.map_or_else(|| self.allocate(self.size), Ok)
    }

    /// Allocates a file of any size.
    pub(crate) fn allocate(&self, size: u64) -> io::Result<Allocated> {
        allocate_spare(self.free_path(), size)
    }

    fn free_path(&self) -> PathBuf {
        let mut state = self.lock();
        state.next_name += 1;
        spare_path(&self.dir, state.next_name)
    }

    /// Number of finished attempts, to be handed to [`Spare::wait`].
    pub(crate) fn attempts(&self) -> u64 {
        self.lock().attempts
    }

    /// Waits until an attempt after `seen` finished or a file is ready.
    pub(crate) fn wait(&self, seen: u64) -> Result<(), io::ErrorKind> {
        let mut state = self.lock();
        while state.ready.is_none() && state.attempts == seen {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match (state.ready.is_some(), state.failure) {
            (false, Some(kind)) => Err(kind),
            _ => Ok(()),
        }
    }

    fn prepare(&self) {
        if !self.is_ready() {
            let result = self.allocate(self.size);
            let mut state = self.lock();
            state.failure = result.as_ref().err().map(io::Error::kind);
            state.ready = result.ok();
        }
        self.lock().attempts += 1;
        self.changed.notify_all();
    }

    /// Gives up log files, oldest first. What fails is tried again later and blocks the rest: a gap
    /// between files would look like a lost one.
    fn retire(&self, retired: &mut VecDeque<u64>) {
        while let Some(&sequence) = retired.front() {
            let path = segment_path(&self.dir, sequence);
            if let Err(error) = self.retire_one(&path) {
                tracing::warn!(error = %error, file = %path.display(), "cannot retire a log file, will try again");
                return;
            }
            retired.pop_front();
        }
    }

    fn retire_one(&self, path: &Path) -> io::Result<()> {
        let reusable =
            !self.is_ready() && fs::metadata(path).is_ok_and(|meta| meta.len() == self.size);
        if !reusable {
            match fs::remove_file(path) {
                // An earlier attempt got this far.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
            return sync_dir(&self.dir);
        }
        let spare = self.free_path();
        fs::rename(path, &spare)?;
        // Before anything is written to it: after a loss of power its old name must not be back with
        // new content.
        sync_dir(&self.dir)?;
        // The salt of its next use makes the old content meaningless.
        let file = crate::dir::create_file(&spare, false)?;
        self.lock().ready = Some(Allocated { path: spare, file });
        self.changed.notify_all();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_given_up_in_order_even_when_one_resists() {
        let dir = tempfile::tempdir().unwrap();
        let spare = Spare {
            dir: dir.path().to_owned(),
            size: 1 << 20,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let path = |sequence| segment_path(dir.path(), sequence);
        // Removing a directory like a file fails.
        fs::create_dir(path(1)).unwrap();
        fs::write(path(2), "").unwrap();
        let mut retired = VecDeque::from([1, 2]);
        spare.retire(&mut retired);
        assert!(retired.len() == 2 && path(2).exists(), "no gap");
        fs::remove_dir(path(1)).unwrap();
        spare.retire(&mut retired);
        assert!(retired.is_empty() && !path(2).exists());
    }
}
