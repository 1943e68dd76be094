//! What engines are asked and what they answer, as plain data.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use bytes::Bytes;
use jiff::Timestamp;
use smr_model::EngineState;

use crate::ownership::Ownership;

/// What the engine is and runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineInfo {
    /// Name, for example `docker`.
    pub name: String,
    /// Version, for example `20.10.24`.
    pub version: String,
    /// Version of its API that is spoken, for example `1.41`.
    pub api: String,
    /// Operating system of the host.
    pub os: String,
    /// Kernel version.
    pub kernel: String,
    /// Processor architecture, for example `x86_64`.
    pub arch: String,
    /// Number of processors.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Host name the engine reports.
    pub host: String,
    /// Directory of its data on the host.
    pub data_root: String,
}

/// Result of the engine's own health check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Health {
    /// There is no check.
    #[default]
    None,
    /// Not decided yet.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Too many checks in a row failed.
    Unhealthy,
}

impl Health {
    /// The text form, as docker prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A container as the engine knows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without leading slash.
    pub name: String,
    /// State.
    pub state: EngineState,
    /// Exit code of the last run; absent while running and before the first start.
    pub exit_code: Option<i64>,
    /// The kernel killed it for lack of memory.
    pub oom_killed: bool,
    /// The engine's own words about a failed start; empty when there are none.
    pub error: String,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Image reference it was made from.
    pub image: String,
    /// Whose it is; absent when smr did not make it.
    pub ownership: Option<Ownership>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Network name to address; only while running.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Process id on the host; only while running, and only from `inspect`.
    pub pid: Option<u32>,
    /// Result of the engine's own health check.
    pub health: Health,
}

impl Container {
    /// Whether the main process runs (perhaps frozen).
    pub fn is_running(&self) -> bool {
        matches!(self.state, EngineState::Running | EngineState::Paused | EngineState::Restarting)
    }
}

/// An image on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// Id, `sha256:...`.
    pub id: String,
    /// `repository:tag` references.
    pub references: Vec<String>,
    /// `repository@sha256:...` references.
    pub digests: Vec<String>,
    /// Size in bytes.
    pub size: u64,
    /// When it was built.
    pub created_at: Option<Timestamp>,
}

/// How far a pull is. Counts grow while layers become known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PullProgress {
    /// Layers that are complete.
    pub layers_done: u32,
    /// Layers known so far.
    pub layers_total: u32,
    /// Bytes downloaded.
    pub bytes_done: u64,
    /// Bytes to download, as far as known.
    pub bytes_total: u64,
}

impl fmt::Display for PullProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} layers", self.layers_done, self.layers_total)?;
        if self.bytes_total > 0 {
            write!(f, ", {}/{} MB", self.bytes_done / 1_000_000, self.bytes_total / 1_000_000)?;
        }
        Ok(())
    }
}

/// Called with the progress of a pull, often; must not block.
pub type Progress<'a> = &'a (dyn Fn(PullProgress) + Send + Sync);

/// Ignores the progress of a pull.
pub fn no_progress(_: PullProgress) {}

/// What became of a command that was run to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutcome {
    /// Exit code; 0 is success. 124 when it did not end in time.
    pub exit_code: i64,
    /// It did not end in time, and may still be running in the container.
    pub timed_out: bool,
    /// End of standard output and standard error together, at most [`EXEC_OUTPUT_LIMIT`] bytes.
    pub output: String,
}

/// How much output of a check is kept.
pub const EXEC_OUTPUT_LIMIT: usize = 4096;

/// Which stream bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Some output of a container or of a command in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where from.
    pub channel: Channel,
    /// The bytes; not necessarily whole lines.
    pub bytes: Bytes,
}

/// Which part of the output is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Go on with what comes, until the container ends.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only what was written at or after this second.
    pub since: Option<Timestamp>,
    /// Put the time before each line.
    pub timestamps: bool,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A command to run in a container, interactively.
#[derive(Clone, Default)]
pub struct ExecRequest {
    /// Command without shell.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
    /// Additional environment as `KEY=VALUE`.
    pub env: Vec<String>,
    /// User; the container's when absent.
    pub user: Option<String>,
    /// Working directory; the container's when absent.
    pub working_dir: Option<String>,
    /// First size of the terminal.
    pub size: Option<TerminalSize>,
}

impl fmt::Debug for ExecRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Commands and environments typed by people may carry secrets.
        f.debug_struct("ExecRequest").field("tty", &self.tty).finish_non_exhaustive()
    }
}

/// A network that should exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRequest {
    /// Name in the engine.
    pub name: String,
    /// Driver; `bridge` when empty.
    pub driver: String,
    /// Address range in CIDR form; the engine chooses when empty.
    pub subnet: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Labels; ownership labels are added.
    pub labels: BTreeMap<String, String>,
}

/// A volume that should exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeRequest {
    /// Name in the engine.
    pub name: String,
    /// Driver; `local` when empty.
    pub driver: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels; ownership labels are added.
    pub labels: BTreeMap<String, String>,
}

/// What became of a request that something exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    /// Made now.
    Created,
    /// Was there already, as asked for.
    Existed,
    /// Is there, but differs; one sentence per difference. It was left as it is.
    Differs(Vec<String>),
}

/// A network with what became of the request for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOutcome {
    /// Id of the network.
    pub id: String,
    /// Whether it was made.
    pub ensured: Ensured,
    /// Whether smr made it (now or earlier).
    pub ours: bool,
}

/// A volume with what became of the request for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOutcome {
    /// Whether it was made.
    pub ensured: Ensured,
    /// Whether smr made it (now or earlier).
    pub ours: bool,
}

/// A network of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Address ranges.
    pub subnets: Vec<String>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// All labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Where it is on the host.
    pub mount_point: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEventKind {
    /// Was made.
    Created,
    /// Its main process runs.
    Started,
    /// Its main process ended with this exit code.
    Died(i64),
    /// The kernel killed a process of it for lack of memory.
    OutOfMemory,
    /// Is gone.
    Removed,
    /// Was frozen.
    Paused,
    /// Was unfrozen.
    Unpaused,
    /// Its own health check changed its mind.
    Health(Health),
    /// Joined this network.
    Connected(String),
    /// Left this network.
    Disconnected(String),
}

/// An event of one of our containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// When, by the engine's clock.
    pub time: Timestamp,
    /// Id of the container.
    pub container_id: String,
    /// Name of the container, where the engine tells.
    pub name: String,
    /// Whose it is; absent for network events.
    pub ownership: Option<Ownership>,
    /// What happened.
    pub kind: EngineEventKind,
}
