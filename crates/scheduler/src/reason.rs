//! Filters that refuse a node, in words.

use std::collections::BTreeMap;

use smr_model::{Bytes, Cpus, Protocol};

use crate::{explanation::Refused, rules::Rules};

/// Longest reason, in bytes.
const LONGEST: usize = 400;
/// Most kinds of refusal that are named.
const KINDS: usize = 6;

/// Why a node is refused, in the order filters are asked. Small, for it is made often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// Not among those the replica may go to.
    Elsewhere,
    /// Not a member any more.
    Removed,
    Down,
    Drained,
    Paused,
    Engine,
    /// The constraint at this position.
    Constraint(u16),
    Platform,
    /// The data of its volumes is on this other node.
    Data(u64),
    /// The affinity at this position.
    Affinity(u16),
    /// Something there must not have it beside itself.
    Guarded,
    MaxPerNode,
    Port(Protocol, u16),
    Cpu {
        free: u64,
    },
    Memory {
        free: u64,
    },
}

impl Refusal {
    fn filter(self) -> &'static str {
        match self {
            Self::Removed | Self::Down => "health",
            Self::Engine => "engine",
            Self::Drained | Self::Paused => "availability",
            Self::Elsewhere => "spread",
            Self::Constraint(_) => "constraint",
            Self::Platform => "platform",
            Self::Data(_) => "volume",
            Self::Affinity(_) | Self::Guarded => "affinity",
            Self::MaxPerNode => "maxPerNode",
            Self::Port(..) => "port",
            Self::Cpu { .. } => "cpu",
            Self::Memory { .. } => "memory",
        }
    }

    /// Refusals that are counted together.
    fn group(self) -> Self {
        match self {
            Self::Cpu { .. } => Self::Cpu { free: 0 },
            Self::Memory { .. } => Self::Memory { free: 0 },
            other => other,
        }
    }

    fn free(self) -> u64 {
        match self {
            Self::Cpu { free } | Self::Memory { free } => free,
            _ => 0,
        }
    }
}

/// What the words need besides the refusal.
pub(crate) struct Words<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) home: u64,
    pub(crate) cpu_millis: u64,
    pub(crate) memory: u64,
}

impl Words<'_> {
    /// One filter of one node.
    pub(crate) fn refused(&self, refusal: Refusal) -> Refused {
        let message = self.predicate(refusal, true, refusal.free());
        Refused { filter: refusal.filter().to_owned(), message }
    }

    /// `3 nodes: 2 have port 80 taken, 1 lacks memory (need 10GiB, free 2GiB)`, by the first filter
    /// that refused each node.
    pub(crate) fn counted(&self, refusals: &[Refusal]) -> String {
        let mut counts: BTreeMap<Refusal, (usize, u64)> = BTreeMap::new();
        for refusal in refusals {
            let entry = counts.entry(refusal.group()).or_default();
            entry.0 += 1;
            entry.1 = entry.1.max(refusal.free());
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        // Most first; those not asked for at all last.
        counts.sort_by_key(|(refusal, (count, _))| {
            (*refusal == Refusal::Elsewhere, usize::MAX - count, *refusal)
        });
        let total = refusals.len();
        let mut text = match total {
            0 => return "the cluster has no node".to_owned(),
            1 => "1 node: ".to_owned(),
            _ => format!("{total} nodes: "),
        };
        let kinds = counts.len();
        for (position, (refusal, (count, free))) in counts.into_iter().enumerate() {
            let what = format!("{count} {}", self.predicate(refusal, count == 1, free));
            if position == KINDS || text.len() + what.len() + 2 > LONGEST {
                let comma = if position > 0 { ", " } else { "" };
                text.push_str(&format!("{comma}and {} more reasons", kinds - position));
                break;
            }
            if position > 0 {
                text.push_str(", ");
            }
            text.push_str(&what);
        }
        text
    }

    fn predicate(&self, refusal: Refusal, one: bool, free: u64) -> String {
        let is = if one { "is" } else { "are" };
        let does = |verb: &str| if one { format!("{verb}s") } else { verb.to_owned() };
        let has = if one { "has" } else { "have" };
        match refusal {
            Refusal::Removed => format!("{is} not a member any more"),
            Refusal::Down => format!("{is} down"),
            Refusal::Engine => format!("{has} no engine that answers"),
            Refusal::Drained => format!("{is} drained"),
            Refusal::Paused => format!("{is} paused"),
            Refusal::Elsewhere => match &self.rules.mode {
                crate::rules::Mode::Home => format!("{is} not its home (node {})", self.home),
                crate::rules::Mode::Specific(_) => format!("{is} not in `spread.agents`"),
                _ => format!("{is} not its node"),
            },
            Refusal::Constraint(position) => {
                let test = self.rules.tests.get(usize::from(position));
                let text = test.map_or("", |it| it.text.as_str());
                format!("{} not match `{}`", does_not(one), short(text))
            }
            Refusal::Platform => {
                format!("{is} not {}", short(&self.rules.platforms.join(" or ")))
            }
            Refusal::Data(node) => format!("{} not have its data (on node {node})", does_not(one)),
            Refusal::Affinity(position) => {
                let target = self.rules.affinity.get(usize::from(position));
                let text = target.map_or("", |it| it.text.as_str());
                if target.is_some_and(|it| it.anti) {
                    format!("{} `{}`", does("run"), short(text))
                } else {
                    format!("{} not run `{}`", does_not(one), short(text))
                }
            }
            Refusal::Guarded => format!("{} what must be apart from it", does("run")),
            Refusal::MaxPerNode => {
                let most = self.rules.max_per_node.unwrap_or_default();
                format!("{has} {most} of it already, the most per node")
            }
            Refusal::Port(protocol, port) => match protocol {
                Protocol::Tcp => format!("{has} port {port} taken"),
                other => format!("{has} port {port}/{} taken", other.as_str()),
            },
            Refusal::Cpu { .. } => {
                let (need, free) = (Cpus(self.cpu_millis), Cpus(free));
                format!("{} processors (need {need}, {}free {free})", does("lack"), at_most(one))
            }
            Refusal::Memory { .. } => {
                let (need, free) = (size(self.memory), size(free));
                format!("{} memory (need {need}, {}free {free})", does("lack"), at_most(one))
            }
        }
    }
}

fn does_not(one: bool) -> &'static str {
    if one { "does" } else { "do" }
}

fn at_most(one: bool) -> &'static str {
    if one { "" } else { "at most " }
}

/// A size people can compare: at most one decimal.
fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >> shift > 0 {
            if bytes.is_multiple_of(1 << shift) {
                return format!("{} {unit}", bytes >> shift);
            }
            // Cut, not rounded: what is said to be free is free.
            let tenths = (u128::from(bytes) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    Bytes(bytes).to_string()
}

/// At most 60 characters.
fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
