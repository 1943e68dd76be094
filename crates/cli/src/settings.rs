//! From flags and environment to plain settings; commands see only these.

use std::{
    ffi::OsStr,
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use smr_client::{Client, Options};
use smr_pki::{Context, ContextStore};

use crate::{args::Global, error::Error, output::Printer};

/// Under which name the program was started; decides commands and wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persona {
    /// `smr`, and every unknown name: the node, and all commands of the client.
    Smr,
    /// `smrctl`: the client.
    Smrctl,
    /// `smrmgr`: starting and stopping in the way of the original's scripts.
    Smrmgr,
}

impl Persona {
    /// By the name in `argv[0]`.
    pub(crate) fn of(argv0: &OsStr) -> Self {
        match Path::new(argv0).file_name().and_then(OsStr::to_str) {
            Some("smrctl") => Self::Smrctl,
            Some("smrmgr") => Self::Smrmgr,
            _ => Self::Smr,
        }
    }

    /// The name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smr => "smr",
            Self::Smrctl => "smrctl",
            Self::Smrmgr => "smrmgr",
        }
    }
}

/// What every command needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Name the program was started under.
    pub persona: Persona,
    /// Home directory.
    pub home: PathBuf,
    /// Contexts.
    pub contexts: ContextStore,
    /// Context named by flag or environment.
    pub context: Option<String>,
    /// Group of resources given without one.
    pub group: String,
    /// Group that was asked for: the only one in lists.
    pub only_group: Option<String>,
    /// Whether reads are answered from the copy of the node that is asked.
    pub stale: bool,
    /// Where output goes.
    pub printer: Printer,
}

impl Settings {
    /// From the flags and the environment.
    pub(crate) fn new(persona: Persona, global: &Global) -> Self {
        let home = global.home.clone().unwrap_or_else(home);
        Self {
            persona,
            contexts: ContextStore::open(home.join(".smrctl").join("contexts")),
            home,
            context: global.context.clone(),
            group: global.group.clone().unwrap_or_else(|| "default".to_owned()),
            only_group: global.group.clone(),
            stale: global.stale,
            printer: Printer::new(global.color),
        }
    }

    /// The context to use.
    pub(crate) fn context(&self) -> Result<Context, Error> {
        Ok(match &self.context {
            Some(name) => self.contexts.get(name)?,
            None => self.contexts.current()?,
        })
    }

    /// A client of the context's cluster.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        Ok(Client::new(&self.context()?, Options::default())?.reading(self.stale))
    }

    /// Says that what was printed may be old, if that was asked for.
    pub(crate) fn note_stale(&self, client: &Client, revision: Option<u64>) {
        if self.stale {
            self.printer.note(stale_note(client.url(), revision, Timestamp::now()));
        }
    }

    /// The same with other contexts.
    pub(crate) fn with_contexts(&self, dir: &Path) -> Self {
        Self {
            persona: self.persona,
            contexts: ContextStore::open(dir),
            home: self.home.clone(),
            context: self.context.clone(),
            group: self.group.clone(),
            only_group: self.only_group.clone(),
            stale: self.stale,
            printer: self.printer,
        }
    }

    /// What the configuration's defaults depend on.
    pub(crate) fn host(&self) -> smr_config::Host {
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        smr_config::Host { hostname: hostname.trim().to_owned(), home: self.home.clone() }
    }
}

/// What is said about an answer from a node's own copy.
fn stale_note(url: &str, revision: Option<u64>, now: Timestamp) -> String {
    let revision = revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
    format!(
        "note: this is the copy of the node at {url}{revision}, read at {now:.0}; it may be behind"
    )
}

/// The home directory: `HOME`, or what `/etc/passwd` says (services have no `HOME`).
pub(crate) fn home() -> PathBuf {
    if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        return home.into();
    }
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut homes = entry.filter(|fields| fields.get(2) == Some(&uid.as_str()));
    homes.next().and_then(|fields| fields.get(5).map(PathBuf::from)).unwrap_or_else(|| "/".into())
}

/// Whether colours are wanted on `stream`.
pub(crate) fn colours(choice: clap::ColorChoice, is_terminal: bool) -> bool {
    match choice {
        clap::ColorChoice::Always => true,
        clap::ColorChoice::Never => false,
        clap::ColorChoice::Auto => {
            is_terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// Whether standard error is a terminal: progress may be redrawn.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// A duration as typed: `90s`, `5m`, `1h30m`, or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration(text).map(Self).ok_or_else(|| "write `90s`, `5m` or `1h30m`".to_owned())
    }
}

fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    if let Some((days, rest)) = text.split_once('d')
        && let Ok(days) = days.parse::<u16>()
    {
        let rest = if rest.is_empty() { Some(Duration::ZERO) } else { duration(rest) };
        return Some(Duration::from_hours(24) * days.into() + rest?);
    }
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// A moment in the past as typed: an age (`10m`) or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

impl Since {
    /// Seconds since 1970.
    pub(crate) fn seconds(self, now: Timestamp) -> i64 {
        match self {
            Self::Ago(age) => now.as_second().saturating_sub(age.as_secs().cast_signed()),
            Self::At(time) => time.as_second(),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let age = duration(text).map(Self::Ago);
        age.or_else(|| text.parse().ok().map(Self::At)).ok_or_else(|| {
            "write an age such as `10m`, or a time such as `2026-01-31T10:00:00Z`".into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_decides() {
        assert_eq!(Persona::of(OsStr::new("/usr/bin/smrctl")), Persona::Smrctl);
        assert_eq!(Persona::of(OsStr::new("smrmgr")), Persona::Smrmgr);
        assert_eq!(Persona::of(OsStr::new("./smr")), Persona::Smr);
        assert_eq!(Persona::of(OsStr::new("")), Persona::Smr);
    }

    #[test]
    fn durations_as_people_write_them() {
        let seconds = |text: &str| text.parse::<Seconds>().map(|d| d.0.as_secs()).ok();
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("2d"), Some(172_800));
        assert_eq!(seconds("1d12h"), Some(129_600));
        assert_eq!(seconds("-5m"), None);
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn what_may_be_old_says_of_when_it_is() {
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        assert_eq!(
            stale_note("https://a:1", Some(7), now),
            "note: this is the copy of the node at https://a:1, revision 7, read at \
             2026-01-31T10:00:00Z; it may be behind"
        );
        assert!(stale_note("u", None, now).contains("at u, read"));
    }

    #[test]
    fn since_is_an_age_or_a_time() {
        let now: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        let since = |text: &str| text.parse::<Since>().unwrap().seconds(now);
        assert_eq!(since("10m"), now.as_second() - 600);
        assert_eq!(since("2026-01-31T09:59:00Z"), now.as_second() - 60);
    }
}
