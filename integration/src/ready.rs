//! The socket on which a started node says that it is ready (systemd's notify protocol).

use std::{
    fs, io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How often a silent start is looked at in another way: whether the process lives, and answers.
const LOOK: Duration = Duration::from_millis(100);

/// A listening notify socket. Give its [`path`](Self::path) to the node as `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct ReadySocket {
    path: PathBuf,
    socket: UnixDatagram,
}

impl ReadySocket {
    /// Listens at `path`; a file left there by an earlier run is replaced.
    pub fn bind(path: &Path) -> Result<Self> {
        let _ = fs::remove_file(path);
        let socket =
            UnixDatagram::bind(path).with_context(|| format!("listen on `{}`", path.display()))?;
        socket.set_read_timeout(Some(LOOK))?;
        Ok(Self { path: path.to_owned(), socket })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns when the node reports `READY=1`, or when `answers` is true. An error when the process
    /// ends first or `limit` passes, with the last lines of its log.
    pub fn wait(
        &self,
        child: &mut Child,
        log: &Path,
        limit: Duration,
        mut answers: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut message = [0; 4096];
        loop {
            match self.socket.recv(&mut message) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&message[..length]);
                    if text.lines().any(|line| line == "READY=1") {
                        return Ok(());
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if answers() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = child.try_wait()? {
                bail!("the node ended with {status} before it was ready\n{}", tail(log));
            }
            if Instant::now() >= deadline {
                bail!("the node was not ready within {} s\n{}", limit.as_secs(), tail(log));
            }
        }
    }
}

impl Drop for ReadySocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The last 20 lines of a log file.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
