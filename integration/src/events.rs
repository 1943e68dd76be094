//! Docker's event stream, to learn of a started or dead container at the moment it happens.

use std::{
    io::{BufRead, BufReader, ErrorKind},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{Docker, docker::encode};

/// An open stream of container events.
pub struct Events {
    stream: BufReader<UnixStream>,
}

/// One event of a container.
#[derive(Debug, Clone)]
pub struct Event {
    /// `start`, `die`, `create`, ...
    pub action: String,
    /// Name of the container.
    pub container: String,
    /// When the engine saw it, in nanoseconds since 1970.
    pub nanos: i64,
}

impl Events {
    /// Subscribes to these actions; whatever happens after this call is seen.
    pub fn subscribe(docker: &Docker, actions: &[&str]) -> Result<Self> {
        let filters = json!({"type": ["container"], "event": actions}).to_string();
        let stream = docker.connect().follow(&format!("/events?filters={}", encode(&filters)))?;
        Ok(Self { stream })
    }

    /// The next event for which `wanted` is true; an error when `deadline` passes first.
    pub fn next(&mut self, deadline: Instant, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no such event of the engine in time");
            }
            self.stream.get_ref().set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let mut line = String::new();
            let length = match self.stream.read_line(&mut line) {
                // The time limit of the socket; what was read of a line so far is lost with the error.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    bail!("no such event of the engine in time")
                }
                length => length.context("events of the engine")?,
            };
            if length == 0 {
                bail!("the engine closed its stream of events");
            }
            // Lines that are no JSON object are chunk sizes.
            if let Some(event) = parse(&line).filter(|event| wanted(event)) {
                return Ok(event);
            }
        }
    }

    /// Waits until containers with `count` different names that begin with `prefix` have started.
    pub fn wait_started(&mut self, prefix: &str, count: usize, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < count {
            let event = self
                .next(deadline, |event| {
                    event.action == "start" && event.container.starts_with(prefix)
                })
                .with_context(|| format!("{} of {count} `{prefix}*` started", seen.len()))?;
            seen.insert(event.container);
        }
        Ok(())
    }
}

fn parse(line: &str) -> Option<Event> {
    let value: Value = serde_json::from_str(line.trim()).ok().filter(Value::is_object)?;
    Some(Event {
        action: value["Action"].as_str()?.to_owned(),
        container: value["Actor"]["Attributes"]["name"].as_str().unwrap_or_default().to_owned(),
        nanos: value["timeNano"].as_i64().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_not_events() {
        assert!(parse("1f4\r\n").is_none());
        let line = r#"{"Action":"start","Actor":{"Attributes":{"name":"a"}},"timeNano":7}"#;
        let event = parse(line).unwrap();
        assert_eq!(
            (event.action.as_str(), event.container.as_str(), event.nanos),
            ("start", "a", 7)
        );
    }
}
