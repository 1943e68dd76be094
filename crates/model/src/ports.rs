//! Ports as users write them: `80`, `53/udp`, `8000-8010`, `127.0.0.1:8080`.

use std::net::IpAddr;

use crate::{
    issue::{Problem, Severity},
    run::{PortBinding, Protocol},
    spec::{ContainersSpec, Port},
    status::PortMapping,
};

/// Why a port is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a port or range.
    #[error("`{text}` is not a port; allowed: `80`, `53/udp`, `8000-8010`")]
    Container {
        /// The text as given.
        text: String,
    },
    /// Not a host port.
    #[error("`{text}` is not a host port; allowed: `8080`, `127.0.0.1:8080`, `8000-8010`")]
    Host {
        /// The text as given.
        text: String,
    },
    /// Unknown protocol.
    #[error("`{text}` is not a protocol; allowed: tcp, udp, sctp")]
    Protocol {
        /// The text as given.
        text: String,
    },
    /// The last port lies before the first.
    #[error("range `{text}` ends before it begins")]
    Reversed {
        /// The text as given.
        text: String,
    },
    /// Ranges of different length.
    #[error("{container} container ports cannot be published on {host} host ports")]
    Length {
        /// Number of container ports.
        container: u32,
        /// Number of host ports.
        host: u32,
    },
}

/// All ports of a specification, ranges expanded, in the order written.
///
/// Problems carry the path below the specification, `ports[2].host`.
pub fn ports(spec: &ContainersSpec) -> Result<Vec<PortBinding>, Vec<Problem>> {
    let mut bindings = Vec::new();
    let mut problems = Vec::new();
    for (index, port) in spec.ports.iter().enumerate() {
        match expand(port) {
            Ok(more) => bindings.extend(more),
            Err((field, error)) => problems.push(Problem {
                severity: Severity::Error,
                path: format!("ports[{index}].{field}"),
                message: error.to_string(),
                hint: String::new(),
            }),
        }
    }
    if problems.is_empty() { Ok(bindings) } else { Err(problems) }
}

/// The ports as tables show them: one entry per line the user wrote.
pub fn port_mappings(spec: &ContainersSpec) -> Vec<PortMapping> {
    spec.ports
        .iter()
        .map(|port| PortMapping { container: port.container.clone(), host: port.host.clone() })
        .collect()
}

/// The bindings of one entry, and on failure the field at fault.
fn expand(port: &Port) -> Result<Vec<PortBinding>, (&'static str, PortError)> {
    let (range, protocol) = match port.container.split_once('/') {
        Some((range, protocol)) => (range, self::protocol(protocol).map_err(|e| ("container", e))?),
        None => (port.container.as_str(), Protocol::Tcp),
    };
    let bad_container = || PortError::Container { text: port.container.clone() };
    let container = self::range(range, 1, bad_container).map_err(|e| ("container", e))?;
    let count = |(first, last): (u16, u16)| u32::from(last) - u32::from(first) + 1;
    let binding = |container, host, host_ip: &str| PortBinding {
        container,
        protocol,
        host,
        host_ip: host_ip.to_owned(),
    };
    if port.host.trim().is_empty() {
        return Ok((container.0..=container.1).map(|c| binding(c, None, "")).collect());
    }
    let at_host = |error| ("host", error);
    let bad_host = || PortError::Host { text: port.host.clone() };
    let text = port.host.trim();
    let (ip, text) = match text.rsplit_once(':') {
        Some((ip, rest)) => {
            let ip = ip.trim_start_matches('[').trim_end_matches(']');
            ip.parse::<IpAddr>().map_err(|_| at_host(bad_host()))?;
            (ip, rest)
        }
        None => ("", text),
    };
    let host = self::range(text, 0, bad_host).map_err(at_host)?;
    if host == (0, 0) {
        return Ok((container.0..=container.1).map(|c| binding(c, Some(0), ip)).collect());
    }
    if count(container) != count(host) {
        let error = PortError::Length { container: count(container), host: count(host) };
        return Err(at_host(error));
    }
    Ok((container.0..=container.1)
        .zip(host.0..=host.1)
        .map(|(c, h)| binding(c, Some(h), ip))
        .collect())
}

fn protocol(text: &str) -> Result<Protocol, PortError> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(PortError::Protocol { text: text.to_owned() }),
    }
}

fn range(text: &str, lowest: u16, bad: impl Fn() -> PortError) -> Result<(u16, u16), PortError> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port >= lowest && text.chars().all(|c| c.is_ascii_digit()) => Ok(port),
        _ => Err(bad()),
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if last < first {
        return Err(PortError::Reversed { text: text.to_owned() });
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(container: &str, host: &str, expected: &str) {
        let port = Port { container: container.to_owned(), host: host.to_owned() };
        let spec = ContainersSpec { ports: vec![port], ..Default::default() };
        let actual = match ports(&spec) {
            Ok(bindings) => bindings
                .iter()
                .map(|b| {
                    let host = match b.host {
                        Some(port) if b.host_ip.is_empty() => format!("{port}->"),
                        Some(port) => format!("{}:{port}->", b.host_ip),
                        None => String::new(),
                    };
                    format!("{host}{}/{}", b.container, b.protocol.as_str())
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(problems) => problems[0].to_string(),
        };
        assert_eq!(actual, expected, "container `{container}`, host `{host}`");
    }

    #[test]
    fn ports_and_ranges_are_expanded() {
        check("80", "", "80/tcp");
        check("53/udp", "5353", "5353->53/udp");
        check("53/UDP", "", "53/udp");
        check("80", "127.0.0.1:8080", "127.0.0.1:8080->80/tcp");
        check("80", "[::1]:8080", "::1:8080->80/tcp");
        check("80", "0", "0->80/tcp");
        check("8000-8002", "", "8000/tcp 8001/tcp 8002/tcp");
        check("8000-8001", "9000-9001", "9000->8000/tcp 9001->8001/tcp");
        check("65535", "65535", "65535->65535/tcp");
    }

    #[test]
    fn what_is_no_port_is_named() {
        let container = "is not a port; allowed: `80`, `53/udp`, `8000-8010`";
        let host = "is not a host port; allowed: `8080`, `127.0.0.1:8080`, `8000-8010`";
        check("", "", &format!("ports[0].container: `` {container}"));
        check("0", "", &format!("ports[0].container: `0` {container}"));
        check("+1", "", &format!("ports[0].container: `+1` {container}"));
        check("65536", "", &format!("ports[0].container: `65536` {container}"));
        check("80", "web:80", &format!("ports[0].host: `web:80` {host}"));
        check("80", "99999", &format!("ports[0].host: `99999` {host}"));
        check(
            "80/icmp",
            "",
            "ports[0].container: `icmp` is not a protocol; allowed: tcp, udp, sctp",
        );
        check("9-8", "", "ports[0].container: range `9-8` ends before it begins");
        check("80", "9-8", "ports[0].host: range `9-8` ends before it begins");
        let lengths = "3 container ports cannot be published on 2 host ports";
        check("1-3", "8-9", &format!("ports[0].host: {lengths}"));
    }
}
