//! The command line client in a [`Lab`](crate::Lab), with a home of its own.

use std::{
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{lab::in_namespace, ready::tail};

/// Runs the binary under its names. Can be cloned and sent to a thread while the node is killed and started.
#[derive(Debug, Clone)]
pub struct Client {
    namespace: u32,
    dir: PathBuf,
}

/// What a command line printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; -1 when it was killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Client {
    pub(crate) fn new(namespace: u32, dir: PathBuf) -> Self {
        Self { namespace, dir }
    }

    /// Folder with `smr.toml`, `smr.log`, `data` and `home`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything the node has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.join("smr.log")
    }

    /// A command under one of the binary's names, in the lab, with the node's home.
    pub fn program(&self, name: &str) -> Command {
        let mut command = in_namespace(self.namespace, self.dir.join("bin").join(name));
        command
            .env("HOME", self.dir.join("home"))
            .env("NO_COLOR", "1")
            .env_remove("SUDO_USER")
            .env_remove("SMR_CONFIG")
            .env_remove("SMR_CONTEXT")
            .env_remove("SMR_HOME")
            .current_dir(&self.dir);
        command
    }

    /// Moves the calling thread into the lab's network for good: what it connects to from now on is there.
    pub fn enter(&self) -> Result<()> {
        let link = fs::File::open(format!("/proc/{}/ns/net", self.namespace))?;
        let network = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(link.as_fd(), network)?)
    }

    /// Runs `smrctl` with these arguments.
    pub fn smrctl(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.program("smrctl").args(arguments).output()?;
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `smrctl` and wants success; returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.smrctl(arguments)?;
        if output.code != 0 {
            bail!(
                "smrctl {}: exit code {}: {}{}\nnode log:\n{}",
                arguments.join(" "),
                output.code,
                output.stdout,
                output.stderr,
                tail(&self.log_path())
            );
        }
        Ok(output.stdout)
    }

    /// Writes `yaml` to a file in the lab and returns its path.
    pub fn file(&self, name: &str, yaml: &str) -> Result<String> {
        let path = self.dir.join(name);
        fs::write(&path, yaml)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Applies definitions and waits until all they describe is ready.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let path = self.file("apply.yaml", yaml)?;
        self.ok(&["apply", &path, "--wait"])
    }
}
