//! Keeps what it counted between two decisions.

mod explain;
mod jobs;
mod nodes;
mod rebalance;
mod settle;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_model::{Availability, Health, ReplicaKey};

use self::{
    jobs::{Item, Jobs},
    nodes::Nodes,
    view::Cache,
};
use crate::{
    Cluster,
    decision::{Decision, Placement},
    node::Node,
    workload::Workload,
};

/// Nodes and objects with everything counted, so that a change costs what it touches.
///
/// Tell it what changed ([`set_node`](Self::set_node), [`set_workload`](Self::set_workload) and their
/// opposites), then ask it to [`settle`](Self::settle). It takes its own decisions as carried out;
/// where one could not be written down, set the workload again as it really is. A clone answers
/// "what if".
#[derive(Debug, Clone, Default)]
pub struct Scheduler {
    nodes: Nodes,
    jobs: Jobs,
    /// Objects to look at.
    dirty: BTreeSet<u32>,
    /// Objects with a replica that is pending or waits.
    unsettled: BTreeSet<u32>,
    /// Ends of grace periods.
    timers: BTreeSet<(Timestamp, u32)>,
    /// Replicas of removed objects, to be reported.
    gone: BTreeSet<ReplicaKey>,
    cache: Cache,
}

impl Scheduler {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything at once.
    pub fn from_cluster(cluster: &Cluster) -> Self {
        let mut scheduler = Self::new();
        for node in &cluster.nodes {
            scheduler.set_node(node.clone());
        }
        for workload in &cluster.workloads {
            scheduler.set_workload(workload.clone());
        }
        scheduler
    }

    /// Adds a node, or replaces what is known of it.
    pub fn set_node(&mut self, node: Node) {
        let at = self.nodes.position(node.id);
        if self.nodes.info(at) == Some(&node) {
            return;
        }
        self.change_node(at, Some(node));
    }

    /// Forgets a node. What was there goes elsewhere.
    pub fn remove_node(&mut self, id: u64) {
        if let Some(at) = self.nodes.find(id) {
            self.change_node(at, None);
        }
    }

    fn change_node(&mut self, at: u32, node: Option<Node>) {
        let facts = |node: &Node| Node {
            health: Health::default(),
            availability: Availability::default(),
            down_since: None,
            engine_ready: false,
            ..node.clone()
        };
        // Health comes and goes; what a node is changes seldom.
        if self.nodes.info(at).map(facts) != node.as_ref().map(facts) {
            self.cache.clear();
        }
        self.nodes.set(at, node);
        self.dirty.extend(self.nodes.slots[at as usize].replicas.iter().map(|(job, _)| *job));
        self.dirty.extend(&self.jobs.global);
        self.dirty.extend(&self.unsettled);
    }

    /// Adds an object, or replaces what is known of it and of where its replicas are.
    pub fn set_workload(&mut self, mut workload: Workload) {
        let before = self
            .jobs
            .find(&workload.group, &workload.name)
            .map(|at| self.take_job(at))
            .unwrap_or_default();
        let mut said: BTreeMap<u32, Item> =
            before.into_iter().map(|item| (item.index, item)).collect();
        let mut replicas = std::mem::take(&mut workload.replicas);
        replicas.sort_by_key(|replica| replica.index);
        replicas.dedup_by_key(|replica| replica.index);
        let at = self.jobs.insert(workload);
        for (position, replica) in replicas.into_iter().enumerate() {
            let (mut item, node) = Item::new(replica);
            // What was said stays said as long as it is what is.
            item.decision = said
                .remove(&item.index)
                .and_then(|before| before.decision)
                .filter(|decision| decision.node() == node);
            item.node = node.map(|node| self.nodes.position(node));
            let Some(job) = self.jobs.get_mut(at) else { continue };
            job.items.push(item);
            let item = &job.items[position];
            if let Some(node) = item.node {
                self.nodes.add(node, (at, position as u32), job.request(item));
            }
        }
        let Some(job) = self.jobs.get(at) else { return };
        let lost = said.into_values().filter(|item| item.decision.is_some());
        self.gone.extend(lost.map(|item| job.key(&item)));
        self.dirty.insert(at);
        self.dirty.extend(&self.unsettled);
    }

    /// Forgets an object and its replicas.
    pub fn remove_workload(&mut self, group: &str, name: &str) {
        let Some(at) = self.jobs.find(group, name) else { return };
        for item in self.take_job(at) {
            self.gone.insert(ReplicaKey::new(group, name, item.index));
        }
        self.dirty.extend(&self.unsettled);
    }

    /// Takes an object out; its replicas are no longer counted.
    fn take_job(&mut self, at: u32) -> Vec<Item> {
        let Some(job) = self.jobs.remove(at) else { return Vec::new() };
        for (position, item) in job.items.iter().enumerate() {
            if let Some(node) = item.node {
                self.nodes.remove(node, (at, position as u32), job.request(item));
            }
        }
        self.dirty.remove(&at);
        self.unsettled.remove(&at);
        if !self.timers.is_empty() {
            self.timers.retain(|(_, job)| *job != at);
        }
        job.items
    }

    /// What was decided for a replica.
    pub fn decision(&self, key: &ReplicaKey) -> Option<&Decision> {
        let job = self.jobs.get(self.jobs.find(&key.group, &key.name)?)?;
        let at = job.items.binary_search_by_key(&key.index, |item| item.index).ok()?;
        job.items[at].decision.as_ref()
    }

    /// What was decided for all replicas.
    pub fn placement(&self) -> Placement {
        let jobs = self.jobs.positions().filter_map(|at| self.jobs.get(at));
        let decisions = jobs.flat_map(|job| {
            job.items.iter().filter_map(|item| Some((job.key(item), item.decision.clone()?)))
        });
        Placement { decisions: decisions.collect(), recheck: self.recheck() }
    }

    /// When to settle again although nothing changed: the next end of a grace period.
    pub fn recheck(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Replicas on a node, ascending.
    pub fn replicas_on(&self, node: u64) -> Vec<ReplicaKey> {
        let Some(at) = self.nodes.find(node) else { return Vec::new() };
        let seats = &self.nodes.slots[at as usize].replicas;
        let mut keys: Vec<ReplicaKey> = seats
            .iter()
            .filter_map(|(job, position)| {
                let job = self.jobs.get(*job)?;
                Some(job.key(job.items.get(*position as usize)?))
            })
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Processors (in thousandths) and bytes of memory that are promised on a node.
    pub fn promised_on(&self, node: u64) -> (u64, u64) {
        self.nodes.find(node).map_or((0, 0), |at| {
            let load = &self.nodes.loads[at as usize];
            (load.used_cpu, load.used_memory)
        })
    }
}
