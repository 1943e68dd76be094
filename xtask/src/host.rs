//! The Docker engine of this machine, and our own when none answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use smr_integration::{Docker, process, wait};

use crate::{apt, paths::dev, run::say};

/// Where Docker listens unless it is told otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The socket that `DOCKER_HOST` names, or the usual one.
pub(crate) fn socket() -> Result<PathBuf> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => host
            .strip_prefix("unix://")
            .map(PathBuf::from)
            .with_context(|| format!("DOCKER_HOST is `{host}`; only `unix://PATH` is served here")),
        _ => Ok(PathBuf::from(DEFAULT_SOCKET)),
    }
}

/// The engine of this machine; starts one when none answers, and remembers that it did.
pub(crate) fn engine() -> Result<Docker> {
    let docker = Docker::new(&socket()?);
    if docker.answers() {
        return Ok(docker);
    }
    if !apt::is_root() {
        bail!(
            "no Docker engine answers on `{}`; start it, or run this command as root",
            docker.socket().display()
        );
    }
    say(&format!("starting dockerd on {}", docker.socket().display()));
    let dir = dev().join("docker");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("daemon.json"), "{}")?;
    let log = dir.join("dockerd.log");
    let out = fs::File::options().create(true).append(true).open(&log)?;
    let mut command = Command::new("setsid");
    command
        .arg("dockerd")
        .args(["--config-file".into(), dir.join("daemon.json")])
        .args(["--data-root".into(), dir.join("data")])
        .args(["--exec-root", "/run/smr-dev-docker"])
        .args(["--pidfile".into(), pid_file()])
        .args(["-H", &format!("unix://{}", docker.socket().display())])
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out);
    let _ = fs::remove_file(pid_file());
    let mut child = command.spawn().context("cannot run dockerd")?;
    wait("dockerd to answer", Duration::from_mins(1), || match child.try_wait() {
        Ok(None) if docker.answers() => Ok(()),
        Ok(None) => Err("no answer".to_owned()),
        ended => Err(format!("it ended: {ended:?}")),
    })
    .with_context(|| format!("dockerd did not start; its log is `{}`", log.display()))?;
    Ok(docker)
}

/// Stops the engine that [`engine`] started; returns whether there was one.
pub(crate) fn stop_engine() -> Result<bool> {
    let Some(pid) = recorded(&pid_file(), "dockerd") else { return Ok(false) };
    process::stop(pid, Duration::from_secs(30))?;
    Ok(true)
}

/// Pid in a file, if that process still runs and its command line contains `word`: a stale number may
/// by now belong to another process.
pub(crate) fn recorded(file: &Path, word: &str) -> Option<u32> {
    let pid: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    (process::alive(pid) && command.contains(word)).then_some(pid)
}

fn pid_file() -> PathBuf {
    dev().join("docker/dockerd.pid")
}
