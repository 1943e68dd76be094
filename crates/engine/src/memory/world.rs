//! The state of the in-memory engine, and the few rules by which it changes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use smr_model::{ContainerSpec, EngineState};
use tokio::sync::{mpsc, watch};

use super::{Call, Operation, program::Program};
use crate::{
    error::{ErrorClass, PullFailure},
    ownership::Owner,
    types::{Chunk, Container, EngineEvent, EngineEventKind, Network, Volume},
};

/// Tells the time.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A container with what happens in it.
pub(super) struct Cell {
    pub(super) container: Container,
    pub(super) spec: ContainerSpec,
    pub(super) program: Program,
    pub(super) logs: Vec<(Timestamp, Chunk)>,
    /// Counts starts, so that the end of an earlier run is not taken for that of this one.
    pub(super) run: u64,
    /// Where in the world's networks it is or will be.
    pub(super) networks: Vec<String>,
    /// Something is left of a start that was cut short: no other one succeeds.
    pub(super) spoiled: bool,
}

pub(super) struct Subscriber {
    pub(super) owner: Owner,
    pub(super) sender: mpsc::UnboundedSender<EngineEvent>,
}

pub(super) struct World {
    pub(super) clock: Clock,
    pub(super) reachable: bool,
    pub(super) images: BTreeSet<String>,
    pub(super) registry: BTreeMap<String, Result<(), PullFailure>>,
    pub(super) programs: HashMap<String, Program>,
    pub(super) containers: BTreeMap<String, Cell>,
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) failures: HashMap<Operation, VecDeque<ErrorClass>>,
    pub(super) latency: HashMap<Operation, Duration>,
    /// So many containers are spoiled by their next start.
    pub(super) spoil: usize,
    pub(super) calls: Vec<Call>,
    pub(super) subscribers: Vec<Subscriber>,
    /// Changes with every change, for those who wait for something.
    pub(super) version: watch::Sender<u64>,
    next: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let builtin = |name: &str, driver: &str| {
            let network = Network {
                id: format!("builtin-{name}"),
                name: name.to_owned(),
                driver: driver.to_owned(),
                ..Default::default()
            };
            (name.to_owned(), network)
        };
        Self {
            clock: Arc::new(Timestamp::now),
            reachable: true,
            images: BTreeSet::new(),
            registry: BTreeMap::new(),
            programs: HashMap::new(),
            containers: BTreeMap::new(),
            networks: BTreeMap::from([
                builtin("bridge", "bridge"),
                builtin("host", "host"),
                builtin("none", "null"),
            ]),
            volumes: BTreeMap::new(),
            failures: HashMap::new(),
            latency: HashMap::new(),
            spoil: 0,
            calls: Vec::new(),
            subscribers: Vec::new(),
            version: watch::Sender::new(0),
            next: 0,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// A new id, the same in every run.
    pub(super) fn next_id(&mut self) -> String {
        self.next += 1;
        format!("{:064x}", self.next)
    }

    pub(super) fn touch(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    /// Id of a container given by id or name.
    pub(super) fn resolve(&self, id_or_name: &str) -> Option<String> {
        if self.containers.contains_key(id_or_name) {
            return Some(id_or_name.to_owned());
        }
        self.containers
            .values()
            .find(|cell| cell.container.name == id_or_name)
            .map(|cell| cell.container.id.clone())
    }

    pub(super) fn emit(&mut self, id: &str, kind: EngineEventKind) {
        let Some(cell) = self.containers.get(id) else { return };
        let of_network =
            matches!(kind, EngineEventKind::Connected(_) | EngineEventKind::Disconnected(_));
        let event = EngineEvent {
            time: self.now(),
            container_id: id.to_owned(),
            name: if of_network { String::new() } else { cell.container.name.clone() },
            ownership: if of_network { None } else { cell.container.ownership.clone() },
            kind,
        };
        let labels = &cell.container.labels;
        self.subscribers.retain(|subscriber| {
            !subscriber.owner.owns(labels) || subscriber.sender.send(event.clone()).is_ok()
        });
        self.touch();
    }

    /// The host port another running container has, if a start would need it.
    pub(super) fn taken_port(&self, id: &str) -> Option<String> {
        let wanted = &self.containers.get(id)?.spec.ports;
        let others = self.containers.values();
        let running = others.filter(|cell| cell.container.is_running() && cell.container.id != id);
        let taken: BTreeSet<_> = running
            .flat_map(|cell| &cell.spec.ports)
            .filter_map(|port| Some((port.host.filter(|p| *p != 0)?, port.protocol)))
            .collect();
        wanted
            .iter()
            .filter_map(|port| Some((port.host?, port.protocol)))
            .find(|key| taken.contains(key))
            .map(|(port, _)| port.to_string())
    }

    pub(super) fn begin(&mut self, id: &str) -> Option<(u64, Program)> {
        let now = self.now();
        let cell = self.containers.get_mut(id)?;
        let number = u64::from_str_radix(id, 16).unwrap_or(1);
        cell.run += 1;
        let container = &mut cell.container;
        container.state = EngineState::Running;
        container.exit_code = None;
        container.oom_killed = false;
        container.error = String::new();
        container.started_at = Some(now);
        container.pid = Some(1000 + number as u32);
        cell.logs.extend(cell.program.output.iter().map(|chunk| (now, chunk.clone())));
        let (run, program) = (cell.run, cell.program.clone());
        for name in cell.networks.clone() {
            let address = self.address(&name, number);
            if let (Some(cell), Some(address)) = (self.containers.get_mut(id), address) {
                cell.container.addresses.insert(name.clone(), address);
            }
            self.emit(id, EngineEventKind::Connected(name));
        }
        self.emit(id, EngineEventKind::Started);
        Some((run, program))
    }

    fn address(&self, network: &str, number: u64) -> Option<IpAddr> {
        let base = match self.networks.get(network)?.subnets.first() {
            Some(subnet) => subnet.split('/').next()?.parse::<Ipv4Addr>().ok()?,
            None => Ipv4Addr::new(172, 17, 0, 0),
        };
        Some(IpAddr::V4(Ipv4Addr::from(u32::from(base) + 1 + (number % 250) as u32)))
    }

    /// Ends a run, unless it has ended already.
    pub(super) fn end(&mut self, id: &str, run: Option<u64>, exit_code: i64) {
        let now = self.now();
        let Some(cell) = self.containers.get_mut(id) else { return };
        if !cell.container.is_running() || run.is_some_and(|run| run != cell.run) {
            return;
        }
        let container = &mut cell.container;
        container.state = EngineState::Exited;
        container.exit_code = Some(exit_code);
        container.finished_at = Some(now);
        container.pid = None;
        container.addresses.clear();
        let networks = cell.networks.clone();
        self.emit(id, EngineEventKind::Died(exit_code));
        for name in networks {
            self.emit(id, EngineEventKind::Disconnected(name));
        }
    }

    pub(super) fn discard(&mut self, id: &str) {
        self.end(id, None, 137);
        self.emit(id, EngineEventKind::Removed);
        self.containers.remove(id);
        self.touch();
    }
}
