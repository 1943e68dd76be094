//! `containers` and their init containers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Problems, image, mounts, names, placement, probes, process};
use crate::{
    definition::Meta,
    parser::field_path,
    ports::ports,
    run::Protocol,
    spec::{ContainersSpec, Dependency, Reschedule, RestartPolicy},
};

/// Most replicas of one object.
const MOST_REPLICAS: u32 = 1000;

pub(super) fn spec(meta: &Meta, spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    image_and_tag(spec, root, problems);
    if spec.replica_count() > MOST_REPLICAS {
        let message = format!("{} is too many", spec.replica_count());
        problems.error(format!("{root}.replicas"), message, "allowed: 0 to 1000");
    }
    process::all(spec, root, problems);
    dependencies(meta, spec, root, problems);
    probes::all(spec, root, problems);
    networks(spec, root, problems);
    published_ports(spec, root, problems);
    mounts::all(spec, root, problems);
    references(spec, root, problems);
    process::limits(spec, root, problems);
    placement::all(spec, root, problems);
    liveness(spec, root, problems);
    names::labels(&spec.labels, &format!("{root}.labels"), problems);
}

/// An init container runs once, so fields about replication and checks do nothing.
pub(super) fn init(meta: &Meta, init: &ContainersSpec, problems: &mut Problems) {
    let unused = [
        ("replicas", init.replicas.is_some()),
        ("dependencies", !init.dependencies.is_empty()),
        ("readiness", !init.readiness.is_empty()),
        ("liveness", !init.liveness.is_empty()),
        ("ports", !init.ports.is_empty()),
        ("spread", init.spread.is_some()),
        ("placement", init.placement.is_some()),
        ("reschedule", init.reschedule != Reschedule::default()),
        ("rescheduleGrace", init.reschedule_grace.is_some()),
        ("update", init.update.is_some()),
        ("restart", init.restart != RestartPolicy::default()),
    ];
    for (field, given) in unused {
        if given {
            let path = format!("initContainer.{field}");
            problems.warning(path, "has no effect on an init container", "");
        }
    }
    let relevant = ContainersSpec {
        replicas: None,
        dependencies: Vec::new(),
        readiness: Vec::new(),
        liveness: Vec::new(),
        ports: Vec::new(),
        spread: None,
        placement: None,
        reschedule: Reschedule::default(),
        reschedule_grace: None,
        update: None,
        ..init.clone()
    };
    spec(meta, &relevant, "initContainer", problems);
}

fn image_and_tag(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    if spec.image.is_empty() {
        problems.error(format!("{root}.image"), "is missing", "name an image, for example `nginx`");
        return;
    }
    match image::check(&spec.image, &spec.tag) {
        Ok(()) => {}
        Err(image::Fault::Image(message)) => problems.error(format!("{root}.image"), message, ""),
        Err(image::Fault::Tag(message)) => problems.error(format!("{root}.tag"), message, ""),
    }
}

fn dependencies(meta: &Meta, spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    for (index, dependency) in spec.dependencies.iter().enumerate() {
        let path = format!("{root}.dependencies[{index}]");
        if !dependency.prefix.is_empty() {
            names::prefix(&dependency.prefix, &format!("{path}.prefix"), problems);
        }
        names::name(&dependency.group, &format!("{path}.group"), true, problems);
        if dependency.name != "*" {
            names::name(&dependency.name, &format!("{path}.name"), true, problems);
        }
        if dependency.timeout.is_some_and(|t| t.0.is_zero()) {
            problems.error(format!("{path}.timeout"), "must be longer than 0", "");
        }
        if depends_on_itself(meta, dependency) {
            let message = format!("depends on itself, as `{}`", dependency.name);
            problems.error(format!("{path}.name"), message, "name other replicas");
        }
    }
}

fn depends_on_itself(meta: &Meta, dependency: &Dependency) -> bool {
    if dependency.group != meta.group {
        return false;
    }
    let own_replica = dependency
        .name
        .strip_prefix(&format!("{}-{}-", meta.group, meta.name))
        .is_some_and(|index| !index.is_empty() && index.chars().all(|c| c.is_ascii_digit()));
    dependency.name == "*" || dependency.name == meta.name || own_replica
}

fn networks(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (index, network) in spec.networks.iter().enumerate() {
        let path = format!("{root}.networks[{index}].name");
        if !mounts::engine_name(&network.name) {
            let message = format!("`{}` is not the name of a network", network.name);
            problems.error(&path, message, "");
        }
        if !seen.insert(&network.name) {
            let message = format!("network `{}` is listed twice", network.name);
            problems.error(path, message, "networks are told apart by name alone");
        }
    }
    let mode = spec.network_mode.strip_prefix("container:").unwrap_or(&spec.network_mode);
    if !spec.network_mode.is_empty() && !mounts::engine_name(mode) {
        let message = format!("`{}` is not a network mode", spec.network_mode);
        let hint = "allowed: `bridge`, `host`, `none`, `container:NAME` or the name of a network";
        problems.error(format!("{root}.network_mode"), message, hint);
    }
    let alone = spec.network_mode.starts_with("container:")
        || matches!(spec.network_mode.as_str(), "host" | "none");
    if alone && !spec.networks.is_empty() {
        let message = format!("cannot be joined with `network_mode: {}`", spec.network_mode);
        problems.error(format!("{root}.networks"), message, "remove one of the two");
    }
    for (index, server) in spec.dns.iter().enumerate() {
        if server.parse::<IpAddr>().is_err() {
            let message = format!("`{server}` is not an IP address");
            problems.error(format!("{root}.dns[{index}]"), message, "");
        }
    }
    for (host, address) in &spec.extra_hosts {
        let path = field_path(&format!("{root}.extraHosts"), host);
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == ':') {
            problems.error(&path, format!("`{host}` is not a host name"), "");
        }
        if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
            let message = format!("`{address}` is not an IP address");
            problems.error(&path, message, "allowed besides addresses: `host-gateway`");
        }
    }
}

fn published_ports(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    if let Err(found) = ports(spec) {
        for problem in found {
            problems.error(format!("{root}.{}", problem.path), problem.message, &problem.hint);
        }
    }
    // Each entry alone, so that a mistake in one does not hide collisions among the others.
    let mut taken: BTreeMap<(Protocol, u16), Vec<(String, usize)>> = BTreeMap::new();
    let mut fixed = None;
    for (index, port) in spec.ports.iter().enumerate() {
        let one = ContainersSpec { ports: vec![port.clone()], ..ContainersSpec::default() };
        let mut collided = false;
        for binding in ports(&one).unwrap_or_default() {
            let Some(host) = binding.host.filter(|host| *host != 0) else { continue };
            fixed = fixed.or(Some((index, host)));
            let everywhere = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
            let others = taken.entry((binding.protocol, host)).or_default();
            let ip = &binding.host_ip;
            let other = others.iter().find(|(other, i)| {
                *i != index && (other == ip || everywhere(other) || everywhere(ip))
            });
            if let (Some((_, other)), false) = (other, collided) {
                collided = true;
                let message = format!("host port {host} is taken by `ports[{other}]`");
                problems.error(format!("{root}.ports[{index}].host"), message, "");
            }
            others.push((ip.clone(), index));
        }
    }
    if let (Some((index, host)), true) = (fixed, spec.replica_count() > 1) {
        problems.warning(
            format!("{root}.ports[{index}].host"),
            format!(
                "only one of {} replicas per node can have host port {host}",
                spec.replica_count()
            ),
            "leave `host` out, or spread the replicas over as many nodes",
        );
    }
    if spec.network_mode == "host" && fixed.is_some() {
        let message = "has no effect with `network_mode: host`";
        problems.warning(format!("{root}.ports"), message, "");
    }
}

fn references(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    for (index, configuration) in spec.configurations.iter().enumerate() {
        let path = format!("{root}.configurations[{index}]");
        names::name(&configuration.group, &format!("{path}.group"), false, problems);
        names::name(&configuration.name, &format!("{path}.name"), false, problems);
    }
    for (index, resource) in spec.resources.iter().enumerate() {
        let path = format!("{root}.resources[{index}]");
        names::name(&resource.group, &format!("{path}.group"), false, problems);
        names::name(&resource.name, &format!("{path}.name"), false, problems);
        if resource.key.is_empty() {
            problems.error(
                format!("{path}.key"),
                "is missing",
                "name a key of the resource's `data`",
            );
        }
        let mode = resource.permissions.as_ref().and_then(|p| p.permissions);
        if let Some(mode) = mode.filter(|mode| *mode > 0o7777) {
            let message = format!("mode {mode} (octal {mode:o}) is too large");
            let hint = "write octal with a leading zero, `0644`";
            problems.error(format!("{path}.permissions.permissions"), message, hint);
        }
    }
}

fn liveness(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    if spec.restart == RestartPolicy::Never && !spec.liveness.is_empty() {
        let message = "has no effect with `restart: never`";
        problems.warning(format!("{root}.liveness"), message, "");
    }
}
