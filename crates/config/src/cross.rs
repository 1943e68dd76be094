//! What must hold between keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{
    Problem,
    check::{host_and_port, joined},
    setting::{Origin, Settings},
    units::format_duration,
};

/// Adds the problems between the keys of `settings`, at the position of the later key.
pub(crate) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    collisions(settings, problems);
    remote_telemetry(settings, problems);
    lifetimes(settings, problems);
    reachable(settings, problems);
    worker(settings, problems);
    timing(settings, problems);
}

fn collisions(settings: &Settings, problems: &mut Vec<Problem>) {
    let mut taken: Vec<(String, SocketAddr)> = Vec::new();
    for key in ["api.listen", "cluster.listen", "telemetry.listen"] {
        for (index, address) in settings.addresses(key).iter().enumerate() {
            let name = format!("{key}[{index}]");
            if let Some((other_name, other)) = taken.iter().find(|(_, a)| overlap(*a, *address)) {
                let why = if other.ip() == address.ip() {
                    ""
                } else if address.is_ipv6() || other.is_ipv6() {
                    " ([::] is every address, IPv4 included)"
                } else {
                    " (0.0.0.0 is every IPv4 address)"
                };
                let message = format!(
                    "\"{address}\" collides with {other_name} \"{other}\"{why}; use another port"
                );
                // Point at a key that was written, if one was.
                let other_key = other_name.split('[').next().unwrap_or_default();
                let (at, named) = match origin(settings, key) {
                    Origin::Default => (origin(settings, other_key), other_key.to_owned()),
                    written => (written, name.clone()),
                };
                let message = if named == name {
                    message
                } else {
                    format!("\"{other}\" collides with {name} \"{address}\"{why}; use another port")
                };
                problems.push(at.problem(named, message));
            }
            taken.push((name, *address));
        }
    }
}

/// Whether one listener keeps the other from its port. `[::]` takes IPv4 as well.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V6(v6) if v6.is_unspecified() => true,
        IpAddr::V4(v4) if v4.is_unspecified() => narrow.is_ipv4(),
        wide => wide == narrow,
    };
    a.port() == b.port() && a.port() != 0 && (covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

fn remote_telemetry(settings: &Settings, problems: &mut Vec<Problem>) {
    if settings.bool("telemetry.allow_remote") {
        return;
    }
    for (index, address) in settings.addresses("telemetry.listen").iter().enumerate() {
        if !address.ip().is_loopback() {
            let message = format!(
                "\"{address}\" is reachable from other machines without a certificate; use \
                 \"127.0.0.1:{}\" or set allow_remote = true",
                address.port()
            );
            let name = format!("telemetry.listen[{index}]");
            problems.push(origin(settings, "telemetry.listen").problem(name, message));
        }
    }
}

fn lifetimes(settings: &Settings, problems: &mut Vec<Problem>) {
    let authority = settings.duration("certificates.authority");
    for key in ["certificates.node", "certificates.user"] {
        let life = settings.duration(key);
        if life > authority {
            // Point at the key that was written, not at a default.
            let blamed = match origin(settings, key) {
                Origin::Default => "certificates.authority",
                _ => key,
            };
            let message = format!(
                "{key} (\"{}\") must not be longer than certificates.authority (\"{}\")",
                format_duration(life),
                format_duration(authority)
            );
            problems.push(origin(settings, blamed).problem(blamed.to_owned(), message));
        }
    }
}

/// Where other nodes reach this one, `host:port`; none if it listens nowhere.
pub(crate) fn peer_address(settings: &Settings) -> Option<String> {
    let listen = settings.addresses("cluster.listen");
    let first = listen.first()?;
    if let Some(address) = settings.optional_text("cluster.address") {
        return Some(address.to_owned());
    }
    let domain = settings.texts("node.domains").iter().find(|domain| !domain.starts_with("*."));
    let ips = settings.texts("node.ips").iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
    let host = domain
        .cloned()
        .or_else(|| ips.filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()).next())
        .unwrap_or_else(|| {
            let dialled = match first.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            dialled.to_string()
        });
    Some(joined(&host, first.port()))
}

/// A node that joins others on other machines must be reachable from there.
fn reachable(settings: &Settings, problems: &mut Vec<Problem>) {
    let join = settings.texts("cluster.join");
    let remote = join.iter().find(|url| !is_here(url.trim_start_matches("https://")));
    let Some(remote) = remote else { return };
    let listen = settings.addresses("cluster.listen");
    let blamed = |key: &'static str| match origin(settings, key) {
        Origin::Default => "cluster.join",
        _ => key,
    };
    let mut fault = |key: &str, message: String| {
        problems.push(origin(settings, key).problem(key.to_owned(), message));
    };
    if listen.iter().all(|address| address.ip().is_loopback()) {
        let what = if listen.is_empty() { "nowhere" } else { "on this machine only" };
        fault(
            blamed("cluster.listen"),
            format!(
                "to join \"{remote}\" the node must be reachable for other nodes, but it listens \
                 {what}; set cluster.listen, e.g. [\"[::]:9212\"]"
            ),
        );
    } else if let Some(address) = peer_address(settings).filter(|address| is_here(address)) {
        fault(
            blamed("cluster.address"),
            format!(
                "other nodes cannot reach this one at \"{address}\", to join \"{remote}\"; set \
                 cluster.address, or node.domains or node.ips"
            ),
        );
    }
}

/// Whether `host:port` is this machine wherever it is dialled from.
fn is_here(address: &str) -> bool {
    // Port 0 is that of a listener whose port is not chosen yet.
    let address = address.strip_suffix(":0").unwrap_or(address);
    host_and_port(address).is_some_and(|(host, _)| {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

fn worker(settings: &Settings, problems: &mut Vec<Problem>) {
    let joins = !settings.texts("cluster.join").is_empty()
        || settings.optional_text("cluster.token_file").is_some();
    if settings.text("cluster.role") == "worker" && !joins {
        let message = "\"worker\" is for nodes that join a cluster, the first node votes; set \
                       cluster.join or cluster.token_file";
        problems.push(
            origin(settings, "cluster.role").problem("cluster.role".to_owned(), message.to_owned()),
        );
    }
}

fn timing(settings: &Settings, problems: &mut Vec<Problem>) {
    for (long, factor, short) in [
        ("cluster.election_timeout", 3, "cluster.heartbeat"),
        ("cluster.down_after", 2, "cluster.election_timeout"),
    ] {
        let (length, least) = (settings.duration(long), settings.duration(short) * factor);
        if length < least {
            let blamed = match origin(settings, long) {
                Origin::Default => short,
                _ => long,
            };
            let message = format!(
                "{long} (\"{}\") must be at least {factor} times {short}: \"{}\" or more",
                format_duration(length),
                format_duration(least)
            );
            problems.push(origin(settings, blamed).problem(blamed.to_owned(), message));
        }
    }
}

fn origin<'a>(settings: &'a Settings, key: &str) -> &'a Origin {
    settings.get(key).map_or(&Origin::Default, |setting| &setting.origin)
}
