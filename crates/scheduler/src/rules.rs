//! What a definition says about placement, and nothing else of it.

use std::{net::IpAddr, time::Duration};

use smr_model::{
    Protocol,
    constraint::{Affinity, Attribute, Constraint},
    ports,
    spec::{ContainersSpec, Placement, Reschedule, SpreadKind, Strategy, VolumeType},
};

use crate::matcher::{NodeTest, Target};

/// A port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// Protocol.
    pub protocol: Protocol,
    /// Number, never 0.
    pub port: u16,
    /// Address it is bound to; `None` for all.
    pub address: Option<IpAddr>,
}

impl HostPort {
    /// Whether one excludes the other on the same node.
    pub fn overlaps(&self, other: &Self) -> bool {
        let everywhere = self.address.is_none() || other.address.is_none();
        self.protocol == other.protocol
            && self.port == other.port
            && (everywhere || self.address == other.address)
    }
}

/// What one replica takes from its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Processors it is promised, in thousandths.
    pub cpu_millis: u64,
    /// Bytes of memory it is promised.
    pub memory: u64,
    /// Host ports it binds.
    pub ports: Vec<HostPort>,
}

impl Request {
    /// What a replica of this definition takes. In the network of the host its container ports are
    /// the host's; ports the engine chooses do not count.
    pub fn of(spec: &ContainersSpec) -> Self {
        let own_host = spec.network_mode == "host";
        let mut host_ports: Vec<HostPort> = ports(spec)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|binding| {
                let port = if own_host { Some(binding.container) } else { binding.host }?;
                let address: Option<IpAddr> = binding.host_ip.parse().ok();
                let address = address.filter(|it| !own_host && !it.is_unspecified());
                (port != 0).then_some(HostPort { protocol: binding.protocol, port, address })
            })
            .collect();
        host_ports.sort_unstable();
        host_ports.dedup();
        Self {
            cpu_millis: spec.cpu_reservation.map_or(0, |it| it.0),
            memory: spec.memory_reservation.map_or(0, |it| it.0),
            ports: host_ports,
        }
    }
}

/// How nodes are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The home node while it is open, any when it is not.
    Home,
    /// Chunks over these nodes, ascending; never another one.
    Specific(Vec<u64>),
    /// Chunks over all open nodes.
    Uniform,
    /// By rank.
    Ranked(Strategy),
}

/// What a definition says about placement.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) replicas: u32,
    pub(crate) mode: Mode,
    pub(crate) request: Request,
    /// Rules about the node alone, with their texts as one key for caching.
    pub(crate) tests: Vec<NodeTest>,
    pub(crate) tests_key: String,
    pub(crate) platforms: Vec<String>,
    pub(crate) affinity: Vec<Target>,
    pub(crate) spread_over: Vec<Attribute>,
    pub(crate) max_per_node: Option<u32>,
    pub(crate) reschedule: Reschedule,
    pub(crate) grace: Duration,
    /// Whether volumes keep a replica where they are.
    pub(crate) pinned: bool,
}

/// Levels of `spreadOver` that count; ranks have room for so many.
const LEVELS: usize = 4;

impl Rules {
    pub(crate) fn of(spec: &ContainersSpec) -> Self {
        let none = Placement::default();
        let placement = spec.placement.as_ref().unwrap_or(&none);
        let mode = match (&spec.spread, &spec.placement) {
            (Some(spread), _) if spread.spread == SpreadKind::Uniform => Mode::Uniform,
            (Some(spread), _) if !spread.agents.is_empty() => {
                let mut agents = spread.agents.clone();
                agents.sort_unstable();
                agents.dedup();
                Mode::Specific(agents)
            }
            (None, Some(placement)) => Mode::Ranked(placement.strategy.unwrap_or_default()),
            _ => Mode::Home,
        };
        let tests = placement.constraints.iter().map(|text| match text.parse::<Constraint>() {
            Ok(constraint) => NodeTest::new(constraint),
            // Refused when it is applied; what is stored nevertheless must not be ignored.
            Err(_) => NodeTest::never(text),
        });
        let affinity = placement.affinity.iter().map(|text| match text.parse::<Affinity>() {
            Ok(affinity) => Target::new(affinity),
            Err(_) => Target::never(text),
        });
        Self {
            replicas: spec.replica_count(),
            mode,
            request: Request::of(spec),
            tests: tests.collect(),
            tests_key: format!("{:?}{:?}", placement.constraints, placement.platforms),
            platforms: placement.platforms.clone(),
            affinity: affinity.collect(),
            spread_over: placement
                .spread_over
                .iter()
                .filter_map(|text| Attribute::parse(text).ok())
                .take(LEVELS)
                .collect(),
            max_per_node: placement.max_per_node.filter(|most| *most > 0),
            reschedule: spec.reschedule,
            grace: spec.reschedule_grace.map_or(Duration::ZERO, |it| it.0),
            pinned: spec.volumes.iter().any(|volume| {
                !volume.movable
                    && match volume.kind {
                        VolumeType::Bind => true,
                        VolumeType::Volume => !volume.read_only,
                        VolumeType::Tmpfs => false,
                    }
            }),
        }
    }

    pub(crate) fn is_global(&self) -> bool {
        self.mode == Mode::Ranked(Strategy::Global)
    }

    /// The word for what decides.
    pub(crate) fn mode_text(&self) -> String {
        match &self.mode {
            Mode::Home => "the node it was applied at".to_owned(),
            Mode::Specific(agents) => {
                let agents: Vec<String> = agents.iter().map(u64::to_string).collect();
                format!("spread specific over {}", agents.join(", "))
            }
            Mode::Uniform => "spread uniform".to_owned(),
            Mode::Ranked(strategy) => {
                let name = match strategy {
                    Strategy::Binpack => "binpack",
                    Strategy::Spread => "spread",
                    Strategy::Global => "global",
                    Strategy::Random => "random",
                };
                format!("strategy {name}")
            }
        }
    }
}
