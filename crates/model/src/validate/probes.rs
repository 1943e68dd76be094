//! Readiness, liveness and engine health checks.

use super::{Problems, is_template};
use crate::spec::{ContainersSpec, Probe};

pub(super) fn all(spec: &ContainersSpec, root: &str, problems: &mut Problems) {
    for (index, probe) in spec.readiness.iter().enumerate() {
        let path = format!("{root}.readiness[{index}]");
        one(probe, &path, problems);
        for (name, given) in
            [("interval", probe.interval.is_some()), ("failures", probe.failures.is_some())]
        {
            if given {
                let message = "has no effect on readiness checks";
                problems.warning(format!("{path}.{name}"), message, "it belongs to `liveness`");
            }
        }
    }
    for (index, probe) in spec.liveness.iter().enumerate() {
        let path = format!("{root}.liveness[{index}]");
        one(probe, &path, problems);
        if probe.interval.is_some_and(|i| i.0.is_zero()) {
            problems.error(format!("{path}.interval"), "must be longer than 0", "");
        }
        if probe.failures == Some(0) {
            problems.error(format!("{path}.failures"), "must be at least 1", "");
        }
    }
    if let Some(check) = &spec.healthcheck {
        let path = format!("{root}.healthcheck");
        if check.command.is_empty() {
            problems.error(format!("{path}.command"), "is empty", "");
        }
        for (name, value) in [("interval", check.interval), ("timeout", check.timeout)] {
            if value.is_some_and(|v| v.0.as_millis() == 0) {
                problems.error(format!("{path}.{name}"), "must be at least 1ms", "");
            }
        }
    }
}

fn one(probe: &Probe, path: &str, problems: &mut Problems) {
    let given = [
        ("command", !probe.command.is_empty()),
        ("url", !probe.url.is_empty()),
        ("tcp", !probe.tcp.is_empty()),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    match given.as_slice() {
        [_] => {}
        [] => problems.error(path, "checks nothing", "give one of `command`, `url` and `tcp`"),
        // Upstream lets `command` win over `url`.
        ["command", "url"] => {
            problems.warning(path, "`url` has no effect beside `command`", "give one of them");
        }
        many => {
            let message = format!("has {}", many.join(" and "));
            problems.error(path, message, "give one of `command`, `url` and `tcp`");
        }
    }
    if !probe.url.is_empty() && !is_template(&probe.url) && !is_url(&probe.url) {
        let message = format!("`{}` is not an http or https address", probe.url);
        problems.error(
            format!("{path}.url"),
            message,
            "write for example `http://localhost:8080/`",
        );
    }
    let port = probe.tcp.parse::<u16>();
    if !probe.tcp.is_empty() && !is_template(&probe.tcp) && !port.is_ok_and(|p| p > 0) {
        let message = format!("`{}` is not a port", probe.tcp);
        problems.error(format!("{path}.tcp"), message, "allowed: 1 to 65535");
    }
    if probe.url.is_empty() {
        for (name, given) in [("method", probe.method.is_some()), ("body", !probe.body.is_empty())]
        {
            // Published examples carry `method` beside `command`.
            if given {
                let message = "has no effect without `url`";
                problems.warning(format!("{path}.{name}"), message, "");
            }
        }
    }
    if probe.timeout.is_some_and(|t| t.0.is_zero()) {
        problems.error(format!("{path}.timeout"), "must be longer than 0", "");
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':', '?'])
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}
