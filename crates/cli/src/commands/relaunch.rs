//! Restarting a node that runs, in the way it was started: by its systemd unit, else with the
//! arguments and the environment its process has.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{block, manager::background};
use crate::{error::Error, running::Running, settings::Settings};

/// Variables that belong to one process only, or must not be kept.
const NOT_KEPT: [&str; 5] =
    ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "SMR_JOIN_TOKEN", "LISTEN_FDS"];

/// How a running process was started.
#[derive(Debug)]
pub(crate) struct Launched {
    /// Its program.
    pub program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    unit: Option<Unit>,
}

/// A systemd unit.
#[derive(Debug, PartialEq, Eq)]
struct Unit {
    name: String,
    of_user: bool,
}

impl Launched {
    /// Of the process with this id.
    pub(crate) fn of(pid: i32) -> Result<Self, Error> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let read = |name: &str| {
            let path = proc.join(name);
            fs::read(&path).map_err(|source| Error::Read { path, source })
        };
        let link = |name: &str| {
            let path = proc.join(name);
            fs::read_link(&path).map_err(|source| Error::Read { path, source })
        };
        let cgroup = String::from_utf8_lossy(&read("cgroup")?).into_owned();
        Ok(Self {
            program: without_deleted(link("exe")?),
            arguments: arguments(&read("cmdline")?),
            environment: environment(&read("environ")?),
            directory: link("cwd")?,
            unit: unit(&cgroup).filter(|unit| unit.main_process() == Some(pid)),
        })
    }
}

/// Stops the process and starts its program again; waits until it says that it is ready. Containers
/// go on running.
pub(crate) fn restart(
    settings: &Settings,
    launched: &Launched,
    process: &Running,
    data: &Path,
    timeout: Duration,
) -> Result<(), Error> {
    if let Some(unit) = &launched.unit {
        settings.printer.note(format_args!("restarting {}", unit.name));
        return unit.systemctl("restart");
    }
    settings.printer.note(format_args!("stopping process {}", process.pid));
    if !process.stop(timeout)? {
        return Err(Error::WaitTimeout {
            what: "stopped".to_owned(),
            seconds: timeout.as_secs(),
            missing: vec![format!("process {} still runs", process.pid)],
        });
    }
    start(settings, launched, data, timeout)
}

/// Starts the program again, which does not run.
pub(crate) fn start(
    settings: &Settings,
    launched: &Launched,
    data: &Path,
    timeout: Duration,
) -> Result<(), Error> {
    if let Some(unit) = &launched.unit {
        return unit.systemctl("restart");
    }
    let log = data.join("smr.log");
    settings.printer.note(format_args!("starting it again; its log is {}", log.display()));
    let mut command = tokio::process::Command::new(&launched.program);
    command.arg0("smr").args(&launched.arguments);
    command.env_clear().envs(launched.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&launched.directory);
    block(background::launch(command, &log, timeout))
}

impl Unit {
    /// The process systemd thinks it runs: a process may be in the unit of its parent.
    fn main_process(&self) -> Option<i32> {
        let output = self
            .command("show")
            .args(["--property=MainPID", "--value", &self.name])
            .output()
            .ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    fn systemctl(&self, verb: &str) -> Result<(), Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Start { source };
        let output = self
            .command(verb)
            .arg(&self.name)
            .output()
            .map_err(|source| failed(Box::new(source)))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failed(format!("systemctl {verb} {}: {said}", self.name).into()))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new("systemctl");
        if self.of_user {
            command.arg("--user");
        }
        command.arg(verb);
        command
    }
}

/// The unit a process is in, by its control groups.
fn unit(cgroup: &str) -> Option<Unit> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let name = path.rsplit('/').next().filter(|name| name.ends_with(".service"))?;
    Some(Unit { name: name.to_owned(), of_user: path.contains("/user@") })
}

/// A program that was replaced while it runs has a mark after its name.
fn without_deleted(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(name) => OsStr::from_bytes(name).into(),
        None => path,
    }
}

/// The arguments after the program's name, to be started in the background. A token by standard
/// input was needed once only.
fn arguments(cmdline: &[u8]) -> Vec<OsString> {
    let words = cmdline.split(|byte| *byte == 0).skip(1).map(<[u8]>::to_vec);
    let mut words: Vec<OsString> = words.map(OsString::from_vec).collect();
    // After the last one is a zero, too.
    words.pop();
    if let Some(at) = words.windows(2).position(|pair| pair == ["--token-file", "-"]) {
        words.drain(at..at + 2);
    }
    words.retain(|word| word != "--token-file=-");
    if !words.iter().any(|word| word == "--detached") {
        words.push("--detached".into());
    }
    words
}

fn environment(environ: &[u8]) -> Vec<(OsString, OsString)> {
    let pair = |entry: &[u8]| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&entry[..at], &entry[at + 1..]);
        let kept = !NOT_KEPT.iter().any(|not| not.as_bytes() == name);
        kept.then(|| (OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
    };
    environ.split(|byte| *byte == 0).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_started_as_it_was() {
        let words = |text: &str| {
            let words = arguments(text.replace(' ', "\0").as_bytes());
            words
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(words("smr start --name a "), "start --name a --detached");
        assert_eq!(words("smr start --detached "), "start --detached");
        assert_eq!(words("smr start --token-file - --name a "), "start --name a --detached");
        let environment = environment(b"HOME=/root\0NOTIFY_SOCKET=/x\0SMR_JOIN_TOKEN=t\0A=b=c\0");
        let names: Vec<_> = environment.iter().map(|(n, v)| (n.to_str(), v.to_str())).collect();
        assert_eq!(names, [(Some("HOME"), Some("/root")), (Some("A"), Some("b=c"))]);
        assert_eq!(without_deleted("/bin/smr (deleted)".into()), Path::new("/bin/smr"));
    }

    #[test]
    fn a_unit_is_a_service_and_not_a_session() {
        let unit = |path: &str| unit(&format!("0::{path}\n")).map(|unit| (unit.name, unit.of_user));
        assert_eq!(unit("/system.slice/smr.service"), Some(("smr.service".to_owned(), false)));
        assert_eq!(
            unit("/user.slice/user-1.slice/user@1.service/app.slice/smr.service"),
            Some(("smr.service".to_owned(), true))
        );
        assert_eq!(unit("/user.slice/user-0.slice/session-3.scope"), None);
        assert_eq!(unit("/"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id().cast_signed();
        let launched = Launched::of(pid).unwrap();
        assert_eq!(launched.program, std::env::current_exe().unwrap());
        assert_eq!(launched.unit, None);
        assert_eq!(launched.directory, std::env::current_dir().unwrap());
    }
}
