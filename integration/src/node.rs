//! The real binary as a node in a [`Lab`], and its command line client.

use std::{
    fs,
    ops::Deref,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{Client, Lab, ReadySocket, docker::Container, process, ready::tail, wait};

/// How long a node may take to be ready; the product promises half a second.
const NODE_START: Duration = Duration::from_secs(30);

/// The library that gives a program another clock, where Debian has it.
const FAKETIME: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// One node: folder, configuration, log, process. Its home is in the lab, so contexts are too.
pub struct Node<'lab> {
    lab: &'lab Lab,
    client: Client,
    child: Option<Child>,
    /// Where the node that was started says that it is ready.
    ready: Option<ReadySocket>,
    /// Variables of the node's process, not of its client.
    variables: Vec<(String, String)>,
}

impl Deref for Node<'_> {
    type Target = Client;

    /// Everything the client can do can be asked of the node.
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The binary under test: `SMR_BIN`, or `smr` beside the folder of the running test.
pub fn smr_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SMR_BIN") {
        return fs::canonicalize(&path).with_context(|| format!("SMR_BIN={}", path.display()));
    }
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("smr"))
        .find(|path| path.is_file())
        .context("no `smr` binary: run `cargo build -p smr` first, or set SMR_BIN")
}

impl<'lab> Node<'lab> {
    /// Prepares a node of the binary under test and starts it. `extra` is appended to its `smr.toml`.
    pub fn start(lab: &'lab Lab, extra: &str) -> Result<Self> {
        Self::start_binary(lab, &smr_binary()?, extra)
    }

    /// As [`start`](Self::start), with a binary of the caller's choice.
    pub fn start_binary(lab: &'lab Lab, binary: &Path, extra: &str) -> Result<Self> {
        let mut node = Self::prepare(lab, binary, extra)?;
        node.restart()?;
        Ok(node)
    }

    /// Writes the configuration and makes the links for the client, without starting anything.
    pub fn prepare(lab: &'lab Lab, binary: &Path, extra: &str) -> Result<Self> {
        let dir = lab.dir().join("node");
        fs::create_dir_all(dir.join("home"))?;
        fs::create_dir_all(dir.join("bin"))?;
        for name in ["smr", "smrctl", "smrmgr"] {
            let link = dir.join("bin").join(name);
            if !link.exists() {
                symlink(binary, &link)?;
            }
        }
        let config = format!(
            "[data]\ndir = \"{}/data\"\n\n[docker]\nhost = \"unix://{}\"\n\n{extra}",
            dir.display(),
            lab.docker().socket().display()
        );
        fs::write(dir.join("smr.toml"), config)?;
        let client = Client::new(lab.namespace(), dir);
        Ok(Self { lab, client, child: None, ready: None, variables: Vec::new() })
    }

    /// Starts the node (again) and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        if self.child.is_some() {
            self.stop()?;
        }
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts the node without waiting for anything.
    pub fn spawn(&mut self) -> Result<()> {
        self.ready = Some(ReadySocket::bind(&self.dir().join("ready"))?);
        let out = fs::File::options().create(true).append(true).open(self.log_path())?;
        let mut command = self.program("smr");
        command
            .args(["start", "--config"])
            .arg(self.dir().join("smr.toml"))
            .env("NOTIFY_SOCKET", self.dir().join("ready"))
            .envs(self.variables.clone())
            .stdout(out.try_clone()?)
            .stderr(out);
        self.child = Some(command.spawn().context("cannot run smr")?);
        Ok(())
    }

    /// Gives the node, from its next start on, another clock: the machine's, moved by so many seconds, or
    /// by as many as [`move_clock`](Self::move_clock) says later. Time that passes is not changed.
    pub fn set_clock(&mut self, seconds: i64) -> Result<()> {
        let library = FAKETIME.iter().find(|path| Path::new(path).exists());
        let library = library.context("no libfaketime: install the package `faketime`")?;
        let clock = self.dir().join("clock").to_string_lossy().into_owned();
        let variables = [
            ("LD_PRELOAD", *library),
            ("FAKETIME_TIMESTAMP_FILE", clock.as_str()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_RESET", "1"),
        ];
        self.variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        self.move_clock(seconds)
    }

    /// Moves the clock of a node that runs with one of its own; it notices within a second.
    pub fn move_clock(&self, seconds: i64) -> Result<()> {
        let file = self.dir().join("clock");
        fs::write(file.with_extension("new"), format!("{seconds:+}\n"))?;
        Ok(fs::rename(file.with_extension("new"), file)?)
    }

    /// Waits until the node that was started says that it is ready.
    pub fn wait_ready(&mut self) -> Result<()> {
        let (Some(ready), Some(mut child)) = (self.ready.take(), self.child.take()) else {
            bail!("the node was not started");
        };
        let outcome = ready.wait(&mut child, &self.log_path(), NODE_START, || {
            self.smrctl(&["ps"]).is_ok_and(|output| output.code == 0)
        });
        self.child = Some(child);
        outcome
    }

    /// Pid of the running node.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// Whether the node's process has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL, as a power cut is to a process.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end; an error when the node did not end with success.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        process::signal(child.id(), "TERM")?;
        let status = wait("the node to stop", Duration::from_secs(30), || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        let Ok(status) = status else {
            child.kill()?;
            child.wait()?;
            bail!("the node did not stop within 30 s of SIGTERM\n{}", tail(&self.log_path()));
        };
        if !status.success() {
            bail!("the node stopped with {status}\n{}", tail(&self.log_path()));
        }
        Ok(())
    }

    /// Folder of the node's data.
    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// Containers in the lab whose name begins with `prefix`, sorted by name.
    pub fn containers(&self, prefix: &str) -> Result<Vec<Container>> {
        let mut containers = self.lab.docker().containers(&json!({}))?;
        containers.retain(|container| container.name.starts_with(prefix));
        Ok(containers)
    }

    /// Waits until exactly `count` containers with this prefix exist and all run; returns them.
    pub fn wait_running(
        &self,
        prefix: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<Container>> {
        let what = format!("{count} running containers named `{prefix}*`");
        wait(&what, limit, || {
            let found = self.containers(prefix).map_err(|error| error.to_string())?;
            let running = found.iter().filter(|container| container.state == "running").count();
            if found.len() == count && running == count {
                return Ok(found);
            }
            let states: Vec<String> =
                found.iter().map(|it| format!("{} {}", it.name, it.state)).collect();
            Err(format!("{running} of {} run: {}", found.len(), states.join(", ")))
        })
        .with_context(|| format!("node log:\n{}", tail(&self.log_path())))
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("node `{}`: {error:#}", self.dir().display());
        }
    }
}
