//! What became of replicas and nodes, as stored and shown. Never carries a secret value.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::key::{ObjectKey, ReplicaKey};

/// Lifecycle state of a replica (spec 4.1). The text form is an interface: scripts wait for it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Accepted.
    #[default]
    Created,
    /// A restart was asked for.
    Restarting,
    /// An old container of that name is being removed.
    Clean,
    /// Templates are being rendered.
    Prepare,
    /// Waits for something that does not exist yet; goes on by itself.
    Pending,
    /// Waits until another node, from which it was moved, no longer runs it.
    Transfering,
    /// Waits for dependencies to be ready.
    DependsChecking,
    /// Dependencies are ready.
    DependsSolved,
    /// Dependencies were not ready in time; checked again with back-off.
    DependsFailed,
    /// The init container runs.
    Init,
    /// The init container failed; tried again with back-off.
    InitFailed,
    /// Image is pulled, container created and started.
    Start,
    /// Readiness checks run.
    ReadinessCheck,
    /// Readiness checks succeeded.
    ReadinessReady,
    /// Readiness checks did not succeed in time.
    ReadinessFailed,
    /// Runs and is ready.
    Running,
    /// Is being stopped.
    Kill,
    /// The main process ended.
    Dead,
    /// Too many deaths in a row; started again after a delay.
    Backoff,
    /// The engine refused or is unreachable; tried again with back-off.
    DaemonFailure,
    /// Ran to its end and is not to be restarted.
    Completed,
    /// Ended with an error and is not to be restarted.
    Failed,
    /// Is being removed.
    Delete,
}

impl ReplicaState {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Restarting => "restarting",
            Self::Clean => "clean",
            Self::Prepare => "prepare",
            Self::Pending => "pending",
            Self::Transfering => "transfering",
            Self::DependsChecking => "depends_checking",
            Self::DependsSolved => "depends_solved",
            Self::DependsFailed => "depends_failed",
            Self::Init => "init",
            Self::InitFailed => "init_failed",
            Self::Start => "start",
            Self::ReadinessCheck => "readiness_check",
            Self::ReadinessReady => "readiness_ready",
            Self::ReadinessFailed => "readiness_failed",
            Self::Running => "running",
            Self::Kill => "kill",
            Self::Dead => "dead",
            Self::Backoff => "backoff",
            Self::DaemonFailure => "daemon_failure",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Delete => "delete",
        }
    }

    /// Whether waiting for the replica may end here with success: it runs and is ready, or has
    /// run to its end.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Running | Self::Completed)
    }

    /// Whether the state tells of trouble a person may have to look at.
    pub fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::DependsFailed
                | Self::InitFailed
                | Self::ReadinessFailed
                | Self::Backoff
                | Self::DaemonFailure
                | Self::Failed
        )
    }
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// State of a container as its engine reports it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    /// Made, never started.
    #[default]
    Created,
    /// The main process runs.
    Running,
    /// Frozen.
    Paused,
    /// The engine itself is restarting it.
    Restarting,
    /// Is being removed.
    Removing,
    /// The main process ended.
    Exited,
    /// Could not be removed or started by the engine.
    Dead,
}

impl EngineState {
    /// The text form, as docker prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// State of a replica's image on its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageState {
    /// Nothing was done about it yet.
    #[default]
    Idle,
    /// Is being pulled.
    Pulling,
    /// Is there.
    Pulled,
    /// Could not be pulled; tried again with back-off.
    Failed,
}

impl ImageState {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pulling => "pulling",
            Self::Pulled => "pulled",
            Self::Failed => "failed",
        }
    }
}

/// Why a replica is in its state: a code for programs and a sentence for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Stable code in CamelCase, for example `MissingObject`, `ImagePullFailed`, `CrashLoop`.
    pub code: String,
    /// What happened and what is being waited for. Free of secret values.
    pub message: String,
}

impl Reason {
    /// A reason from its parts.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// A port as tables show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port in the container, `80` or `53/udp`.
    pub container: String,
    /// Published host port or `address:port`; empty when not published.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
}

/// What became of one replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Which replica.
    pub key: ReplicaKey,
    /// Name of the node it is on.
    pub node: String,
    /// Id of the node it is on.
    pub node_id: u64,
    /// Lifecycle state.
    pub state: ReplicaState,
    /// Since when it is in that state.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Why, where there is more to say than the state does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Whether readiness checks succeeded and the main process has run ever since.
    pub ready: bool,
    /// Generation of the object this status is about.
    pub generation: u64,
    /// Keyed digest of the rendered specification the container was made from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub spec_hash: String,
    /// Image reference.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// State of the image.
    #[serde(default)]
    pub image_state: ImageState,
    /// Container id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// State of the container; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_state: Option<EngineState>,
    /// Exit code of the last run of the main process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How often the main process was started again after it had ended.
    #[serde(default)]
    pub restarts: u32,
    /// Deaths in a row, each within ten minutes of its start.
    #[serde(default)]
    pub quick_deaths: u32,
    /// When the container was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// When it is tried again, if it is waiting for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub retry_at: Option<Timestamp>,
    /// Token of the last restart request that was carried out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restart_token: String,
    /// Ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// Dependencies as `<group>.<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Addresses, network name to IP address.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub addresses: std::collections::BTreeMap<String, String>,
}

impl ReplicaStatus {
    /// Status of a replica nobody has looked at yet.
    pub fn new(key: ReplicaKey, node: impl Into<String>, node_id: u64, now: Timestamp) -> Self {
        Self {
            key,
            node: node.into(),
            node_id,
            state: ReplicaState::Created,
            since: now,
            reason: None,
            ready: false,
            generation: 0,
            spec_hash: String::new(),
            image: String::new(),
            image_state: ImageState::Idle,
            container_id: String::new(),
            engine_state: None,
            exit_code: None,
            restarts: 0,
            quick_deaths: 0,
            started_at: None,
            retry_at: None,
            restart_token: String::new(),
            ports: Vec::new(),
            dependencies: Vec::new(),
            addresses: std::collections::BTreeMap::new(),
        }
    }
}

/// Something that happened, in the shape scripts know (spec 9.4), with time and text added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Position: revision of the keyspace, and count within it. `events --from` resumes there.
    #[serde(default)]
    pub revision: u64,
    /// State name (`running`, `readiness_ready`, ...), or `applied`, `changed`, `deleted`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// The object, or for `containers` the replica by its generated name.
    pub object: ObjectKey,
    /// When.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// Name of the node that says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// More to say, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Id, small and stable.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Addresses of its control API.
    pub addresses: Vec<String>,
    /// Version of smr.
    pub version: String,
    /// Engine name and version, for example `docker 20.10.24`; empty when not reached yet.
    pub engine: String,
    /// Whether the engine answers.
    pub engine_ready: bool,
    /// Trouble with the engine, if any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine_message: String,
    /// Operating system, as the engine reports it.
    #[serde(default)]
    pub os: String,
    /// Kernel version.
    #[serde(default)]
    pub kernel: String,
    /// Processor architecture.
    #[serde(default)]
    pub arch: String,
    /// Number of processors.
    #[serde(default)]
    pub cpus: u64,
    /// Memory in bytes.
    #[serde(default)]
    pub memory: u64,
    /// Processors kept for the machine itself, in thousandths.
    #[serde(default)]
    pub reserved_cpu_millis: u64,
    /// Bytes of memory kept for the machine itself.
    #[serde(default)]
    pub reserved_memory: u64,
    /// Storage driver of the engine.
    #[serde(default)]
    pub driver: String,
    /// Where other nodes reach it, `host:9212`; empty when it does not listen for them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// Labels from the configuration.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub labels: std::collections::BTreeMap<String, String>,
    /// When the process started.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
}
