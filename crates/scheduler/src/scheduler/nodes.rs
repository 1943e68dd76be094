//! Nodes with what is placed on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use smr_model::{Availability, Health, Protocol};

use crate::{
    node::Node,
    rules::{HostPort, Request},
};

/// A replica: position of its job, and its position there.
pub(super) type Seat = (u32, u32);

/// All nodes, by position. A position is kept for good, also when the node is removed.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes {
    /// What is looked at for every replica, close together.
    pub(super) loads: Vec<Load>,
    pub(super) slots: Vec<Slot>,
    by_id: BTreeMap<u64, u32>,
}

/// What is reserved on a node, and of how much.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) id: u64,
    pub(super) cpu: u64,
    pub(super) memory: u64,
    pub(super) used_cpu: u64,
    pub(super) used_memory: u64,
    /// Reciprocals, so that ranking does not divide; 0 when there is nothing to divide by.
    per_cpu: f64,
    per_memory: f64,
    pub(super) count: u32,
    /// Whether new replicas may come.
    pub(super) accepts: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// `None` when it is not a member (any more).
    pub(super) info: Option<Node>,
    pub(super) replicas: BTreeSet<Seat>,
    ports: BTreeMap<(Protocol, u16), Vec<Option<IpAddr>>>,
}

impl Nodes {
    /// The position of a node, made if there is none.
    pub(super) fn position(&mut self, id: u64) -> u32 {
        let next = self.loads.len() as u32;
        *self.by_id.entry(id).or_insert_with(|| {
            self.loads.push(Load { id, ..Load::default() });
            self.slots.push(Slot::default());
            next
        })
    }

    pub(super) fn find(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Positions of all members, by id.
    pub(super) fn members(&self) -> impl Iterator<Item = u32> {
        self.by_id.values().copied().filter(|at| self.slots[*at as usize].info.is_some())
    }

    pub(super) fn id(&self, at: u32) -> u64 {
        self.loads[at as usize].id
    }

    pub(super) fn info(&self, at: u32) -> Option<&Node> {
        self.slots[at as usize].info.as_ref()
    }

    pub(super) fn set(&mut self, at: u32, info: Option<Node>) {
        let load = &mut self.loads[at as usize];
        let capacity = |all: u64, reserved: u64| all.saturating_sub(reserved);
        let per = |all: u64| if all == 0 { 0.0 } else { 1.0 / all as f64 };
        load.cpu = info.as_ref().map_or(0, |it| capacity(it.cpu_millis, it.reserved_cpu_millis));
        load.memory = info.as_ref().map_or(0, |it| capacity(it.memory, it.reserved_memory));
        load.per_cpu = per(load.cpu);
        load.per_memory = per(load.memory);
        load.accepts = info.as_ref().is_some_and(Node::accepts);
        self.slots[at as usize].info = info;
    }

    pub(super) fn add(&mut self, at: u32, seat: Seat, request: &Request) {
        let (load, slot) = (&mut self.loads[at as usize], &mut self.slots[at as usize]);
        if !slot.replicas.insert(seat) {
            return;
        }
        load.used_cpu = load.used_cpu.saturating_add(request.cpu_millis);
        load.used_memory = load.used_memory.saturating_add(request.memory);
        load.count += 1;
        for port in &request.ports {
            slot.ports.entry((port.protocol, port.port)).or_default().push(port.address);
        }
    }

    pub(super) fn remove(&mut self, at: u32, seat: Seat, request: &Request) {
        let (load, slot) = (&mut self.loads[at as usize], &mut self.slots[at as usize]);
        if !slot.replicas.remove(&seat) {
            return;
        }
        load.used_cpu = load.used_cpu.saturating_sub(request.cpu_millis);
        load.used_memory = load.used_memory.saturating_sub(request.memory);
        load.count -= 1;
        for port in &request.ports {
            let key = (port.protocol, port.port);
            if let Some(taken) = slot.ports.get_mut(&key) {
                if let Some(found) = taken.iter().position(|it| *it == port.address) {
                    taken.swap_remove(found);
                }
                if taken.is_empty() {
                    slot.ports.remove(&key);
                }
            }
        }
    }

    /// The first of these ports that is taken.
    pub(super) fn port_taken(&self, at: u32, ports: &[HostPort]) -> Option<HostPort> {
        let slot = &self.slots[at as usize];
        ports.iter().copied().find(|port| {
            let taken = slot.ports.get(&(port.protocol, port.port));
            taken.is_some_and(|taken| {
                taken.iter().any(|&address| HostPort { address, ..*port }.overlaps(port))
            })
        })
    }

    /// Whether what is there may stay: the node answers and is not drained.
    pub(super) fn keeps(&self, at: u32) -> bool {
        self.info(at)
            .is_some_and(|it| it.health == Health::Ready && it.availability != Availability::Drain)
    }
}

impl Load {
    pub(super) fn free_cpu(&self) -> u64 {
        self.cpu.saturating_sub(self.used_cpu)
    }

    pub(super) fn free_memory(&self) -> u64 {
        self.memory.saturating_sub(self.used_memory)
    }

    /// Reserved shares of processors and memory together with one more request, in millionths.
    pub(super) fn reserved_with(&self, request: &Request) -> i64 {
        let cpu = (self.used_cpu + request.cpu_millis) as f64 * self.per_cpu;
        let memory = (self.used_memory + request.memory) as f64 * self.per_memory;
        ((cpu + memory) * 1e6) as i64
    }
}
