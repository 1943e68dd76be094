//! One real node on each host of a [`Rig`], joined to one cluster.

use std::{fs, ops::Index, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{Node, Rig, rig::Host, smr_binary, wait};

/// How long a cluster may take to agree after something was done to it.
const AGREEMENT: Duration = Duration::from_secs(60);

/// A cluster of real nodes. Nodes are called `n1`, `n2`, ... after their hosts.
pub struct Cluster<'rig> {
    nodes: Vec<Node<'rig>>,
}

impl<'rig> Index<u32> for Cluster<'rig> {
    type Output = Node<'rig>;

    /// The node on the host with this number.
    fn index(&self, number: u32) -> &Node<'rig> {
        &self.nodes[number as usize - 1]
    }
}

impl<'rig> Cluster<'rig> {
    /// A node on every host: the first one founds the cluster, the others join by one token, one after
    /// the other. `extra` is appended to every node's `smr.toml`.
    pub fn form(rig: &'rig Rig, extra: &str) -> Result<Self> {
        Self::form_binary(rig, &smr_binary()?, extra)
    }

    /// As [`form`](Self::form), with a binary of the caller's choice.
    pub fn form_binary(rig: &'rig Rig, binary: &Path, extra: &str) -> Result<Self> {
        let mut cluster = Self::prepare_binary(rig, binary, extra)?;
        cluster.found()?;
        for number in 2..=cluster.nodes.len() as u32 {
            cluster.node(number).restart()?;
        }
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// As [`form`](Self::form), but all who join do it at the same time.
    pub fn form_at_once(rig: &'rig Rig, extra: &str) -> Result<Self> {
        let mut cluster = Self::prepare(rig, extra)?;
        cluster.found()?;
        for node in cluster.nodes.iter_mut().skip(1) {
            node.spawn()?;
        }
        for node in cluster.nodes.iter_mut().skip(1) {
            node.wait_ready()?;
        }
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// Writes every node's configuration without starting anything.
    pub fn prepare(rig: &'rig Rig, extra: &str) -> Result<Self> {
        Self::prepare_binary(rig, &smr_binary()?, extra)
    }

    fn prepare_binary(rig: &'rig Rig, binary: &Path, extra: &str) -> Result<Self> {
        let node = |host: &'rig Host| {
            let join = match host.number() {
                1 => String::new(),
                _ => format!(
                    "join = [\"https://{}:1443\"]\ntoken_file = \"{}\"\n",
                    rig[1].address(),
                    host.dir().join("token").display()
                ),
            };
            let config = format!(
                "[node]\nname = \"n{0}\"\nips = [\"{1}\"]\n[api]\nlisten = [\"0.0.0.0:1443\"]\n\
                 [cluster]\nlisten = [\"0.0.0.0:9212\"]\n{join}\n{extra}",
                host.number(),
                host.address()
            );
            Node::prepare(host, binary, &config)
        };
        Ok(Self { nodes: rig.hosts().iter().map(node).collect::<Result<_>>()? })
    }

    /// Starts the first node and hands a token for all the others to their hosts.
    pub fn found(&mut self) -> Result<()> {
        self.node(1).restart()?;
        let uses = self.nodes.len().to_string();
        let token = self.nodes[0].ok(&["token", "create", "--uses", &uses, "--quiet"])?;
        for node in &self.nodes[1..] {
            fs::write(node.dir().parent().context("a node has a host")?.join("token"), &token)?;
        }
        Ok(())
    }

    /// The node on the host with this number, to do something to it.
    pub fn node(&mut self, number: u32) -> &mut Node<'rig> {
        &mut self.nodes[number as usize - 1]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node<'rig>] {
        &self.nodes
    }

    /// Waits until every node sees every node ready.
    pub fn wait_ready(&self) -> Result<()> {
        let all: Vec<u32> = (1..=self.nodes.len() as u32).collect();
        self.wait_ready_of(&all, &all)
    }

    /// Waits until each of the nodes `seen_by` says that exactly the nodes `ready` are.
    pub fn wait_ready_of(&self, seen_by: &[u32], ready: &[u32]) -> Result<()> {
        for number in seen_by {
            let node = &self[*number];
            wait(&format!("node {number} to see {ready:?} ready"), AGREEMENT, || {
                let nodes = self.node_list(*number).map_err(|error| format!("{error:#}"))?;
                let mut found: Vec<u32> = nodes
                    .iter()
                    .filter(|node| node["health"]["state"] == "ready")
                    .filter_map(|node| node["name"].as_str()?.strip_prefix('n')?.parse().ok())
                    .collect();
                found.sort_unstable();
                if found == ready { Ok(()) } else { Err(format!("{nodes:?}")) }
            })
            .with_context(|| format!("log of node {number}:\n{}", node.log()))?;
        }
        Ok(())
    }

    /// Waits until so many nodes vote.
    pub fn wait_voters(&self, count: usize) -> Result<()> {
        wait(&format!("{count} voters"), AGREEMENT, || {
            let status = self.status(1).map_err(|error| format!("{error:#}"))?;
            let voters = status["voters"].as_array().map_or(0, Vec::len);
            if voters == count { Ok(()) } else { Err(status.to_string()) }
        })
    }

    /// The state of the cluster as one of the nodes tells it.
    pub fn status(&self, by: u32) -> Result<Value> {
        Ok(serde_json::from_str(&self[by].ok(&["cluster", "status", "--output", "json"])?)?)
    }

    /// The nodes as one of them lists them.
    pub fn node_list(&self, by: u32) -> Result<Vec<Value>> {
        let text = self[by].ok(&["node", "ls", "--output", "json"])?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array().or_else(|| list.as_array()).cloned().unwrap_or_default())
    }

    /// Number of the host whose node leads, as node `by` says.
    pub fn leader(&self, by: u32) -> Result<u32> {
        wait("a leader", AGREEMENT, || {
            let text = self[by].ok(&["cluster", "leader"]).map_err(|error| format!("{error:#}"))?;
            let name = text.split_whitespace().find_map(|word| word.strip_prefix('n'));
            name.and_then(|number| number.parse().ok()).ok_or(text)
        })
    }

    /// Names of the running containers with this prefix, with the number of their host, sorted.
    pub fn running(&self, prefix: &str) -> Result<Vec<(String, u32)>> {
        let mut found = Vec::new();
        for (number, node) in (1..).zip(&self.nodes) {
            // A host without power runs nothing.
            let Ok(containers) = node.containers(prefix) else { continue };
            let running = containers.into_iter().filter(|it| it.state == "running");
            found.extend(running.map(|it| (it.name, number)));
        }
        found.sort();
        Ok(found)
    }

    /// Waits until `look` is content with the running containers of this prefix; returns them.
    pub fn wait_running(
        &self,
        what: &str,
        prefix: &str,
        limit: Duration,
        look: impl Fn(&[(String, u32)]) -> bool,
    ) -> Result<Vec<(String, u32)>> {
        wait(what, limit, || {
            let found = self.running(prefix).map_err(|error| format!("{error:#}"))?;
            if look(&found) { Ok(found) } else { Err(format!("{found:?}")) }
        })
        .with_context(|| {
            let log =
                |node: &Node| node.log().lines().rev().take(40).collect::<Vec<_>>().join("\n");
            self.nodes.iter().map(log).collect::<Vec<_>>().join("\n---\n")
        })
    }
}
