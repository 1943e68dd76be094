//! `containers` and their init containers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Problems, image, is_template, names, probes};
use crate::{
    definition::Meta,
    parser::join,
    ports::ports,
    run::{Protocol, Ulimit},
    spec::{ContainersSpec, Dependency, RestartPolicy, SpreadKind, Volume, VolumeType},
};

/// Most replicas of one object.
const MOST_REPLICAS: u32 = 1000;
/// Least memory the engine accepts as a limit.
const LEAST_MEMORY: u64 = 6 << 20;

pub(super) fn spec(meta: &Meta, spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    image_and_tag(spec, root, problems);
    if spec.replica_count() > MOST_REPLICAS {
        let message = format!("{} is too many", spec.replica_count());
        problems.error(format!("{root}.replicas"), message, "allowed: 0 to 1000");
    }
    process(spec, root, problems);
    dependencies(meta, spec, root, problems);
    probes::all(spec, root, problems);
    networks(spec, root, problems);
    published_ports(spec, root, problems);
    mounts(spec, root, problems);
    references(spec, root, problems);
    limits(spec, root, problems);
    placement(spec, root, problems);
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

fn process(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    for (index, env) in spec.envs.iter().enumerate() {
        let key = env.split('=').next().unwrap_or_default();
        if !env.contains('=') || key.is_empty() || key.contains(char::is_whitespace) {
            // What follows `=` may be a secret.
            let path = format!("{root}.envs[{index}]");
            problems.error(path, format!("`{key}` is not `KEY=VALUE`"), "");
        }
    }
    if !spec.working_dir.is_empty() {
        absolute(&spec.working_dir, format!("{root}.workingDir"), problems);
    }
    for (index, name) in spec.capabilities.iter().enumerate() {
        if !capability(name) {
            let path = format!("{root}.capabilities[{index}]");
            let message = format!("`{name}` is not a capability");
            problems.error(path, message, "write for example `NET_ADMIN`, or `ALL`");
        }
    }
    if !spec.stop_signal.is_empty() && !signal(&spec.stop_signal) {
        let message = format!("`{}` is not a signal", spec.stop_signal);
        let hint = "write for example `SIGTERM` or `15`";
        problems.error(format!("{root}.stopSignal"), message, hint);
    }
    if spec.user.contains(char::is_whitespace) || spec.user.matches(':').count() > 1 {
        let message = format!("`{}` is not a user", spec.user);
        let hint = "write `name`, `uid` or `uid:gid`";
        problems.error(format!("{root}.user"), message, hint);
    }
}

fn capability(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    name == "ALL" || CAPABILITIES.contains(&name)
}

/// The capabilities of Linux 6, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

fn signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |prefix| {
        name.strip_prefix(prefix).is_some_and(|rest: &str| {
            rest.is_empty() || rest[1..].parse::<u8>().is_ok_and(|n| n <= 15)
        })
    };
    SIGNALS.contains(&name) || real_time("RTMIN") || real_time("RTMAX")
}

const SIGNALS: [&str; 33] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
];

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
        names::name(&network.name, &path, false, problems);
        if !seen.insert(&network.name) {
            let message = format!("network `{}` is listed twice", network.name);
            problems.error(path, message, "networks are told apart by name alone");
        }
    }
    let alone = matches!(spec.network_mode.as_str(), "host" | "none");
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
        let path = join(&format!("{root}.extraHosts"), host);
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

fn mounts(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    let mut points = BTreeSet::new();
    let mut unique = |point: &str, path: &str, problems: &mut Problems| {
        if !points.insert(clean(point)) {
            problems.error(path, format!("mountpoints need to be unique: {point}"), "");
        }
    };
    for (index, volume) in spec.volumes.iter().enumerate() {
        let path = format!("{root}.volumes[{index}]");
        source(volume, &path, problems);
        let path = format!("{path}.mountPoint");
        if mount_point(&volume.mount_point, &path, problems) {
            unique(&volume.mount_point, &path, problems);
        }
    }
    for (index, resource) in spec.resources.iter().enumerate() {
        let path = format!("{root}.resources[{index}].mountPoint");
        if mount_point(&resource.mount_point, &path, problems) {
            unique(&resource.mount_point, &path, problems);
        }
    }
    for point in spec.tmpfs.keys() {
        let path = join(&format!("{root}.tmpfs"), point);
        if mount_point(point, &path, problems) {
            unique(point, &path, problems);
        }
    }
    for (index, device) in spec.devices.iter().enumerate() {
        let path = format!("{root}.devices[{index}]");
        absolute(&device.host, format!("{path}.host"), problems);
        if !device.container.is_empty() {
            absolute(&device.container, format!("{path}.container"), problems);
        }
        if device.permissions.chars().any(|c| !matches!(c, 'r' | 'w' | 'm')) {
            let message = format!("`{}` is not an access", device.permissions);
            problems.error(format!("{path}.permissions"), message, "allowed: any of `r`, `w`, `m`");
        }
    }
}

fn source(volume: &Volume, path: &str, problems: &mut Problems) {
    match volume.kind {
        VolumeType::Bind => {
            let path = format!("{path}.hostPath");
            if volume.host_path.is_empty() {
                let hint = "name a path on the host, or use `type: volume`";
                problems.error(path, "is missing", hint);
            } else {
                absolute(&volume.host_path, path, problems);
            }
        }
        VolumeType::Volume => {
            let name = &volume.name;
            let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
            if name.is_empty() {
                problems.error(format!("{path}.name"), "is missing", "name a volume");
            } else if !valid {
                let message = format!("`{name}` is not the name of a volume");
                problems.error(format!("{path}.name"), message, "");
            }
        }
        VolumeType::Tmpfs => {
            if !volume.host_path.is_empty() {
                problems.warning(format!("{path}.hostPath"), "has no effect on `tmpfs`", "");
            }
        }
    }
}

/// Whether the path can be mounted on.
fn mount_point(point: &str, path: &str, problems: &mut Problems) -> bool {
    if point.is_empty() {
        problems.error(path, "is missing", "name an absolute path in the container");
        return false;
    }
    if clean(point) == "/" {
        problems.error(path, "the root of the container cannot be replaced", "");
        return false;
    }
    absolute(point, path.to_owned(), problems)
}

fn absolute(text: &str, path: String, problems: &mut Problems) -> bool {
    let valid = text.starts_with('/')
        && !text.contains(|c: char| c.is_control())
        && text.split('/').all(|part| part != "..");
    if !valid {
        problems.error(
            path,
            format!("`{text}` is not an absolute path"),
            "begin with `/`, without `..`",
        );
    }
    valid
}

/// A path without doubled and trailing slashes, for comparing.
fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
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

fn limits(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    if spec.cpus.is_some_and(|c| c.0 < 10) {
        problems.error(format!("{root}.cpus"), "is too little", "at least `10m` is needed");
    }
    if let Some(memory) = spec.memory.filter(|m| m.0 < LEAST_MEMORY) {
        let message = format!("`{memory}` is too little");
        problems.error(format!("{root}.memory"), message, "the engine needs at least `6MiB`");
    }
    if let (Some(limit), Some(promised)) = (spec.memory, spec.memory_reservation) {
        if promised > limit {
            let message = format!("`{promised}` is more than `memory`, which is `{limit}`");
            problems.error(format!("{root}.memoryReservation"), message, "");
        }
    }
    for (name, text) in &spec.ulimits {
        if let Err(error) = Ulimit::parse(name, text) {
            problems.error(join(&format!("{root}.ulimits"), name), error.to_string(), "");
        }
    }
    for name in spec.sysctls.keys() {
        let known = ["net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm"];
        let well_formed = name.chars().all(|c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '/')
        });
        let path = join(&format!("{root}.sysctls"), name);
        if !well_formed || !known.iter().any(|prefix| name.starts_with(prefix)) {
            let message = format!("`{name}` is not a parameter a container has of its own");
            let hint =
                "allowed: `net.*`, `fs.mqueue.*`, `kernel.msg*`, `kernel.sem`, `kernel.shm*`";
            problems.error(path, message, hint);
        } else if name.starts_with("net.") && spec.network_mode == "host" {
            let message = format!("`{name}` cannot be set with `network_mode: host`");
            problems.error(path, message, "");
        }
    }
    if spec.logging.as_ref().is_some_and(|l| l.driver.is_empty()) {
        let hint = "name a log driver, for example `json-file`";
        problems.error(format!("{root}.logging.driver"), "is missing", hint);
    }
    if !spec.registry_auth.is_empty() && !is_template(&spec.registry_auth) {
        // The value is a password, so it is not shown.
        if !is_user_and_password(&spec.registry_auth) {
            let hint = "write base64 of `user:password`";
            problems.error(
                format!("{root}.registryAuth"),
                "is not base64 of `user:password`",
                hint,
            );
        }
    }
}

fn is_user_and_password(text: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text.trim()).is_ok_and(|bytes| bytes.contains(&b':'))
}

fn placement(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    if let Some(spread) = &spec.spread {
        let path = format!("{root}.spread.agents");
        match spread.spread {
            SpreadKind::Specific if spread.agents.is_empty() => {
                problems.error(path, "is missing", "`specific` needs node ids; or use `uniform`");
            }
            SpreadKind::Uniform if !spread.agents.is_empty() => {
                problems.warning(path, "has no effect with `uniform`", "");
            }
            _ => {}
        }
        let mut seen = BTreeSet::new();
        for (index, agent) in spread.agents.iter().enumerate() {
            let path = format!("{root}.spread.agents[{index}]");
            if *agent == 0 {
                problems.error(path, "`0` is not a node id", "node ids begin at 1");
            } else if !seen.insert(agent) {
                problems.error(path, format!("node {agent} is listed twice"), "");
            }
        }
    }
    if spec.restart != RestartPolicy::Always && !spec.liveness.is_empty() {
        let hint = "failing checks restart the replica only with `restart: always`";
        if spec.restart == RestartPolicy::Never {
            problems.warning(
                format!("{root}.liveness"),
                "has no effect with `restart: never`",
                hint,
            );
        }
    }
}
