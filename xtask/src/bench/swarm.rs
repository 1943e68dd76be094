//! Docker's Swarm mode on the hosts of a rig: the peer of the benches on several hosts.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use smr_integration::{Docker, Rig, wait};

use super::hosts::{LIMIT, wait_gone};

/// A swarm of managers, one on each host, as all nodes of ours have a vote.
pub(super) struct Swarm<'rig> {
    rig: &'rig Rig,
}

impl<'rig> Swarm<'rig> {
    pub(super) fn form(rig: &'rig Rig) -> Result<Self> {
        let swarm = Self { rig };
        let address = |host: u32| rig[host].address();
        let first = rig[1].docker();
        let body = json!({"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": address(1)});
        first.call("POST", "/swarm/init", Some(&body))?;
        let token = first.call("GET", "/swarm", None)?["JoinTokens"]["Manager"].clone();
        for host in rig.hosts().iter().skip(1) {
            let body = json!({
                "ListenAddr": "0.0.0.0:2377",
                "AdvertiseAddr": host.address(),
                "RemoteAddrs": [format!("{}:2377", address(1))],
                "JoinToken": token,
            });
            host.docker().call("POST", "/swarm/join", Some(&body))?;
        }
        swarm.wait_whole(1)?;
        Ok(swarm)
    }

    /// Ends it on every host, whatever state it is in.
    pub(super) fn dissolve(self) -> Result<()> {
        for host in self.rig.hosts() {
            wait("the swarm to be left", LIMIT, || {
                let left = host.docker().call("POST", "/swarm/leave?force=1", None);
                match left.map_err(|error| format!("{error:#}")) {
                    Err(said) if !said.contains("not part of a swarm") => Err(said),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Waits until every node is ready and every manager reachable, as `by` says.
    pub(super) fn wait_whole(&self, by: u32) -> Result<()> {
        wait("the swarm to be whole", LIMIT, || {
            let nodes = self.nodes(by).map_err(|error| format!("{error:#}"))?;
            let whole = nodes.iter().filter(|node| {
                node["Status"]["State"] == "ready"
                    && node["ManagerStatus"]["Reachability"] == "reachable"
            });
            if whole.count() == self.rig.hosts().len() { Ok(()) } else { Err(format!("{nodes:?}")) }
        })
    }

    /// The host that leads, as `by` says.
    pub(super) fn leader(&self, by: u32) -> Result<u32> {
        let nodes = self.nodes(by)?;
        let leads = nodes.iter().find(|node| node["ManagerStatus"]["Leader"] == true);
        let address = leads.and_then(|it| it["ManagerStatus"]["Addr"].as_str());
        let address = address.and_then(|it| it.split(':').next()).context("a leader")?;
        let host = self.rig.hosts().iter().find(|host| host.address() == address);
        Ok(host.context("the leader is one of the hosts")?.number())
    }

    /// `docker service create` of replicas that only sleep; by itself it waits until the service is stable.
    pub(super) fn create(&self, by: u32, name: &str, replicas: usize, more: &[&str]) -> Result<()> {
        let mut command: Command = self.rig[by].docker_cli();
        command
            .args(["service", "create", "--quiet", "--no-resolve-image", "--name", name])
            .args(["--replicas", &replicas.to_string(), "--stop-signal", "SIGKILL"])
            .args(more)
            .args(["busybox:latest", "sleep", "3600"]);
        let output = command.output().context("cannot run docker")?;
        if !output.status.success() {
            bail!("docker service create: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Removes a service and waits until its containers are gone from these hosts.
    pub(super) fn remove(&self, by: u32, name: &str, hosts: &[u32]) -> Result<()> {
        wait("the service to be removed", Duration::from_mins(1), || {
            let path = format!("/services/{name}");
            let answer = self.rig[by].docker().call("DELETE", &path, None);
            answer.map(drop).map_err(|error| format!("{error:#}"))
        })?;
        wait_gone(self.rig, hosts, &format!("{name}."))
    }

    fn nodes(&self, by: u32) -> Result<Vec<Value>> {
        let nodes = self.rig[by].docker().call("GET", "/nodes", None)?;
        Ok(nodes.as_array().context("a list of nodes")?.clone())
    }
}

/// Writes something to the swarm: a service without replicas.
pub(super) fn write(docker: &Docker, name: &str) -> Result<()> {
    let body = json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": {"Image": "busybox:latest"}},
        "Mode": {"Replicated": {"Replicas": 0}},
    });
    docker.call("POST", "/services/create", Some(&body)).map(drop)
}
