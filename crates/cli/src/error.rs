//! What a command can fail with, and how that is told.

use std::{error::Error as StdError, fmt::Write as _, io, path::PathBuf};

use smr_wire::{ApiError, Code, ErrorDetail};

/// Exit codes, an interface for scripts.
pub(crate) mod exit {
    /// Done.
    pub(crate) const DONE: u8 = 0;
    /// The request could not be met.
    pub(crate) const REFUSED: u8 = 1;
    /// Wrong usage.
    pub(crate) const USAGE: u8 = 2;
    /// The cluster cannot be reached.
    pub(crate) const UNREACHABLE: u8 = 3;
    /// A mistake in this program.
    pub(crate) const BUG: u8 = 70;
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cluster refused or cannot be reached.
    #[error(transparent)]
    Client(#[from] smr_client::Error),
    /// Something about contexts.
    #[error(transparent)]
    Context(#[from] smr_pki::ContextError),
    /// Something about certificates.
    #[error(transparent)]
    Pki(#[from] smr_pki::PkiError),
    /// Mistakes in the configuration.
    #[error("{}", config_message(.0))]
    Config(Box<smr_config::ConfigErrors>),
    /// The arguments do not make sense together.
    #[error("{message}")]
    Usage {
        /// What is wrong with them.
        message: String,
        /// What to type.
        hint: String,
    },
    /// The seed's words for a missing object.
    #[error("resource not found: `{resource}`")]
    ResourceNotFound {
        /// What was asked for.
        resource: String,
        /// What to do.
        hint: Option<String>,
    },
    /// An object where one of its replicas has to be named.
    #[error("`{resource}` has {} replicas: {}", replicas.len(), listed(replicas))]
    SeveralReplicas {
        /// What was asked for.
        resource: String,
        /// The replicas it may mean.
        replicas: Vec<String>,
    },
    /// The node's lock file belongs to another user, and the node does not answer.
    #[error("whether a node runs cannot be told: permission denied to read `{}`", path.display())]
    StatusDenied {
        /// The lock file.
        path: PathBuf,
    },
    /// A source that is no file, directory or URL.
    #[error("path does not exist: `{source_name}`")]
    NoSuchSource {
        /// What was given.
        source_name: String,
    },
    /// A pack without one of its parts.
    #[error("`{}` is missing; `{}` is not a pack", missing.display(), dir.display())]
    NotAPack {
        /// The directory.
        dir: PathBuf,
        /// What is missing.
        missing: PathBuf,
    },
    /// A source without any document.
    #[error("`{source_name}` holds no definition")]
    NoDefinitions {
        /// What was given.
        source_name: String,
    },
    /// Variables that cannot be read.
    #[error("`{}` is not a map of pack variables", file.display())]
    Variables {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A template that cannot be rendered.
    #[error("cannot render `{file}`")]
    Template {
        /// The file.
        file: String,
        /// Why.
        source: Box<smr_template::Error>,
    },
    /// Definitions that are wrong, found without asking the cluster.
    #[error("{} in the definitions", count(issues.len(), "mistake"))]
    Definitions {
        /// The mistakes, one line each.
        issues: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is in the way.
    #[error("`{}` exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Standard input, output or terminal.
    #[error("cannot use {what}")]
    Terminal {
        /// Which of them.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The reader of our output has gone: nothing to say, and nobody to say it to.
    #[error("nobody reads the output")]
    BrokenPipe,
    /// `edit` without a change.
    #[error("nothing changed")]
    NothingChanged,
    /// The editor could not be run or failed.
    #[error("the editor `{editor}` failed")]
    Editor {
        /// The command.
        editor: String,
        /// Why.
        source: io::Error,
    },
    /// What was typed in the editor was not accepted; it is kept.
    #[error("the changed definition was not accepted; it is kept in `{}`", path.display())]
    Edited {
        /// Where it is kept.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
    },
    /// `edit` made another object of the definition.
    #[error("the definition of `{was}` became that of `{is}`")]
    IdentityChanged {
        /// What it was.
        was: String,
        /// What it is now.
        is: String,
    },
    /// Waiting ended before what was waited for happened.
    #[error("not {what} within {seconds} s")]
    WaitTimeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What is still missing, one line each.
        missing: Vec<String>,
    },
    /// Replicas that will not become ready by waiting.
    #[error("{} failed", count(failed.len(), "replica"))]
    ReplicasFailed {
        /// Replica, state and reason, one line each.
        failed: Vec<String>,
    },
    /// Nobody leads the cluster.
    #[error("no node leads just now")]
    NoLeader,
    /// A rollout that does not go on by itself.
    #[error("the rollout of `{key}` is {state}{}", after_colon(message))]
    RolloutStopped {
        /// The object.
        key: String,
        /// What it does instead.
        state: String,
        /// Why.
        message: String,
        /// Whether it can be resumed.
        is_paused: bool,
    },
    /// Users that would be locked out.
    #[error("certificates of the old authority are in use by {}", listed(users))]
    OldUsers {
        /// Their names.
        users: Vec<String>,
    },
    /// A file that cannot be run as smr.
    #[error("`{}` is not a version of smr that runs here: {why}", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
        /// What it did.
        why: String,
    },
    /// A node that does not work with another version.
    #[error("the node did not work with {version}; {}", match works_again {
        true => "it runs the former program again",
        false => "it does not work with the former program either",
    })]
    NotUpgraded {
        /// The new version.
        version: String,
        /// Whether the former one works.
        works_again: bool,
        /// Why.
        source: Box<Error>,
    },
    /// A node that could not be drained before it was to be stopped.
    #[error("the node was not drained and goes on running")]
    NotDrained {
        /// Why.
        source: Box<Error>,
    },
    /// Nothing to join a cluster with.
    #[error("to join a cluster this machine needs a context of it, or a join token")]
    NoWayIn,
    /// A question was answered with no.
    #[error("action aborted by user")]
    Aborted,
    /// A question that nobody is there to answer.
    #[error("context with the same name exists: `{name}`")]
    ContextExists {
        /// The name.
        name: String,
    },
    /// No node runs in the data directory.
    #[error("no node runs in `{}`", dir.display())]
    NotRunning {
        /// The data directory.
        dir: PathBuf,
    },
    /// No cluster was begun in the data directory.
    #[error("`{}` holds no authority that could issue a certificate", dir.display())]
    NoAuthority {
        /// The data directory.
        dir: PathBuf,
    },
    /// Another node runs in the data directory.
    #[error("a node runs in `{}` already", dir.display())]
    AlreadyRuns {
        /// The data directory.
        dir: PathBuf,
    },
    /// The lock file is not what a node writes.
    #[error("`{}` does not hold the id of a running smr", path.display())]
    NotOurProcess {
        /// The lock file.
        path: PathBuf,
    },
    /// A process could not be signalled or waited for.
    #[error("cannot stop process {pid}")]
    Signal {
        /// Its id.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// The node could not be run.
    #[error("the node did not start")]
    Start {
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The node ended before it was ready.
    #[error("the node ended before it was ready: {status}")]
    StartedAndEnded {
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
    },
    /// A backup could not be used.
    #[error("cannot use the backup `{}`", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A passphrase that cannot be used.
    #[error("cannot use the passphrase")]
    Passphrase {
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The node cannot go on alone.
    #[error("the node of `{}` was not recovered", dir.display())]
    NotRecovered {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Some part of the node does not work.
    #[error("the node does not work as it should")]
    Unhealthy,
    /// A reference page that is not as it would be generated.
    #[error("`{}` is stale", path.display())]
    Stale {
        /// The file.
        path: PathBuf,
    },
    /// A command of another program.
    #[error("`smrmgr {command}` is not needed")]
    Replaced {
        /// The command.
        command: &'static str,
        /// What replaces it.
        instead: &'static str,
    },
    /// Output that cannot be serialised.
    #[error("cannot print the result as {format}")]
    Serialise {
        /// JSON or YAML.
        format: &'static str,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// Wrong usage with a hint.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// The exit code that goes with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(err) if err.is_unreachable() => exit::UNREACHABLE,
            Self::Edited { source, .. } | Self::NotDrained { source } => source.exit_code(),
            Self::Usage { .. } | Self::Replaced { .. } => exit::USAGE,
            Self::BrokenPipe => exit::DONE,
            Self::Serialise { .. } => exit::BUG,
            _ => exit::REFUSED,
        }
    }

    /// What to try next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Client(err) => return err.hint(),
            Self::Context(smr_pki::ContextError::NoActive) => {
                "start a node with `smr start`, or if one runs here, ask as the user the node runs \
                 as; else use `smrctl context switch NAME` or `smrctl context import`"
            }
            Self::Context(err) => return err.hint(),
            Self::Pki(err) => return err.hint(),
            Self::Start { source } => return start_hint(&**source),
            Self::ResourceNotFound { hint, .. } => return hint.clone(),
            Self::Edited { source, path } => {
                return Some(source.hint().unwrap_or_else(|| {
                    format!("repair it and run `smrctl apply {}`", path.display())
                }));
            }
            Self::Usage { hint, .. } => hint,
            Self::Replaced { instead, .. } => *instead,
            Self::NoSuchSource { .. } => {
                "name a file, a directory, a pack, an http(s) URL, or `-` for standard input"
            }
            Self::NotAPack { .. } => {
                "a pack has `Pack.yaml` and the directory `definitions`; a plain directory of \
                 definitions has neither"
            }
            Self::Exists { .. } => "use another name, or replace it with `--force`",
            Self::ContextExists { .. } => "replace it with `-y`, or choose another name",
            Self::NoAuthority { .. } => {
                "the node makes it at its first start; if its data is elsewhere, name it with \
                 `--data-dir` or `--config`"
            }
            Self::NotRunning { .. } => {
                "start it with `smr start`; if its data is elsewhere, name it with `--data-dir` \
                 or `--config`"
            }
            Self::IdentityChanged { .. } => {
                "prefix, kind, group and name stay; another object is made with `smrctl apply FILE`"
            }
            Self::SeveralReplicas { .. } => "name one of them",
            Self::StatusDenied { .. } => "ask as the user the node runs as, or as root",
            Self::AlreadyRuns { .. } => "stop it with `smr stop`",
            Self::NotOurProcess { .. } => "if no node runs, remove the file",
            Self::WaitTimeout { missing, .. } if !missing.is_empty() => {
                "`smrctl debug REPLICA` says what the node did; a longer wait is `--timeout 10m`"
            }
            Self::RolloutStopped { key, is_paused: true, .. } => {
                return Some(format!(
                    "`smrctl rollout resume {key}` goes on, `smrctl rollout undo {key}` goes back"
                ));
            }
            Self::RolloutStopped { key, .. } => {
                return Some(format!("`smrctl rollout status {key}` shows the replicas"));
            }
            Self::OldUsers { .. } => {
                "give them new certificates (`smr user create NAME`), then run `smrctl cert \
                 rotate-ca finish`; with `--force` they are locked out"
            }
            Self::NotAProgram { .. } => "download the file for this kind of machine again",
            Self::NotUpgraded { .. } => "the node's log says more",
            Self::NotDrained { .. } => {
                "its containers go on running without it when it is stopped with `--now`"
            }
            Self::NoWayIn => {
                "import one with `smr agent import CONTEXT KEY` (`smrctl context export --api \
                 HOST:PORT` on a node prints them), or use `--token-file` (`smrctl token create` \
                 there makes a token)"
            }
            Self::NoLeader => {
                "more than half of the voters have to answer; `smrctl node ls --stale` shows who \
                 is missing"
            }
            Self::ReplicasFailed { .. } => "`smrctl logs REPLICA` shows its output",
            Self::StartedAndEnded { log, .. } => {
                return Some(format!("`{}` says why", log.display()));
            }
            Self::Stale { .. } => "write it again with `smr generate docs`",
            Self::Editor { .. } => "choose one with the environment variable EDITOR",
            Self::Unhealthy => "the node's log says more",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The first line: what failed. Of several mistakes in definitions only the number, as each
    /// has a line of its own.
    fn headline(&self) -> String {
        let Self::Client(smr_client::Error::Api(err)) = self else { return self.to_string() };
        match mistakes(err).as_slice() {
            [] => err.to_string(),
            [only] => detail_line(only),
            several => format!("{} in the definitions", count(several.len(), "mistake")),
        }
    }

    /// Lines below the message: single mistakes, what is missing.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Client(smr_client::Error::Api(err)) => {
                let single = mistakes(err).len() == 1;
                let told = |detail: &&ErrorDetail| !(single && is_mistake(detail));
                err.details.iter().filter(told).map(detail_line).collect()
            }
            Self::Config(errors) if errors.problems().len() > 1 => {
                errors.problems().iter().map(ToString::to_string).collect()
            }
            Self::Definitions { issues } => issues.clone(),
            Self::WaitTimeout { missing, .. } => missing.clone(),
            Self::ReplicasFailed { failed } => failed.clone(),
            Self::Edited { source, .. } => source.lines(),
            _ => Vec::new(),
        }
    }

    /// Whether the cluster says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Client(err) if err.code() == Some(Code::NotFound))
    }

    /// Message, causes, single mistakes and hint, as they go to standard error.
    pub fn report(&self) -> String {
        let mut text = format!("error: {}\n", self.headline());
        let mut cause = self.source();
        if let Self::Edited { source, .. } = self {
            let _ = writeln!(text, "  caused by: {}", source.headline());
            cause = source.source();
        }
        while let Some(err) = cause {
            let _ = writeln!(text, "  caused by: {err}");
            cause = err.source();
        }
        for line in self.lines() {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

/// What to do about a node that did not start, if whatever kept it from starting knows that.
fn start_hint(source: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(source);
    while let Some(err) = next {
        if let Some(err) = err.downcast_ref::<smr_pki::JoinTokenError>() {
            return err.hint();
        }
        if let Some(err) = err.downcast_ref::<smr_pki::PkiError>() {
            return err.hint();
        }
        // What a client would do about its context is not what a node can do.
        if let Some(smr_client::Error::Api(err)) = err.downcast_ref() {
            return err.hint.clone();
        }
        next = err.source();
    }
    None
}

/// `1 mistake`, `3 mistakes`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `: message`, if there is one.
fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// The first of them, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

fn config_message(errors: &smr_config::ConfigErrors) -> String {
    match errors.problems() {
        [problem] => problem.to_string(),
        problems => format!("{} in the configuration", count(problems.len(), "mistake")),
    }
}

/// The mistakes in definitions that a refusal is about.
fn mistakes(err: &ApiError) -> Vec<&ErrorDetail> {
    let invalid = err.code == Code::Invalid;
    err.details.iter().filter(|detail| invalid && is_mistake(detail)).collect()
}

/// Whether it is no warning, which is told beside mistakes.
fn is_mistake(detail: &ErrorDetail) -> bool {
    !detail.message.starts_with("warning: ")
}

fn detail_line(detail: &ErrorDetail) -> String {
    let mut line = detail.file.clone();
    if detail.line > 0 {
        let _ = write!(line, ":{}", detail.line);
        if detail.column > 0 {
            let _ = write!(line, ":{}", detail.column);
        }
    } else if detail.document > 1 {
        let _ = write!(line, " (document {})", detail.document);
    }
    if !line.is_empty() {
        line.push_str(": ");
    }
    if !detail.path.is_empty() {
        let _ = write!(line, "{}: ", detail.path);
    }
    line.push_str(&detail.message);
    if let Some(hint) = &detail.hint {
        let _ = write!(line, "; {hint}");
    }
    line
}

/// Not as a source: its text is the message already.
impl From<smr_config::ConfigErrors> for Error {
    fn from(errors: smr_config::ConfigErrors) -> Self {
        Self::Config(Box::new(errors))
    }
}

impl From<ApiError> for Error {
    fn from(err: ApiError) -> Self {
        Self::Client(err.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_message_mistakes_and_hint() {
        let details = vec![
            ErrorDetail {
                file: "web.yaml".into(),
                document: 1,
                line: 4,
                column: 7,
                path: "spec.ports[0].host".into(),
                message: "`x` is not a port".into(),
                hint: Some("use 1 to 65535".into()),
            },
            ErrorDetail { document: 2, message: "no kind".into(), ..ErrorDetail::default() },
        ];
        let err = ApiError::new(Code::Invalid, "2 mistakes in the definitions")
            .details(details)
            .hint("see `smrctl explain containers`");
        assert_eq!(
            Error::from(err).report(),
            "error: 2 mistakes in the definitions\n  \
             web.yaml:4:7: spec.ports[0].host: `x` is not a port; use 1 to 65535\n   \
             (document 2): no kind\n\
             hint: see `smrctl explain containers`\n"
        );
    }

    #[test]
    fn a_single_mistake_is_told_once_and_warnings_below_it() {
        let detail = |line, message: &str| ErrorDetail {
            file: "a.yaml".into(),
            line,
            column: 1,
            message: message.into(),
            hint: Some("do".into()),
            ..ErrorDetail::default()
        };
        let err = |details| {
            let message = "a.yaml:2:1: is missing";
            Error::from(ApiError::new(Code::Invalid, message).details(details)).report()
        };
        let one = "error: a.yaml:2:1: is missing; do\n";
        assert_eq!(err(vec![detail(2, "is missing")]), one);
        assert_eq!(
            err(vec![detail(1, "warning: unknown"), detail(2, "is missing")]),
            format!("{one}  a.yaml:1:1: warning: unknown; do\n")
        );
        let edited = Error::Edited {
            path: "kept".into(),
            source: Box::new(
                ApiError::new(Code::Invalid, "x").details(vec![detail(2, "is missing")]).into(),
            ),
        };
        assert_eq!(
            edited.report(),
            "error: the changed definition was not accepted; it is kept in `kept`\n  \
             caused by: a.yaml:2:1: is missing; do\nhint: repair it and run `smrctl apply kept`\n"
        );
    }

    #[test]
    fn replicas_to_choose_from_are_named() {
        let several = |number: u32| {
            let replicas = (1..=number).map(|index| format!("a-{index}")).collect();
            Error::SeveralReplicas { resource: "containers/shop/a".into(), replicas }.report()
        };
        assert_eq!(
            several(2),
            "error: `containers/shop/a` has 2 replicas: a-1, a-2\nhint: name one of them\n"
        );
        assert!(several(12).contains("a-10 and 2 more\n"));
    }

    #[test]
    fn exit_codes_tell_refusal_from_absence() {
        let unreachable = smr_client::Error::Timeout {
            url: "https://a:1".into(),
            after: std::time::Duration::from_secs(5),
        };
        assert_eq!(Error::from(unreachable).exit_code(), 3);
        assert_eq!(Error::from(ApiError::new(Code::NotFound, "x")).exit_code(), 1);
        assert_eq!(Error::usage("x", "y").exit_code(), 2);
        assert_eq!(Error::BrokenPipe.exit_code(), 0);
    }
}
