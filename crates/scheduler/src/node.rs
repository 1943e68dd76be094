//! A node as the scheduler sees it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{Availability, Health, Member, NodeHealth, NodeRole, NodeSettings, NodeStatus};

/// What placement needs to know of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// Id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Labels of its configuration, with those of administrators over them.
    pub labels: BTreeMap<String, String>,
    /// Labels of its engine.
    pub engine_labels: BTreeMap<String, String>,
    /// Operating system as the engine names it, `Debian GNU/Linux 12`.
    pub os: String,
    /// Architecture as the engine names it, `x86_64`.
    pub arch: String,
    /// Version of the kernel.
    pub kernel: String,
    /// Version of the engine, `20.10.24`.
    pub engine_version: String,
    /// Storage driver of the engine.
    pub driver: String,
    /// Addresses, with or without port.
    pub addresses: Vec<String>,
    /// Processors of the machine, in thousandths; 0 when not known yet.
    pub cpu_millis: u64,
    /// Memory of the machine in bytes; 0 when not known yet.
    pub memory: u64,
    /// Processors kept for the machine itself, in thousandths.
    pub reserved_cpu_millis: u64,
    /// Bytes of memory kept for the machine itself.
    pub reserved_memory: u64,
    /// What may be placed on it.
    pub availability: Availability,
    /// Whether it answers.
    pub health: Health,
    /// Since when it does not answer.
    pub down_since: Option<Timestamp>,
    /// Whether its engine answers.
    pub engine_ready: bool,
    /// Whether it may vote.
    pub role: NodeRole,
}

impl Node {
    /// A node from what is stored about it. Without a status (it has never reported) its engine
    /// counts as not ready; without a verdict it counts as answering.
    pub fn from_records(
        member: &Member,
        status: Option<&NodeStatus>,
        settings: Option<&NodeSettings>,
        health: Option<&NodeHealth>,
    ) -> Self {
        let mut labels = status.map(|it| it.labels.clone()).unwrap_or_default();
        if let Some(settings) = settings {
            labels.extend(settings.labels.clone());
        }
        let down = health.filter(|it| it.state == Health::Down);
        let mut node = Self {
            id: member.id,
            name: member.name.clone(),
            labels,
            addresses: vec![member.peer.clone(), member.api.clone()],
            availability: settings.map(|it| it.availability).unwrap_or_default(),
            health: health.map(|it| it.state).unwrap_or_default(),
            down_since: down.map(|it| it.since),
            role: member.role,
            ..Self::default()
        };
        if let Some(status) = status {
            node.os.clone_from(&status.os);
            node.arch.clone_from(&status.arch);
            node.kernel.clone_from(&status.kernel);
            node.driver.clone_from(&status.driver);
            node.engine_version = status.engine.rsplit(' ').next().unwrap_or_default().to_owned();
            node.addresses.extend(status.addresses.iter().cloned());
            node.addresses.push(status.peer.clone());
            node.cpu_millis = status.cpus.saturating_mul(1000);
            node.memory = status.memory;
            node.reserved_cpu_millis = status.reserved_cpu_millis;
            node.reserved_memory = status.reserved_memory;
            node.engine_ready = status.engine_ready;
        }
        node.addresses.retain(|it| !it.is_empty());
        node
    }

    /// Whether new replicas may come.
    pub fn accepts(&self) -> bool {
        self.is_active() && self.engine_ready
    }

    /// Whether it answers and is open for new replicas, whatever its engine does.
    pub fn is_active(&self) -> bool {
        self.health == Health::Ready && self.availability == Availability::Active
    }
}
