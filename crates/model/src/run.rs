//! What one container is created from: rendered, engine-neutral, comparable.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::quantity::{Bytes, Cpus};

/// Everything that decides how a container is created. Two equal values give containers that need
/// not be replaced by one another; the digest of the canonical form is the container's spec hash.
///
/// Environment and files may carry secrets, so there is no derived `Debug`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Container name, also its host name.
    pub name: String,
    /// Image reference with tag or digest.
    pub image: String,
    /// Environment as `KEY=VALUE`.
    pub env: Vec<String>,
    /// Replaces the image's entry point unless empty.
    pub entrypoint: Vec<String>,
    /// Replaces the image's command unless empty.
    pub command: Vec<String>,
    /// Working directory unless empty.
    pub working_dir: String,
    /// User unless empty.
    pub user: String,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// Labels users asked for; ownership labels are added by the engine driver.
    pub labels: BTreeMap<String, String>,
    /// Ports, exposed and perhaps published.
    pub ports: Vec<PortBinding>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Files placed between creation and start.
    pub files: Vec<ContainerFile>,
    /// Network mode: empty (engine default), `bridge`, `host`, `none` or a network's name.
    pub network_mode: String,
    /// Networks joined besides the mode's own, before the start.
    pub networks: Vec<NetworkAttachment>,
    /// DNS servers.
    pub dns: Vec<String>,
    /// Additional host names, `name:address`.
    pub extra_hosts: Vec<String>,
    /// Capabilities to add.
    pub capabilities: Vec<String>,
    /// All privileges.
    pub privileged: bool,
    /// Processor limit.
    pub cpus: Option<Cpus>,
    /// Memory limit.
    pub memory: Option<Bytes>,
    /// Memory promised.
    pub memory_reservation: Option<Bytes>,
    /// Signal for a graceful stop unless empty.
    pub stop_signal: String,
    /// Grace time of a stop; it does not make a container different.
    #[serde(skip)]
    pub stop_timeout: Option<Duration>,
    /// Health check of the engine.
    pub healthcheck: Option<HealthCommand>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Process limits.
    pub ulimits: Vec<Ulimit>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Read-only root file system.
    pub read_only: bool,
    /// In-memory file systems, path to options.
    pub tmpfs: BTreeMap<String, String>,
    /// A small init as process 1.
    pub init: bool,
    /// Log driver.
    pub logging: Option<LogConfig>,
}

impl fmt::Debug for ContainerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerSpec")
            .field("name", &self.name)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

/// Transport protocol of a port.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

/// One port of the container; ranges are expanded before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// Port in the container.
    pub container: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Published host port; `Some(0)` lets the engine choose.
    pub host: Option<u16>,
    /// Address the host listens on; empty for all.
    pub host_ip: String,
}

/// The kind of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    #[default]
    Bind,
    /// A named volume.
    Volume,
    /// Memory.
    Tmpfs,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Kind.
    pub kind: MountKind,
    /// Host path or engine volume name; empty for memory.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// No write access.
    pub read_only: bool,
}

/// A file placed into the container between creation and start.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFile {
    /// Absolute path in the container.
    pub path: String,
    /// Content; may be secret.
    pub content: String,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Mode bits.
    pub mode: u32,
}

impl fmt::Debug for ContainerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerFile({}, {} bytes)", self.path, self.content.len())
    }
}

/// Membership in a user-defined network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAttachment {
    /// Engine name of the network.
    pub network: String,
    /// Names under which the container is found on it.
    pub aliases: Vec<String>,
}

/// Health check of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCommand {
    /// Command without shell.
    pub command: Vec<String>,
    /// Time between checks.
    pub interval: Option<Duration>,
    /// How long one check may take.
    pub timeout: Option<Duration>,
    /// Grace period after the start.
    pub start_period: Option<Duration>,
    /// Failures before unhealthy.
    pub retries: Option<u32>,
}

/// A process limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Name, for example `nofile`.
    pub name: String,
    /// Soft limit; -1 is unlimited.
    pub soft: i64,
    /// Hard limit; -1 is unlimited.
    pub hard: i64,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// Access, any of `rwm`.
    pub permissions: String,
}

/// Log driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Driver.
    pub driver: String,
    /// Options.
    pub options: BTreeMap<String, String>,
}

/// Credentials for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryAuth({}, [redacted])", self.username)
    }
}
