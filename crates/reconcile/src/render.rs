//! From a `containers` definition to what one replica's containers are created from.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::Engine as _;
use jiff::Timestamp;
use smr_model::{
    ContainerFile, ContainerSpec, Definition, Device, HealthCommand, Kind, LogConfig, Mount,
    MountKind, NetworkAttachment, ObjectKey, PortMapping, Reason, RegistryAuth, ReplicaKey, Spec,
    spec::{self, ContainersSpec, HttpMethod, PullPolicy, RestartPolicy, VolumeType},
};

use crate::variables::Scope;

/// Finds objects by key; implemented by whoever holds them.
pub trait Objects {
    /// The definition, with confidential values opened.
    fn get(&self, key: &ObjectKey) -> Option<&Definition>;
}

impl Objects for BTreeMap<ObjectKey, Definition> {
    fn get(&self, key: &ObjectKey) -> Option<&Definition> {
        BTreeMap::get(self, key)
    }
}

/// What rendering needs to know of the node.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// Name of the node, the template variable `node`.
    pub name: String,
}

/// How a check is made.
#[derive(Clone, PartialEq, Eq)]
pub enum ProbeCheck {
    /// Run in the container; success is exit code 0.
    Command(Vec<String>),
    /// Ask by HTTP; success is a 2xx status.
    Url {
        /// Address; `localhost` means the container.
        url: String,
        /// Method.
        method: HttpMethod,
        /// Fields of the JSON body; no body when empty.
        body: BTreeMap<String, String>,
    },
    /// Connect to a port of the container.
    Tcp(u16),
}

/// A readiness or liveness check, rendered. It may carry secrets, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Probe {
    /// Name for messages.
    pub name: String,
    /// How it is made.
    pub check: ProbeCheck,
    /// Readiness: window of attempts; liveness: limit of one attempt.
    pub timeout: Duration,
    /// Liveness: time between checks.
    pub interval: Duration,
    /// Liveness: failures in a row that restart the replica.
    pub failures: u32,
}

/// A replica ready to be carried out. It may carry secrets, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The main container.
    pub main: ContainerSpec,
    /// The init container, run to its end before the main one.
    pub init: Option<ContainerSpec>,
    /// Credentials for the main image.
    pub auth: Option<RegistryAuth>,
    /// Credentials for the init image.
    pub init_auth: Option<RegistryAuth>,
    /// When the main image is pulled.
    pub pull: PullPolicy,
    /// When the init image is pulled.
    pub init_pull: PullPolicy,
    /// Readiness checks, in order.
    pub readiness: Vec<Probe>,
    /// Liveness checks.
    pub liveness: Vec<Probe>,
    /// What happens when the main process ends.
    pub restart: RestartPolicy,
    /// Grace time of a stop.
    pub stop_timeout: Duration,
    /// Ports for tables.
    pub ports: Vec<PortMapping>,
    /// `network` and `volume` objects that must exist on the engine first.
    pub needs: BTreeSet<ObjectKey>,
}

const DEFAULT_STOP: Duration = Duration::from_secs(10);
const DEFAULT_PROBE_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_PROBE_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_PROBE_FAILURES: u32 = 3;
/// Where the init container stands in a definition.
const INIT: &str = "initContainer";
/// Mode of a placed file when none is given.
const DEFAULT_FILE_MODE: u32 = 0o644;

/// Renders replica `key` of `definition` (spec section 3.2), and names every object that was
/// looked at, so that the caller renders again when one of them changes. `now` is what the
/// template function `now` returns; give the time of the definition's last change, so that equal
/// input gives equal containers.
///
/// # Errors
///
/// The reason for which the replica is pending.
pub fn render(
    key: &ReplicaKey,
    definition: &Definition,
    objects: &dyn Objects,
    node: &NodeFacts,
    now: Timestamp,
) -> (Result<Rendered, Reason>, BTreeSet<ObjectKey>) {
    let Spec::Containers(spec, init) = &definition.spec else {
        return (Err(Reason::new("NotContainers", "not a containers object")), BTreeSet::new());
    };
    let generated = key.generated_name();
    let variables = BTreeMap::from([
        ("name".to_owned(), generated.clone()),
        ("node".to_owned(), node.name.clone()),
        ("index".to_owned(), key.index.to_string()),
        ("fqdn".to_owned(), format!("cluster.{generated}.private")),
        ("headless".to_owned(), format!("cluster.{}.{}.private", key.group, key.name)),
    ]);
    let mut scope = Scope::new(objects, now, variables);
    let rendered = rendered(key, definition, spec, init.as_deref(), &mut scope);
    (rendered, scope.into_used())
}

fn rendered(
    key: &ReplicaKey,
    definition: &Definition,
    spec: &ContainersSpec,
    init: Option<&ContainersSpec>,
    scope: &mut Scope<'_>,
) -> Result<Rendered, Reason> {
    scope.define("spec.configuration", &spec.configuration)?;
    for (i, reference) in spec.configurations.iter().enumerate() {
        let object = ObjectKey::new(Kind::Configuration, &reference.group, &reference.name);
        let shown = object.short();
        let Some(Spec::Configuration(data)) = scope.object(object).map(|d| &d.spec) else {
            let message = format!("spec.configurations[{i}]: object `{shown}` does not exist");
            return Err(Reason::new("MissingObject", message));
        };
        scope.define(&shown, &data.data)?;
    }
    let mut needs = BTreeSet::new();
    let mut main = container(key, "spec", spec, scope, &mut needs)?;
    main.name = key.generated_name();
    for (name, value) in &definition.meta.labels {
        let value = scope.text(&format!("meta.labels.{name}"), value)?;
        main.labels.entry(name.clone()).or_insert(value);
    }
    let (mut init_spec, mut init_auth) = (None, None);
    if let Some(init) = init {
        let mut container = container(key, INIT, init, scope, &mut needs)?;
        container.name = key.init_name();
        // Published ports belong to the main container.
        container.ports.clear();
        init_spec = Some(container);
        init_auth = registry_auth(scope, INIT, &init.registry_auth)?;
    }
    let mut readiness = Vec::new();
    for (i, probe) in spec.readiness.iter().enumerate() {
        readiness.push(rendered_probe(&format!("spec.readiness[{i}]"), probe, scope)?);
    }
    let mut liveness = Vec::new();
    for (i, probe) in spec.liveness.iter().enumerate() {
        liveness.push(rendered_probe(&format!("spec.liveness[{i}]"), probe, scope)?);
    }
    Ok(Rendered {
        main,
        init: init_spec,
        auth: registry_auth(scope, "spec", &spec.registry_auth)?,
        init_auth,
        pull: spec.pull_policy,
        init_pull: init.map(|i| i.pull_policy).unwrap_or_default(),
        readiness,
        liveness,
        restart: spec.restart,
        stop_timeout: spec.stop_timeout.map_or(DEFAULT_STOP, |t| t.0),
        ports: smr_model::port_mappings(spec),
        needs,
    })
}

/// `at` is where `spec` stands in the definition.
fn container(
    key: &ReplicaKey,
    at: &str,
    spec: &ContainersSpec,
    scope: &Scope<'_>,
    needs: &mut BTreeSet<ObjectKey>,
) -> Result<ContainerSpec, Reason> {
    let mut env = Vec::with_capacity(spec.envs.len());
    for (i, text) in spec.envs.iter().enumerate() {
        env.push(scope.text(&format!("{at}.envs[{i}]"), text)?);
    }
    let mut labels = BTreeMap::new();
    for (name, value) in &spec.labels {
        labels.insert(name.clone(), scope.text(&format!("{at}.labels.{name}"), value)?);
    }
    let invalid = |what: &str, message: String| {
        Reason::new("InvalidDefinition", format!("{at}.{what}: {message}"))
    };
    let ports = smr_model::ports(spec).map_err(|problems| {
        let messages: Vec<_> = problems.into_iter().map(|p| p.message).collect();
        invalid("ports", messages.join("; "))
    })?;
    let ulimits =
        smr_model::ulimits(&spec.ulimits).map_err(|e| invalid("ulimits", e.to_string()))?;
    Ok(ContainerSpec {
        name: String::new(),
        image: spec.image_reference(),
        env,
        entrypoint: spec.entrypoint.clone(),
        command: spec.args.clone(),
        working_dir: spec.working_dir.clone(),
        user: spec.user.clone(),
        groups: spec.group_add.clone(),
        labels,
        ports,
        mounts: mounts(key, spec, scope, needs),
        files: files(at, spec, scope)?,
        network_mode: spec.network_mode.clone(),
        networks: networks(key, spec, scope, needs),
        dns: spec.dns.clone(),
        extra_hosts: spec.extra_hosts.iter().map(|(host, ip)| format!("{host}:{ip}")).collect(),
        capabilities: spec.capabilities.clone(),
        privileged: spec.privileged,
        cpus: spec.cpus,
        memory: spec.memory,
        memory_reservation: spec.memory_reservation,
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_timeout.map(|t| t.0),
        healthcheck: spec.healthcheck.as_ref().map(health),
        sysctls: spec.sysctls.clone(),
        ulimits,
        devices: spec.devices.iter().map(device).collect(),
        read_only: spec.read_only,
        tmpfs: spec.tmpfs.clone(),
        init: spec.init,
        logging: spec
            .logging
            .as_ref()
            .map(|l| LogConfig { driver: l.driver.clone(), options: l.options.clone() }),
    })
}

fn health(check: &spec::Healthcheck) -> HealthCommand {
    HealthCommand {
        command: check.command.clone(),
        interval: check.interval.map(|d| d.0),
        timeout: check.timeout.map(|d| d.0),
        start_period: check.start_period.map(|d| d.0),
        retries: check.retries,
    }
}

fn device(device: &spec::DeviceSpec) -> Device {
    let or = |text: &String, default: &str| {
        if text.is_empty() { default.to_owned() } else { text.clone() }
    };
    Device {
        host: device.host.clone(),
        container: or(&device.container, &device.host),
        permissions: or(&device.permissions, "rwm"),
    }
}

/// A volume is named by the `volume` object of the replica's group, by that object's engine name,
/// or by the engine's own name for it.
fn mounts(
    key: &ReplicaKey,
    spec: &ContainersSpec,
    scope: &Scope<'_>,
    needs: &mut BTreeSet<ObjectKey>,
) -> Vec<Mount> {
    let mount = |volume: &spec::Volume| {
        let (kind, source) = match volume.kind {
            VolumeType::Bind => (MountKind::Bind, volume.host_path.clone()),
            VolumeType::Tmpfs => (MountKind::Tmpfs, String::new()),
            VolumeType::Volume => {
                let prefix = format!("{}-", key.group);
                let bare = volume.name.strip_prefix(&prefix).unwrap_or(&volume.name);
                let object = [volume.name.as_str(), bare]
                    .into_iter()
                    .map(|name| ObjectKey::new(Kind::Volume, &key.group, name))
                    .find(|object| scope.object(object.clone()).is_some());
                let source = match object {
                    Some(object) => {
                        let source = format!("{}-{}", object.group, object.name);
                        needs.insert(object);
                        source
                    }
                    None => volume.name.clone(),
                };
                (MountKind::Volume, source)
            }
        };
        Mount { kind, source, target: volume.mount_point.clone(), read_only: volume.read_only }
    };
    spec.volumes.iter().map(mount).collect()
}

/// User-defined networks, each with the names other containers know this one by. The engine's own
/// `bridge` is joined by default and has no names.
fn networks(
    key: &ReplicaKey,
    spec: &ContainersSpec,
    scope: &Scope<'_>,
    needs: &mut BTreeSet<ObjectKey>,
) -> Vec<NetworkAttachment> {
    if matches!(spec.network_mode.as_str(), "host" | "none") {
        return Vec::new();
    }
    let mut networks = Vec::new();
    for reference in spec.networks.iter().filter(|n| n.name != "bridge") {
        let object = ObjectKey::new(Kind::Network, &reference.group, &reference.name);
        if scope.object(object.clone()).is_some() {
            needs.insert(object);
        }
        let network = &reference.name;
        networks.push(NetworkAttachment {
            network: network.clone(),
            aliases: vec![
                format!("{network}.{}.private", key.generated_name()),
                format!("{network}.{}.{}.private", key.group, key.name),
            ],
        });
    }
    networks
}

fn files(at: &str, spec: &ContainersSpec, scope: &Scope<'_>) -> Result<Vec<ContainerFile>, Reason> {
    let mut files = Vec::new();
    for (i, mount) in spec.resources.iter().enumerate() {
        let object = ObjectKey::new(Kind::Resource, &mount.group, &mount.name);
        let shown = object.short();
        let Some(Spec::Resource(data)) = scope.object(object).map(|d| &d.spec) else {
            let message = format!("{at}.resources[{i}]: object `{shown}` does not exist");
            return Err(Reason::new("MissingObject", message));
        };
        let Some(text) = data.data.get(&mount.key) else {
            let message = format!("{at}.resources[{i}].key: `{shown}` has no key `{}`", mount.key);
            return Err(Reason::new("MissingKey", message));
        };
        let content = if mount.raw {
            text.clone()
        } else {
            scope.text(&format!("{shown} spec.data.{}", mount.key), text)?
        };
        let permissions = mount.permissions.clone().unwrap_or_default();
        files.push(ContainerFile {
            path: mount.mount_point.clone(),
            content,
            uid: permissions.owner.unwrap_or(0),
            gid: permissions.group.unwrap_or(0),
            mode: permissions.permissions.unwrap_or(DEFAULT_FILE_MODE),
        });
    }
    Ok(files)
}

fn registry_auth(scope: &Scope<'_>, at: &str, text: &str) -> Result<Option<RegistryAuth>, Reason> {
    if text.is_empty() {
        return Ok(None);
    }
    let encoded = scope.text(&format!("{at}.registryAuth"), text)?;
    let auth = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            let (username, password) = text.trim_end().split_once(':')?;
            Some(RegistryAuth { username: username.to_owned(), password: password.to_owned() })
        });
    match auth {
        Some(auth) => Ok(Some(auth)),
        None => {
            let message = format!("{at}.registryAuth: is not base64 of `user:password`");
            Err(Reason::new("InvalidRegistryAuth", message))
        }
    }
}

fn rendered_probe(field: &str, probe: &spec::Probe, scope: &Scope<'_>) -> Result<Probe, Reason> {
    let check = if !probe.command.is_empty() {
        let mut command = Vec::with_capacity(probe.command.len());
        for (i, text) in probe.command.iter().enumerate() {
            command.push(scope.text(&format!("{field}.command[{i}]"), text)?);
        }
        ProbeCheck::Command(command)
    } else if !probe.url.is_empty() {
        let mut body = BTreeMap::new();
        for (name, text) in &probe.body {
            body.insert(name.clone(), scope.text(&format!("{field}.body.{name}"), text)?);
        }
        ProbeCheck::Url {
            url: scope.text(&format!("{field}.url"), &probe.url)?,
            method: probe.method.unwrap_or_default(),
            body,
        }
    } else {
        let text = scope.text(&format!("{field}.tcp"), &probe.tcp)?;
        let port = text.trim().parse().map_err(|_| {
            // What is rendered may be secret: only what is written is shown.
            let message = format!("{field}.tcp: `{}` does not give a port", probe.tcp);
            Reason::new("InvalidDefinition", message)
        })?;
        ProbeCheck::Tcp(port)
    };
    let kind = match &check {
        ProbeCheck::Command(_) => "command",
        ProbeCheck::Url { .. } => "url",
        ProbeCheck::Tcp(_) => "tcp",
    };
    Ok(Probe {
        name: if probe.name.is_empty() { kind.to_owned() } else { probe.name.clone() },
        check,
        timeout: probe.timeout.map_or(DEFAULT_PROBE_TIMEOUT, |t| t.0),
        interval: probe.interval.map_or(DEFAULT_PROBE_INTERVAL, |t| t.0),
        failures: probe.failures.unwrap_or(DEFAULT_PROBE_FAILURES).max(1),
    })
}

#[cfg(test)]
mod tests;
