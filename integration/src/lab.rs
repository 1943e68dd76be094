//! A private Docker host: a network namespace and a dockerd in it.
//!
//! The namespace keeps ports, bridges and firewall rules apart, so any number of labs, and the
//! machine's own Docker, live side by side. Everything is under one folder in `/tmp/smr-lab`, named
//! after the process that made it; what a killed run left behind is removed by the next one.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{Docker, cpu, images, process, ready::tail, wait};

/// Parent folder of all labs. Short, because socket paths are limited to 108 bytes.
pub(crate) const ROOT: &str = "/tmp/smr-lab";

/// How long a dockerd may take to answer; it takes about half a second on a quiet machine.
const DOCKERD_START: Duration = Duration::from_mins(1);

/// Marks the folder of a lab that was kept on purpose.
const KEEP: &str = "keep";

/// Programs the harness calls.
const PROGRAMS: &[&str] =
    &["dockerd", "docker", "ip", "nsenter", "unshare", "setpriv", "umount", "curl", "readelf"];

/// A running Docker host. Dropping it stops and removes everything; `SMR_LAB_KEEP=1` leaves the folder
/// with the logs.
pub struct Lab {
    dir: PathBuf,
    /// Keeps the namespace while no dockerd runs.
    holder: Child,
    dockerd: Mutex<Option<Child>>,
    docker: Docker,
    group: Option<cpu::Group>,
}

impl Lab {
    /// A lab for a test, or `None` (with the reason on standard error) on a machine that cannot have one.
    /// With `SMR_LAB=required`, as in CI, that is a failure.
    ///
    /// # Panics
    /// When the lab cannot be started although the machine has what it needs.
    pub fn require() -> Option<Self> {
        if !Self::possible(&[]) {
            return None;
        }
        Some(Self::start().unwrap_or_else(|error| panic!("cannot start a lab: {error:#}")))
    }

    /// Starts a lab with the tiny image in it, as `busybox:latest` and `smr-examples/busybox:1`.
    pub fn start() -> Result<Self> {
        Self::start_with(|_| Ok(()))
    }

    /// As [`start`](Self::start); `wire` is called with the pid of the namespace's holder before the
    /// engine starts, to plug in a cable.
    pub(crate) fn start_with(wire: impl FnOnce(u32) -> Result<()>) -> Result<Self> {
        remove_leftovers();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let dir = Path::new(ROOT).join(&name);
        fs::create_dir_all(&dir).with_context(|| format!("create `{}`", dir.display()))?;
        fs::write(dir.join("daemon.json"), "{}")?;
        let holder = start_namespace(&dir)?;
        wire(holder.id())?;
        let docker = Docker::new(&dir.join("docker.sock"));
        let group = cpu::Group::create(&format!("smr-lab-{name}"));
        let lab = Self { dir, holder, dockerd: Mutex::new(None), docker, group };
        lab.start_dockerd()?;
        lab.image("busybox")?;
        images::install_as(&lab.docker, "busybox", "busybox:latest", &|_| ())?;
        Ok(lab)
    }

    /// Brings one of our images in; see [`images::RECIPES`].
    pub fn image(&self, name: &str) -> Result<()> {
        images::install(&self.docker, name, &|line| eprintln!("{line}")).map(drop)
    }

    /// The engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Folder for whatever belongs to this lab.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Processor time of dockerd, containerd, shims and runc since the lab started. `None` where
    /// control groups cannot be written.
    pub fn engine_cpu(&self) -> Option<Duration> {
        self.group.as_ref()?.used().ok()
    }

    /// A command inside the namespace; it dies with the thread that starts it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        in_namespace(self.namespace(), program)
    }

    /// A prepared command, moved into the namespace: program, arguments, environment and folder stay.
    pub fn wrap(&self, command: &Command) -> Command {
        let mut inside = self.command(command.get_program());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// Pid of the process that holds the namespace.
    pub(crate) fn namespace(&self) -> u32 {
        self.holder.id()
    }

    /// The docker command line client for this engine.
    pub fn docker_cli(&self) -> Command {
        let mut command = self.command("docker");
        command.args(["-H", &format!("unix://{}", self.docker.socket().display())]);
        command
    }

    /// Fetches a URL inside the namespace with an ordinary client; returns its standard output. An error
    /// holds what it printed.
    pub fn curl(&self, arguments: &[&str]) -> Result<String> {
        let output =
            self.command("curl").args(["-sS", "--max-time", "10"]).args(arguments).output()?;
        if !output.status.success() {
            bail!("curl: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the engine and waits until it answers.
    pub fn start_dockerd(&self) -> Result<()> {
        let dir = self.dir.display();
        let log = self.dir.join("dockerd.log");
        let out = fs::File::options().create(true).append(true).open(&log)?;
        let mut command = self.command("sh");
        // The shell moves itself into the control group and becomes dockerd: same pid.
        command.args(["-c", "[ -z \"$0\" ] || echo $$ >\"$0\"; exec dockerd \"$@\""]);
        command.arg(self.group.as_ref().map(cpu::Group::procs).unwrap_or_default());
        command
            .args(["--config-file", &format!("{dir}/daemon.json")])
            .args(["--data-root", &format!("{dir}/data"), "--exec-root", &format!("{dir}/x")])
            .args(["--pidfile", &format!("{dir}/dockerd.pid"), "--shutdown-timeout", "5"])
            .args(["-H", &format!("unix://{}", self.docker.socket().display())])
            // In Swarm mode it would ask a registry for each task, which there is none of.
            .env("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "1")
            .stdout(out.try_clone()?)
            .stderr(out);
        let mut child = command.spawn().context("cannot run dockerd")?;
        let docker = &self.docker;
        wait("dockerd to answer", DOCKERD_START, || match child.try_wait() {
            Ok(None) if docker.answers() => Ok(()),
            Ok(None) => Err("no answer".to_owned()),
            ended => Err(format!("it ended: {ended:?}")),
        })
        .with_context(|| tail(&log))?;
        *self.running() = Some(child);
        Ok(())
    }

    /// Ends the engine in an orderly way, as a service manager does; it stops all containers.
    pub fn stop_dockerd(&self) -> Result<()> {
        let Some(mut child) = self.running().take() else { return Ok(()) };
        process::signal(child.id(), "TERM")?;
        let ended = wait("dockerd to end", Duration::from_secs(30), || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if ended.is_err() {
            child.kill()?;
            child.wait()?;
        }
        ended
    }

    /// Kills the engine without warning and waits until its containerd is gone too: a dockerd started
    /// before that would wait for it in vain.
    pub fn kill_dockerd(&self) -> Result<()> {
        let Some(mut child) = self.running().take() else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        let pid_file = self.dir.join("x/containerd/containerd.pid");
        let containerd = fs::read_to_string(&pid_file).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = containerd {
            wait("containerd to end", Duration::from_secs(30), || {
                if process::alive(pid) { Err(format!("process {pid} runs")) } else { Ok(()) }
            })?;
        }
        // A pid in these files may be a zombie that nobody has reaped yet, which dockerd takes for alive.
        for file in [pid_file, self.dir.join("dockerd.pid")] {
            let _ = fs::remove_file(file);
        }
        Ok(())
    }

    /// Ends everything that runs on this host at once, without warning: engine, containers and
    /// whatever names the host's folder on its command line. What is on disk stays, and so does
    /// the network.
    pub fn power_off(&self) -> Result<()> {
        // The shims are found by their command line, and containers only below their shim.
        process::kill_all_of(&self.dir)?;
        if let Some(group) = &self.group {
            group.kill()?;
        }
        if let Some(mut child) = self.running().take() {
            child.wait()?;
        }
        for file in ["x/containerd/containerd.pid", "dockerd.pid", "docker.sock"] {
            let _ = fs::remove_file(self.dir.join(file));
        }
        Ok(())
    }

    /// Whether a missing program or right keeps labs from working here; says so on standard error,
    /// and fails with `SMR_LAB=required`.
    pub(crate) fn possible(more: &[&str]) -> bool {
        let mut missing = missing();
        missing.extend(more.iter().filter(|program| !on_path(program)).map(|p| format!("`{p}`")));
        if missing.is_empty() {
            return true;
        }
        let reason = format!("a lab needs {}; see CONTRIBUTING.md", missing.join(", "));
        assert!(std::env::var_os("SMR_LAB").is_none_or(|v| v != "required"), "{reason}");
        eprintln!("skipped: {reason}");
        false
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.dockerd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut_down(&self) -> Result<()> {
        if self.running().is_some() {
            for container in self.docker.containers(&json!({}))? {
                // Gone in the meantime is as good.
                let _ = self.docker.remove(&container.id);
            }
        }
        self.stop_dockerd()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            eprintln!("lab `{}`: {error:#}", self.dir.display());
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if std::env::var_os("SMR_LAB_KEEP").is_some_and(|keep| keep == "1") {
            let _ = fs::write(self.dir.join(KEEP), "");
            eprintln!("lab kept: {}", self.dir.display());
            return;
        }
        remove(&self.dir);
    }
}

/// A command in the namespace of a process.
pub(crate) fn in_namespace(holder: u32, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/proc/{holder}/ns/net"))
        .args(["--", "setpriv", "--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null());
    command
}

/// What this machine lacks for a lab.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        missing.push("root".to_owned());
    }
    let absent = PROGRAMS.iter().filter(|program| !on_path(program));
    missing.extend(absent.map(|program| format!("`{program}`")));
    missing
}

fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').any(|folder| Path::new(folder).join(program).exists())
}

/// A process that does nothing but own a network namespace.
pub(crate) fn start_namespace(dir: &Path) -> Result<Child> {
    let ready = dir.join("namespace");
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "sh", "-c"])
        .arg("ip link set lo up && : >\"$0\" && exec tail -f /dev/null")
        .arg(&ready)
        .stdin(Stdio::null())
        .spawn()
        .context("cannot run unshare")?;
    wait("network namespace", Duration::from_secs(10), || {
        if ready.exists() { Ok(()) } else { Err("not there".to_owned()) }
    })?;
    Ok(child)
}

/// Removes labs whose process is gone.
pub(crate) fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(ROOT) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse().ok());
        let kept = entry.path().join(KEEP).exists();
        if !kept && owner.is_some_and(|pid: u32| !process::alive(pid)) {
            remove(&entry.path());
        }
    }
}

/// Ends what still runs for a lab, takes its mounts away and deletes its folder.
pub(crate) fn remove(dir: &Path) {
    if let Err(error) = process::kill_all_of(dir) {
        eprintln!("lab `{}`: {error:#}", dir.display());
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = format!("{}/", dir.display());
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| point.starts_with(&inside)).collect::<Vec<_>>().iter().rev()
    {
        let _ = Command::new("umount").args(["-l", point]).output();
    }
    if let Err(error) = fs::remove_dir_all(dir)
        && dir.exists()
    {
        eprintln!("lab `{}` cannot be removed: {error}", dir.display());
    }
}
