//! The node of this machine as a member of its cluster: its name, its API, whether others can take
//! over what it runs.

use std::{collections::BTreeSet, fs, time::Duration};

use serde::Deserialize;
use smr_client::{Client, Options};
use smr_config::Config;
use smr_model::{Availability, Health};
use smr_pki::ContextStore;
use smr_wire::{Code, NodePatch, NodeView};
use tokio::time::Instant;

use super::{node, nodes};
use crate::{args::LocalNodeArgs, error::Error, settings::Settings};

/// How often to ask again while the cluster cannot change anything.
const PAUSE: Duration = Duration::from_millis(500);

/// What the node keeps of who it is, below its data directory.
const RECORD: &str = "node.json";

/// The node of this machine.
pub(crate) struct Local {
    /// Its configuration, as far as the file says it.
    pub config: Config,
    /// Its name in the cluster.
    pub name: String,
}

impl Local {
    /// By the arguments, else by what the node has written down, else by its configuration.
    pub(crate) fn find(settings: &Settings, args: &LocalNodeArgs) -> Result<Self, Error> {
        let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
        let name = args.node.clone().unwrap_or_else(|| recorded_name(&config));
        Ok(Self { config, name })
    }

    /// The node of a configuration.
    pub(crate) fn of(config: Config) -> Self {
        let name = recorded_name(&config);
        Self { config, name }
    }

    /// A client of this node: by the context it has written, else by the one asked for.
    pub(crate) fn client(&self, settings: &Settings) -> Result<Client, Error> {
        match settings.context {
            None => self.own_client().map_or_else(|| settings.client(), Ok),
            Some(_) => settings.client(),
        }
    }

    /// A client by the context this node has written, if it has.
    pub(crate) fn own_client(&self) -> Option<Client> {
        let context = ContextStore::open(&self.config.contexts.dir).get(&self.name).ok()?;
        Client::new(&context, Options::default()).ok()
    }

    /// Moves everything away, if there is a node that could take it; says so if there is none.
    /// Returns whether the node was drained.
    pub(crate) async fn drain(
        &self,
        settings: &Settings,
        timeout: Duration,
    ) -> Result<bool, Error> {
        let client = self.client(settings)?;
        let others = client.nodes().await?.items;
        if !others.iter().any(|other| can_take_over(other, &self.name)) {
            settings.printer.note(
                "note: no other node could take anything over, so nothing is moved; containers go \
                 on running",
            );
            return Ok(false);
        }
        settings.printer.note(format_args!("moving everything away from node {}", self.name));
        let (_, moved) = nodes::drain(settings, &client, &self.name, Some(timeout)).await?;
        let moved = moved.map(|moved| moved.to_string()).unwrap_or_default();
        settings.printer.note(format_args!("node {} is drained{moved}", self.name));
        Ok(true)
    }

    /// Lets the node work again, as soon as the cluster takes changes.
    pub(crate) async fn activate(
        &self,
        settings: &Settings,
        timeout: Duration,
    ) -> Result<(), Error> {
        let client = self.client(settings)?;
        let patch = NodePatch { availability: Some(Availability::Active), ..NodePatch::default() };
        let deadline = Instant::now() + timeout;
        loop {
            match client.patch_node(&self.name, &patch).await {
                Err(err) if is_passing(&err) && Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                result => {
                    result?;
                    settings.printer.note(format_args!("node {} is active again", self.name));
                    return Ok(());
                }
            }
        }
    }

    /// The parts that do not work now; none if the node does not say.
    pub(crate) async fn broken(&self, settings: &Settings) -> BTreeSet<String> {
        match async { Ok::<_, Error>(self.client(settings)?.health().await?) }.await {
            Ok(health) => broken(&health),
            Err(_) => BTreeSet::new(),
        }
    }

    /// Waits until the node answers and no other part than those `before` does not work.
    pub(crate) async fn wait(
        &self,
        settings: &Settings,
        before: &BTreeSet<String>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let asked = async { Ok::<_, Error>(self.client(settings)?.health().await?) }.await;
            match asked {
                Ok(health) if broken(&health).is_subset(before) => return Ok(()),
                asked if Instant::now() + PAUSE >= deadline => {
                    return Err(asked.err().unwrap_or(Error::Unhealthy));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// The parts that do not work.
fn broken(health: &smr_wire::Health) -> BTreeSet<String> {
    let broken = health.checks.iter().filter(|check| !check.ok);
    broken.map(|check| check.name.clone()).collect()
}

/// Whether another try may do better.
fn is_passing(err: &smr_client::Error) -> bool {
    err.is_unreachable()
        || matches!(
            err.code(),
            Some(Code::Unavailable | Code::NoLeader | Code::NoQuorum | Code::Timeout)
        )
}

/// Whether replicas of `name` could go there.
fn can_take_over(other: &NodeView, name: &str) -> bool {
    let is_down = other.health.as_ref().is_some_and(|health| health.state == Health::Down);
    other.status.name != name
        && other.member.is_some()
        && other.availability == Availability::Active
        && !is_down
        && !other.status.version.is_empty()
}

/// The name the node goes by: the one the cluster gave it may be another than the configured one.
fn recorded_name(config: &Config) -> String {
    #[derive(Deserialize)]
    struct Record {
        name: String,
    }
    let record = fs::read(config.data.dir.join(RECORD)).ok();
    let record = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
    record.map_or_else(|| config.node.name.clone(), |record| record.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeView {
        let time = "2026-01-31T10:00:00Z";
        serde_json::from_value(serde_json::json!({
            "id": 2, "name": name, "addresses": [], "version": "0.1.0", "engine": "",
            "engineReady": true, "os": "", "kernel": "", "arch": "", "cpus": 1, "memory": 1,
            "labels": {}, "startedAt": time,
            "member": { "id": 2, "name": name, "peer": "a:1", "joined": time },
            "health": { "state": "ready", "since": time },
        }))
        .unwrap()
    }

    #[test]
    fn only_another_node_that_works_takes_over() {
        assert!(can_take_over(&node("b"), "a"));
        assert!(!can_take_over(&node("a"), "a"), "itself");
        let changed = |change: fn(&mut NodeView)| {
            let mut view = node("b");
            change(&mut view);
            view
        };
        let unfit: [fn(&mut NodeView); 4] = [
            |view| view.availability = Availability::Pause,
            |view| view.health.as_mut().unwrap().state = Health::Down,
            |view| view.status.version.clear(),
            |view| view.member = None,
        ];
        for change in unfit {
            assert!(!can_take_over(&changed(change), "a"));
        }
    }

    #[test]
    fn the_name_is_the_one_the_node_wrote_down() {
        let dir = tempfile::tempdir().unwrap();
        let host = smr_config::Host { hostname: "host".to_owned(), home: dir.path().to_owned() };
        let mut config = Config::defaults(&host);
        config.data.dir = dir.path().to_owned();
        assert_eq!(recorded_name(&config), "host");
        fs::write(dir.path().join(RECORD), r#"{"id":3,"name":"node-3","epoch":1}"#).unwrap();
        assert_eq!(recorded_name(&config), "node-3");
        fs::write(dir.path().join(RECORD), "{").unwrap();
        assert_eq!(recorded_name(&config), "host");
    }
}
