//! `containers`: replicated containers.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::placement::{Placement, Reschedule, UpdatePolicy};
use crate::quantity::{Bytes, Cpus, GoDuration};

/// What the replicas of a `containers` object are made of, and when they count as ready.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainersSpec {
    /// Image repository; may include a registry host.
    pub image: String,
    /// Image tag, or a digest of the form `sha256:...`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// base64 of `user:password` for the image's registry; may be a template.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registry_auth: String,
    /// When the image is pulled: `IfNotPresent` (default), `Always` or `Never`.
    #[serde(skip_serializing_if = "is_default")]
    pub pull_policy: PullPolicy,
    /// Number of replicas; 1 when absent.
    #[schemars(range(max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Environment, each `KEY=VALUE`; templates are rendered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub envs: Vec<String>,
    /// Replaces the image's entry point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Replaces the image's command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Working directory; the image's when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Other replicas that must be ready before this one starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// Checks that must succeed once before the replica counts as ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness: Vec<Probe>,
    /// Checks repeated while the replica runs; failing ones restart it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub liveness: Vec<Probe>,
    /// Networks to join besides the engine's `bridge`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkRef>,
    /// Network mode of the engine: empty, `bridge`, `host` or `none`.
    #[serde(rename = "network_mode", skip_serializing_if = "String::is_empty")]
    pub network_mode: String,
    /// Ports, published where `host` is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Template variables of this object; values may be templates themselves.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub configuration: BTreeMap<String, String>,
    /// `configuration` objects whose keys become template variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub configurations: Vec<ObjectNameRef>,
    /// Files from `resource` objects, rendered and placed into the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceMount>,
    /// Linux capabilities to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// User (and group) the process runs as, `name`, `uid` or `uid:gid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// All capabilities and devices of the host.
    #[serde(skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// On which nodes replicas go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Rules for the choice of nodes beyond `spread`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// When a replica may leave its node: `on-node-failure` (default), `always` or `never`.
    #[serde(skip_serializing_if = "is_default")]
    pub reschedule: Reschedule,
    /// How long its node may be down before the replica is moved; not at all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reschedule_grace: Option<GoDuration>,
    /// How a change of this definition reaches the replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<UpdatePolicy>,
    /// Names of nodes; accepted for compatibility.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Additional DNS servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Processor limit, for example `0.5` or `500m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// Processors the replica is promised; used for placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_reservation: Option<Cpus>,
    /// Memory limit, for example `256MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Memory the replica is promised; used for placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<Bytes>,
    /// What happens when the main process ends: `always` (default), `on-failure` or `never`.
    #[serde(skip_serializing_if = "is_default")]
    pub restart: RestartPolicy,
    /// Signal that asks the process to end; the image's or SIGTERM when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// How long the process may take to end before it is killed; 10 s when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<GoDuration>,
    /// Health check run by the engine itself; shown in `inspect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Kernel parameters of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Resource limits of the process, `name: soft` or `name: soft:hard`, for example
    /// `nofile: 1024:4096`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, String>,
    /// Host devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceSpec>,
    /// Makes the container's root file system read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// In-memory file systems: path to mount options, for example `/run: size=16m`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Runs a small init as process 1 that reaps children and forwards signals.
    #[serde(skip_serializing_if = "is_default")]
    pub init: bool,
    /// Additional lines of `/etc/hosts`, host name to address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_hosts: BTreeMap<String, String>,
    /// Log driver of the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Labels of the container only; `meta.labels` are added as well.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ContainersSpec {
    /// The number of replicas, 1 when not given.
    pub fn replica_count(&self) -> u32 {
        self.replicas.unwrap_or(1)
    }

    /// `image:tag` or `image@sha256:...`.
    pub fn image_reference(&self) -> String {
        match self.tag.as_str() {
            "" => format!("{}:latest", self.image),
            digest if digest.starts_with("sha256:") => format!("{}@{digest}", self.image),
            tag => format!("{}:{tag}", self.image),
        }
    }
}

impl fmt::Debug for ContainersSpec {
    /// Environment, variables and registry credentials may be written out in a definition, so
    /// only their names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hide = |value: &mut String| crate::redact::MASK.clone_into(value);
        let mut shown = self.clone();
        if !shown.registry_auth.is_empty() {
            hide(&mut shown.registry_auth);
        }
        for env in &mut shown.envs {
            let name = env.split('=').next().unwrap_or_default();
            *env = format!("{name}=...");
        }
        shown.configuration.values_mut().for_each(hide);
        f.write_str("ContainersSpec ")?;
        f.write_str(&crate::digest::canonical_json(&shown))
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// Only when the engine does not have it.
    #[default]
    IfNotPresent,
    /// Before every creation of a container.
    Always,
    /// Not at all; a missing image is an error.
    Never,
}

/// What happens when the main process ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// The replica is started again, whatever the exit code.
    #[default]
    Always,
    /// The replica is started again unless the exit code is 0.
    OnFailure,
    /// The replica runs once.
    Never,
}

/// Replicas that must be ready first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependency {
    /// Prefix and version; the default one when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Group of the other replicas.
    pub group: String,
    /// A replica (`shop-db-1`), an object (`db`: all its replicas) or `*` (all of the group).
    pub name: String,
    /// How long to wait before the state becomes `depends_failed`; waiting then goes on with
    /// back-off. 30 s when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
}

/// A check of a replica: exactly one of `command`, `url` and `tcp`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// A name for messages.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Accepted for compatibility; the kind of check follows from the other fields.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Address asked from the node; `localhost` means the container. Success is status 200-299.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// HTTP method for `url`; GET when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Fields of the JSON body sent to `url`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub body: BTreeMap<String, String>,
    /// Command run in the container; success is exit code 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Port of the container that must accept a TCP connection.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tcp: String,
    /// Readiness: how long attempts are repeated. Liveness: how long one attempt may take.
    /// 30 s when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// Liveness: time between two checks; 10 s when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// Liveness: failures in a row before the replica is restarted; 3 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

/// HTTP method of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
}

/// A `network` object, or a network the engine already has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkRef {
    /// Group of the network object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Name of the network.
    pub name: String,
}

/// A port of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// Port in the container, `80` or `53/udp`.
    pub container: String,
    /// Where the host listens: `8080`, `127.0.0.1:8080`, or empty for not published.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// `volume`: the name of a `volume` object of the same group, or of an engine volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `bind` (also `hostPath`), `volume` or `tmpfs`.
    #[serde(rename = "type")]
    pub kind: VolumeType,
    /// `bind`: absolute path on the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_path: String,
    /// Absolute path in the container.
    pub mount_point: String,
    /// Accepted for compatibility; not used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub_path: String,
    /// Mount without write access.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Whether the data may be left behind: the replica can be placed on another node although the
    /// volume is on this one. Volumes keep their replica where it is when absent.
    #[serde(skip_serializing_if = "is_default")]
    pub movable: bool,
    /// Accepted for compatibility; not used on mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_info: Option<FileInfo>,
}

/// The type of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumeType {
    /// A path of the host.
    #[default]
    #[serde(rename = "bind", alias = "hostPath", alias = "hostpath")]
    Bind,
    /// A named volume.
    #[serde(rename = "volume")]
    Volume,
    /// An in-memory file system.
    #[serde(rename = "tmpfs")]
    Tmpfs,
}

/// Owner and mode, accepted for compatibility.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FileInfo {
    /// User id.
    pub owner: Option<u32>,
    /// Group id.
    pub group: Option<u32>,
    /// Mode.
    pub permissions: Option<u32>,
}

/// A `configuration` object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectNameRef {
    /// Group of the object.
    pub group: String,
    /// Name of the object.
    pub name: String,
}

/// One key of a `resource` object, placed as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceMount {
    /// Group of the resource object.
    pub group: String,
    /// Name of the resource object.
    pub name: String,
    /// Key within the object's `data`.
    pub key: String,
    /// Absolute path of the file in the container.
    pub mount_point: String,
    /// Owner and mode of the file; root and 0644 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// Places the text as it is, without rendering templates.
    #[serde(skip_serializing_if = "is_default")]
    pub raw: bool,
}

/// Owner and mode of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Permissions {
    /// User id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// Group id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Mode, for example `0644`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<u32>,
}

/// Placement of replicas on nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Spread {
    /// `specific` (the nodes of `agents`) or `uniform` (all nodes).
    pub spread: SpreadKind,
    /// Node ids for `specific`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<u64>,
}

/// The kind of placement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpreadKind {
    /// On the nodes named in `agents`, in contiguous chunks.
    #[default]
    Specific,
    /// On all nodes, in contiguous chunks.
    Uniform,
}

/// A health check run by the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Healthcheck {
    /// Command; success is exit code 0.
    pub command: Vec<String>,
    /// Time between checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<GoDuration>,
    /// How long one check may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// Time after the start in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<GoDuration>,
    /// Failures in a row before the container counts as unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
}

/// A host device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceSpec {
    /// Path on the host.
    pub host: String,
    /// Path in the container; the same as on the host when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Any of `r`, `w`, `m`; `rwm` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub permissions: String,
}

/// Log driver of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Logging {
    /// Driver, for example `json-file`, `local`, `journald`.
    pub driver: String,
    /// Driver options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}
