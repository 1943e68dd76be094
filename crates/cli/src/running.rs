//! `smr.lock` in the data directory: the id of the node's process, locked as long as it lives, so
//! that an id that was given to another process is never signalled.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::error::Error;

const NAME: &str = "smr.lock";

/// Held by a running node.
#[derive(Debug)]
pub(crate) struct Held {
    _locked: File,
}

impl Held {
    /// Writes our id and locks it; fails if another node runs there.
    pub(crate) fn hold(data: &Path) -> Result<Self, Error> {
        let path = data.join(NAME);
        let failed = |source| Error::Write { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::AlreadyRuns { dir: data.to_owned() }),
            Err(err) => return Err(failed(err.into())),
        }
        file.set_len(0)
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(failed)?;
        Ok(Self { _locked: file })
    }
}

/// The process of the node that runs in a data directory.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its id.
    pub pid: i32,
    pidfd: rustix::fd::OwnedFd,
}

/// The node that runs with this data directory, if one does.
pub(crate) fn running(data: &Path) -> Result<Option<Running>, Error> {
    let path = data.join(NAME);
    let mut file = match File::open(&path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
        Ok(file) => file,
    };
    if !is_locked(&file, &path)? {
        return Ok(None);
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|source| Error::Read { path: path.clone(), source })?;
    let not_ours = || Error::NotOurProcess { path: path.clone() };
    let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(not_ours)?;
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return Ok(None),
        Err(err) => return Err(Error::Signal { pid: pid.as_raw_pid(), source: err.into() }),
    };
    // Still locked: the id was not given to another process before the descriptor was made.
    let locked = is_locked(&file, &path)?;
    Ok(locked.then(|| Running { pid: pid.as_raw_pid(), pidfd }))
}

fn is_locked(file: &File, path: &Path) -> Result<bool, Error> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(file, FlockOperation::Unlock);
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(err) => Err(Error::Read { path: path.to_owned(), source: err.into() }),
    }
}

impl Running {
    /// Asks the process to end, and waits until it has. Returns whether it has in time.
    pub(crate) fn stop(&self, timeout: Duration) -> Result<bool, Error> {
        let failed = |err: Errno| Error::Signal { pid: self.pid, source: err.into() };
        match pidfd_send_signal(&self.pidfd, Signal::TERM) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(true),
            Err(err) => return Err(failed(err)),
        }
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let left = Timespec::try_from(left).unwrap_or_default();
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut fds, Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(err) => return Err(failed(err)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_and_not_a_number_says_that_a_node_runs() {
        let dir = tempfile::tempdir().unwrap();
        assert!(running(dir.path()).unwrap().is_none());
        fs::write(dir.path().join(NAME), "1\n").unwrap();
        assert!(running(dir.path()).unwrap().is_none(), "nobody holds it");
        let held = Held::hold(dir.path()).unwrap();
        let found = running(dir.path()).unwrap().unwrap();
        assert_eq!(found.pid, std::process::id().cast_signed());
        let err = Held::hold(dir.path()).unwrap_err();
        assert!(err.to_string().starts_with("a node runs in `"), "{err}");
        drop(held);
        assert!(running(dir.path()).unwrap().is_none());
    }
}
