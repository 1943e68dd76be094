//! Between our data and the models of the Docker API.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary,
    ContainerSummaryStateEnum, DeviceMapping, EndpointSettings, HealthConfig, HealthStatusEnum,
    HostConfig, HostConfigLogConfig, Mount, MountType, NetworkingConfig,
    PortBinding as ApiPortBinding, ResourcesUlimits,
};
use jiff::Timestamp;
use smr_model::{ContainerSpec, EngineState, HealthCommand, MountKind, NetworkAttachment};

use crate::{
    ownership::Ownership,
    types::{Container, Health},
};

/// Networks of a container: its mode, what can be joined with the creation call, what needs a call
/// of its own.
pub(super) struct NetworkPlan {
    pub(super) mode: Option<String>,
    pub(super) at_creation: HashMap<String, EndpointSettings>,
    pub(super) afterwards: Vec<(String, EndpointSettings)>,
}

/// `many` says whether the engine takes more than one network at creation.
pub(super) fn network_plan(spec: &ContainerSpec, many: bool) -> NetworkPlan {
    let mode = spec.network_mode.as_str();
    let shared = matches!(mode, "host" | "none") || mode.starts_with("container:");
    if shared {
        return NetworkPlan {
            mode: Some(mode.to_owned()),
            at_creation: HashMap::new(),
            afterwards: Vec::new(),
        };
    }
    let first = if matches!(mode, "" | "default") { "bridge" } else { mode };
    let mut networks = vec![(first.to_owned(), endpoint(first, &[]))];
    for NetworkAttachment { network, aliases } in &spec.networks {
        let settings = endpoint(network, aliases);
        match networks.iter_mut().find(|(name, _)| name == network) {
            Some((_, known)) => *known = settings,
            None => networks.push((network.clone(), settings)),
        }
    }
    let (now, afterwards) = if many {
        (networks, Vec::new())
    } else {
        (networks[..1].to_vec(), networks[1..].to_vec())
    };
    // A plain container on the default network needs no words about it.
    let plain = now.len() == 1 && first == "bridge";
    NetworkPlan {
        mode: (!mode.is_empty() || now.len() > 1).then(|| first.to_owned()),
        at_creation: if plain { HashMap::new() } else { now.into_iter().collect() },
        afterwards,
    }
}

/// Names of the networks somebody must have made before.
pub(super) fn user_networks(spec: &ContainerSpec) -> Vec<String> {
    let plan = network_plan(spec, false);
    let builtin = |name: &str| {
        matches!(name, "bridge" | "host" | "none" | "default") || name.starts_with("container:")
    };
    let afterwards = plan.afterwards.into_iter().map(|(name, _)| name);
    plan.mode.into_iter().chain(afterwards).filter(|name| !builtin(name)).collect()
}

fn endpoint(network: &str, aliases: &[String]) -> EndpointSettings {
    // The default network has no names.
    let aliases = (network != "bridge" && !aliases.is_empty()).then(|| aliases.to_vec());
    EndpointSettings { aliases, ..Default::default() }
}

/// The body of the creation call. Never a restart policy: smr starts again what ended.
pub(super) fn create_body(
    spec: &ContainerSpec,
    labels: BTreeMap<String, String>,
    mode: Option<String>,
    endpoints: HashMap<String, EndpointSettings>,
) -> ContainerCreateBody {
    let mut all_labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    all_labels.extend(labels);
    let exposed: Vec<String> =
        spec.ports.iter().map(|p| format!("{}/{}", p.container, p.protocol.as_str())).collect();
    let shares_host_name = spec.network_mode.starts_with("container:");
    ContainerCreateBody {
        hostname: (!shares_host_name).then(|| host_name(&spec.name)),
        image: Some(spec.image.clone()),
        env: list(&spec.env),
        entrypoint: list(&spec.entrypoint),
        cmd: list(&spec.command),
        working_dir: text(&spec.working_dir),
        user: text(&spec.user),
        labels: Some(all_labels),
        exposed_ports: list(&exposed),
        stop_signal: text(&spec.stop_signal),
        stop_timeout: spec.stop_timeout.map(|t| t.as_secs_f64().ceil() as i64),
        healthcheck: spec.healthcheck.as_ref().map(health_config),
        host_config: Some(host_config(spec, mode)),
        networking_config: (!endpoints.is_empty())
            .then_some(NetworkingConfig { endpoints_config: Some(endpoints) }),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec, mode: Option<String>) -> HostConfig {
    let mut bindings: HashMap<String, Option<Vec<ApiPortBinding>>> = HashMap::new();
    for port in &spec.ports {
        let Some(host) = port.host else { continue };
        let key = format!("{}/{}", port.container, port.protocol.as_str());
        let binding = ApiPortBinding {
            host_ip: text(&port.host_ip),
            host_port: Some(if host == 0 { String::new() } else { host.to_string() }),
        };
        bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }
    HostConfig {
        network_mode: mode,
        port_bindings: (!bindings.is_empty()).then_some(bindings),
        mounts: collect(&spec.mounts, |m| Mount {
            typ: Some(match m.kind {
                MountKind::Bind => MountType::BIND,
                MountKind::Volume => MountType::VOLUME,
                MountKind::Tmpfs => MountType::TMPFS,
            }),
            source: (m.kind != MountKind::Tmpfs).then(|| m.source.clone()),
            target: Some(m.target.clone()),
            read_only: m.read_only.then_some(true),
            ..Default::default()
        }),
        dns: list(&spec.dns),
        extra_hosts: list(&spec.extra_hosts),
        group_add: list(&spec.groups),
        cap_add: list(&spec.capabilities),
        privileged: spec.privileged.then_some(true),
        nano_cpus: spec.cpus.map(|cpus| (cpus.0 as i64).saturating_mul(1_000_000)),
        memory: spec.memory.map(|bytes| bytes.0 as i64),
        memory_reservation: spec.memory_reservation.map(|bytes| bytes.0 as i64),
        sysctls: map(&spec.sysctls),
        ulimits: collect(&spec.ulimits, |u| ResourcesUlimits {
            name: Some(u.name.clone()),
            soft: Some(u.soft),
            hard: Some(u.hard),
        }),
        devices: collect(&spec.devices, |d| DeviceMapping {
            path_on_host: Some(d.host.clone()),
            path_in_container: Some(
                if d.container.is_empty() { &d.host } else { &d.container }.clone(),
            ),
            cgroup_permissions: Some(
                if d.permissions.is_empty() { "rwm" } else { &d.permissions }.to_owned(),
            ),
        }),
        readonly_rootfs: spec.read_only.then_some(true),
        tmpfs: map(&spec.tmpfs),
        init: spec.init.then_some(true),
        log_config: spec.logging.as_ref().map(|log| HostConfigLogConfig {
            typ: Some(log.driver.clone()),
            config: map(&log.options),
        }),
        ..Default::default()
    }
}

fn health_config(check: &HealthCommand) -> HealthConfig {
    let nanos = |t: Option<std::time::Duration>| t.map(|t| t.as_nanos() as i64);
    HealthConfig {
        test: Some(
            std::iter::once("CMD".to_owned()).chain(check.command.iter().cloned()).collect(),
        ),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        start_period: nanos(check.start_period),
        retries: check.retries.map(i64::from),
        ..Default::default()
    }
}

/// Host names end after 63 characters; container names go on.
fn host_name(name: &str) -> String {
    let end = name.len().min(63);
    name.get(..end).unwrap_or(name).trim_end_matches(['-', '.', '_']).to_owned()
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn list(values: &[String]) -> Option<Vec<String>> {
    (!values.is_empty()).then(|| values.to_vec())
}

fn map(values: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!values.is_empty()).then(|| values.clone().into_iter().collect())
}

fn collect<T, U>(values: &[T], convert: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!values.is_empty()).then(|| values.iter().map(convert).collect())
}

/// A container as the list call tells it: without times, process id and causes of death.
pub(super) fn from_summary(summary: &ContainerSummary) -> Container {
    let labels = sorted(summary.labels.clone());
    let state = match summary.state {
        Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::STOPPING) => {
            EngineState::Running
        }
        Some(ContainerSummaryStateEnum::PAUSED) => EngineState::Paused,
        Some(ContainerSummaryStateEnum::RESTARTING) => EngineState::Restarting,
        Some(ContainerSummaryStateEnum::REMOVING) => EngineState::Removing,
        Some(ContainerSummaryStateEnum::EXITED) => EngineState::Exited,
        Some(ContainerSummaryStateEnum::DEAD) => EngineState::Dead,
        _ => EngineState::Created,
    };
    let networks =
        summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let status = summary.status.as_deref().unwrap_or_default();
    Container {
        id: summary.id.clone().unwrap_or_default(),
        name: plain_name(summary.names.iter().flatten().map(String::as_str)),
        state,
        created_at: summary.created.and_then(|s| Timestamp::from_second(s).ok()),
        image: summary.image.clone().unwrap_or_default(),
        ownership: Ownership::from_labels(&labels),
        labels,
        addresses: addresses(networks),
        health: if status.contains("(healthy)") {
            Health::Healthy
        } else if status.contains("(unhealthy)") {
            Health::Unhealthy
        } else if status.contains("(health: starting)") {
            Health::Starting
        } else {
            Health::None
        },
        ..Default::default()
    }
}

/// What changes with every start: a running container of the same mark has not been started
/// again, so what inspection told about it still holds.
pub(super) fn start_mark(summary: &ContainerSummary) -> Vec<String> {
    let networks =
        summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut mark: Vec<String> = networks
        .into_iter()
        .flatten()
        .map(|(name, e)| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            format!("{name} {} {}", text(&e.endpoint_id), text(&e.ip_address))
        })
        .collect();
    mark.sort();
    mark
}

/// A container as inspection tells it.
pub(super) fn from_inspect(response: ContainerInspectResponse) -> Container {
    let state = response.state.unwrap_or_default();
    let config = response.config.unwrap_or_default();
    let labels = sorted(config.labels);
    let engine_state = match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            EngineState::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => EngineState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => EngineState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => EngineState::Removing,
        Some(ContainerStateStatusEnum::EXITED) => EngineState::Exited,
        Some(ContainerStateStatusEnum::DEAD) => EngineState::Dead,
        _ => EngineState::Created,
    };
    let ended = matches!(engine_state, EngineState::Exited | EngineState::Dead);
    // Never started, but an attempt was made: the engine keeps the code of the failed attempt.
    let failed_start = engine_state == EngineState::Created && state.exit_code.unwrap_or(0) != 0;
    let networks =
        response.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    Container {
        id: response.id.unwrap_or_default(),
        name: plain_name(response.name.iter().map(String::as_str)),
        state: engine_state,
        exit_code: if ended || failed_start { state.exit_code } else { None },
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        started_at: time(state.started_at.as_deref()),
        finished_at: time(state.finished_at.as_deref()),
        created_at: time(response.created.as_deref()),
        image: config.image.unwrap_or_default(),
        ownership: Ownership::from_labels(&labels),
        labels,
        addresses: addresses(networks),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
        health: health(state.health.and_then(|health| health.status)),
    }
}

fn health(status: Option<HealthStatusEnum>) -> Health {
    match status {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        _ => Health::None,
    }
}

/// The engine writes the year 1 for never.
pub(super) fn time(text: Option<&str>) -> Option<Timestamp> {
    let time: Timestamp = text?.parse().ok()?;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

/// Of `/name` and `/other/link`, the former.
fn plain_name<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names = names.map(|name| name.trim_start_matches('/'));
    names.find(|name| !name.contains('/')).unwrap_or_default().to_owned()
}

pub(super) fn sorted(labels: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.into_iter().flatten().collect()
}

fn addresses(
    networks: Option<&HashMap<String, EndpointSettings>>,
) -> BTreeMap<String, std::net::IpAddr> {
    let address = |e: &EndpointSettings| {
        [&e.ip_address, &e.global_ipv6_address]
            .into_iter()
            .flatten()
            .find_map(|text| text.parse().ok())
    };
    networks
        .into_iter()
        .flatten()
        .filter_map(|(name, endpoint)| Some((name.clone(), address(endpoint)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use smr_model::{Bytes, Cpus, Mount, PortBinding, Protocol};

    use super::*;

    fn body(spec: &ContainerSpec) -> ContainerCreateBody {
        let plan = network_plan(spec, false);
        let own = BTreeMap::from([("managed".to_owned(), "smr".to_owned())]);
        create_body(spec, own, plan.mode, plan.at_creation)
    }

    #[test]
    fn an_empty_definition_leaves_everything_to_image_and_engine() {
        let spec =
            ContainerSpec { name: "g-a-1".into(), image: "a:1".into(), ..Default::default() };
        let expected = ContainerCreateBody {
            hostname: Some("g-a-1".into()),
            image: Some("a:1".into()),
            labels: Some(HashMap::from([("managed".into(), "smr".into())])),
            host_config: Some(HostConfig::default()),
            ..Default::default()
        };
        assert_eq!(body(&spec), expected);
    }

    #[test]
    fn limits_ports_and_mounts_take_the_units_of_the_engine() {
        let port = |container, protocol, host, host_ip: &str| PortBinding {
            container,
            protocol,
            host,
            host_ip: host_ip.into(),
        };
        let spec = ContainerSpec {
            cpus: Some(Cpus(1500)),
            memory: Some(Bytes(64 << 20)),
            ports: vec![
                port(80, Protocol::Tcp, Some(8080), "127.0.0.1"),
                port(80, Protocol::Tcp, Some(0), ""),
                port(53, Protocol::Udp, None, ""),
            ],
            mounts: vec![Mount {
                kind: MountKind::Tmpfs,
                source: "ignored".into(),
                target: "/run".into(),
                read_only: false,
            }],
            labels: BTreeMap::from([("managed".into(), "me".into())]),
            ..Default::default()
        };
        let body = body(&spec);
        let host = body.host_config.unwrap();
        assert_eq!((host.nano_cpus, host.memory), (Some(1_500_000_000), Some(67_108_864)));
        assert_eq!(body.exposed_ports.unwrap(), ["80/tcp", "80/tcp", "53/udp"]);
        let bindings = host.port_bindings.unwrap();
        assert_eq!(bindings.len(), 1, "only what is published");
        let ports: Vec<_> = bindings["80/tcp"].as_ref().unwrap().iter().collect();
        assert_eq!(ports[0].host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(ports[1].host_port.as_deref(), Some(""));
        assert_eq!(host.mounts.unwrap()[0].source, None);
        assert_eq!(host.restart_policy, None, "smr starts again what ended");
        assert_eq!(body.labels.unwrap()["managed"], "smr", "ownership cannot be overridden");
    }

    #[test]
    fn the_first_network_is_the_mode_and_others_follow() {
        let attachment = |network: &str| NetworkAttachment {
            network: network.into(),
            aliases: vec!["web".into()],
        };
        let mut spec = ContainerSpec {
            networks: vec![attachment("shop"), attachment("bridge")],
            ..Default::default()
        };
        let plan = network_plan(&spec, false);
        assert!(plan.mode.is_none() && plan.at_creation.is_empty());
        let names: Vec<_> = plan.afterwards.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["shop"]);
        assert_eq!(user_networks(&spec), ["shop"]);

        let plan = network_plan(&spec, true);
        assert_eq!((plan.mode.as_deref(), plan.at_creation.len()), (Some("bridge"), 2));
        assert_eq!(plan.at_creation["bridge"].aliases, None, "the default network has no names");

        spec.network_mode = "host".into();
        let plan = network_plan(&spec, true);
        assert!(plan.at_creation.is_empty() && plan.afterwards.is_empty());
    }

    #[test]
    fn host_names_end_where_the_kernel_ends_them() {
        assert_eq!(host_name("a-b-1"), "a-b-1");
        assert_eq!(host_name(&format!("{}-1", "x".repeat(62))), "x".repeat(62));
    }
}
