//! What must hold between keys.

use std::net::{IpAddr, SocketAddr};

use crate::{
    Problem,
    setting::{Origin, Settings},
    units::format_duration,
};

/// Adds the problems between the keys of `settings`, at the position of the later key.
pub(crate) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    collisions(settings, problems);
    remote_telemetry(settings, problems);
    lifetimes(settings, problems);
}

fn collisions(settings: &Settings, problems: &mut Vec<Problem>) {
    let mut taken: Vec<(String, SocketAddr)> = Vec::new();
    for key in ["api.listen", "telemetry.listen"] {
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
                problems.push(origin(settings, key).problem(name.clone(), message));
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

fn origin<'a>(settings: &'a Settings, key: &str) -> &'a Origin {
    settings.get(key).map_or(&Origin::Default, |setting| &setting.origin)
}
