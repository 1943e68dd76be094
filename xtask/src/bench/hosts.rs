//! What the benches on several hosts share: the cluster, when containers start, load of the machine.

use std::{
    collections::BTreeSet,
    fs,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use smr_integration::{Cluster, Rig, events::Events, wait};

/// Longest any single thing may take.
pub(super) const LIMIT: Duration = Duration::from_mins(5);

/// Hosts of a rig.
pub(super) const HOSTS: u32 = 3;

/// A cluster on all hosts, each with a vote.
pub(super) fn formed<'rig>(rig: &'rig Rig, extra: &str) -> Result<Cluster<'rig>> {
    let cluster = Cluster::form_binary(rig, &super::binary()?, extra)?;
    wait("all nodes to vote", LIMIT, || {
        let text = cluster[1].ok(&["cluster", "status", "--output", "json"]);
        let text = text.map_err(|error| format!("{error:#}"))?;
        let status: Value = serde_json::from_str(&text).unwrap_or_default();
        let voters = status["voters"].as_array().map_or(0, Vec::len);
        if voters == rig.hosts().len() { Ok(()) } else { Err(text) }
    })?;
    Ok(cluster)
}

/// All hosts but one.
pub(super) fn others(rig: &Rig, host: u32) -> Vec<u32> {
    rig.hosts().iter().map(|it| it.number()).filter(|it| *it != host).collect()
}

/// Replicas that only sleep, in equal shares on all nodes.
pub(super) fn definition(name: &str, replicas: usize) -> String {
    format!("{}  spread: {{spread: uniform}}\n", super::deploy::definition(name, replicas))
}

/// Names of the containers on these hosts that begin so, running or not, with the host.
pub(super) fn containers(rig: &Rig, hosts: &[u32], prefix: &str) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for host in hosts {
        let all = rig[*host].docker().containers(&json!({}))?;
        let named = all.into_iter().filter(|it| it.name.starts_with(prefix));
        found.extend(named.map(|it| (*host, it.name)));
    }
    Ok(found)
}

/// Waits until no container on these hosts has this prefix.
pub(super) fn wait_gone(rig: &Rig, hosts: &[u32], prefix: &str) -> Result<()> {
    wait("removed containers to go", LIMIT, || match containers(rig, hosts, prefix) {
        Ok(left) if left.is_empty() => Ok(()),
        Ok(left) => Err(format!("{left:?} left")),
        Err(error) => Err(format!("{error:#}")),
    })
}

/// Containers that start on some hosts, from the moment this is made, at the moment their engines say so.
pub(super) struct Starts(Receiver<(Instant, String)>);

impl Starts {
    pub(super) fn watch(rig: &Rig, hosts: &[u32]) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        for host in hosts {
            let mut events = Events::subscribe(rig[*host].docker(), &["start"])?;
            let sender = sender.clone();
            // It ends with the engine, or with the first start that nobody waits for any more.
            thread::spawn(move || {
                while let Ok(event) = events.next(Instant::now() + 10 * LIMIT, |_| true) {
                    if sender.send((Instant::now(), event.container)).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self(receiver))
    }

    /// When the last of so many differently named containers with this prefix started; `None` when
    /// `limit` has passed first.
    pub(super) fn wait(
        &self,
        prefix: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Option<Instant>> {
        let deadline = Instant::now() + limit;
        let mut seen = BTreeSet::new();
        let mut last = Instant::now();
        while seen.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.0.recv_timeout(left) {
                Ok((at, name)) if name.starts_with(prefix) => {
                    seen.insert(name);
                    last = at;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("engines closed their streams of events")
                }
            }
        }
        Ok(Some(last))
    }

    /// As [`wait`](Self::wait), but they must start.
    pub(super) fn all(&self, prefix: &str, count: usize) -> Result<Instant> {
        self.wait(prefix, count, LIMIT)?
            .with_context(|| format!("{count} `{prefix}*` did not start"))
    }
}

/// Prints how busy the machine is, without which figures mean little.
pub(super) fn say_load() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine: {}", load.trim());
}
