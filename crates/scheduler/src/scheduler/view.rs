//! One object against all nodes: filters and ranks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::ControlFlow,
    sync::Arc,
};

use smr_model::{Availability, Health, constraint::Attribute, spec::Strategy};

use super::{
    jobs::{Item, Job, Jobs},
    nodes::{Load, Nodes},
};
use crate::{
    chunks::chunk_of,
    matcher::{attribute, runs_on},
    reason::Refusal,
    rules::{Mode, Request, Rules},
};

/// What constraints and platforms say of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Static {
    refused: Option<Refusal>,
    /// Preferences it does not satisfy.
    broken: u32,
}

/// What rules about nodes alone say, and in which branches nodes are, by the texts of the rules.
/// Kept from one object to the next, until a node becomes another one.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    statics: BTreeMap<String, Arc<Vec<Static>>>,
    branches: BTreeMap<Vec<Attribute>, Arc<Vec<Branches>>>,
}

/// Most entries of each kind; objects beyond that pay for themselves.
const MOST_CACHED: usize = 512;

/// One level of `spreadOver`: the branch of each node, and the number of branches.
#[derive(Debug, Clone)]
struct Branches {
    of: Vec<u32>,
    count: usize,
}

impl Cache {
    pub(super) fn clear(&mut self) {
        self.statics.clear();
        self.branches.clear();
    }

    fn statics(&mut self, nodes: &Nodes, rules: &Rules) -> Arc<Vec<Static>> {
        if let Some(found) =
            self.statics.get(&rules.tests_key).filter(|it| it.len() == nodes.loads.len())
        {
            return Arc::clone(found);
        }
        if self.statics.len() >= MOST_CACHED {
            self.statics.clear();
        }
        let made = Arc::new(statics(nodes, rules));
        self.statics.insert(rules.tests_key.clone(), Arc::clone(&made));
        made
    }

    fn branches(&mut self, nodes: &Nodes, rules: &Rules) -> Arc<Vec<Branches>> {
        let current =
            |it: &&Arc<Vec<Branches>>| it.iter().all(|it| it.of.len() == nodes.loads.len());
        if let Some(found) = self.branches.get(&rules.spread_over).filter(current) {
            return Arc::clone(found);
        }
        if self.branches.len() >= MOST_CACHED {
            self.branches.clear();
        }
        let made = Arc::new(branches(nodes, rules));
        self.branches.insert(rules.spread_over.clone(), Arc::clone(&made));
        made
    }
}

/// How a node that fits ranks; the least wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    pub(super) broken: u32,
    /// Replicas in its branches, 16 bits for each level.
    pub(super) branches: u64,
    rank: u64,
    id: u64,
}

/// One object against all nodes.
pub(super) struct View {
    statics: Arc<Vec<Static>>,
    /// Replicas of the object, by node.
    pub(super) own: Vec<u32>,
    terms: Vec<Term>,
    /// Nodes with something that must be apart from it; empty when there is none.
    guarded: Vec<bool>,
    branches: Arc<Vec<Branches>>,
    /// Replicas of the object, by level and branch.
    counts: Vec<Vec<u32>>,
    /// The only node allowed, as long as it is open.
    home: Option<u32>,
    /// Over which chunks go, by id.
    targets: Vec<u64>,
}

/// An affinity, and how many replicas each node has of what it means.
struct Term {
    anti: bool,
    soft: bool,
    /// Whether it means the object itself too.
    own: bool,
    counts: Vec<u32>,
    total: u32,
}

impl View {
    pub(super) fn new(nodes: &Nodes, jobs: &Jobs, at: u32, job: &Job, cache: &mut Cache) -> Self {
        let rules = &job.workload.rules;
        let count = nodes.loads.len();
        let statics = cache.statics(nodes, rules);
        let branches = cache.branches(nodes, rules);
        let mut view = Self {
            statics,
            own: vec![0; count],
            terms: Vec::new(),
            guarded: Vec::new(),
            counts: branches.iter().map(|it| vec![0; it.count]).collect(),
            branches,
            home: None,
            targets: Vec::new(),
        };
        for target in &rules.affinity {
            let mut term = Term {
                anti: target.anti,
                soft: target.soft,
                own: false,
                counts: vec![0; count],
                total: 0,
            };
            for meant in jobs.meant(target) {
                if meant == at {
                    // Counted together with `own`.
                    term.own = true;
                } else if let Some(other) = jobs.get(meant) {
                    for node in other.items.iter().filter_map(|item| item.node) {
                        term.counts[node as usize] += 1;
                        term.total += 1;
                    }
                }
            }
            view.terms.push(term);
        }
        let guards = jobs.guards(at);
        if !guards.is_empty() {
            view.guarded = vec![false; count];
            for guard in guards.iter().filter_map(|it| jobs.get(*it)) {
                for node in guard.items.iter().filter_map(|item| item.node) {
                    view.guarded[node as usize] = true;
                }
            }
        }
        for node in job.items.iter().filter_map(|item| item.node) {
            view.add(node);
        }
        match &rules.mode {
            Mode::Home => {
                view.home = nodes
                    .find(job.workload.home)
                    .filter(|home| nodes.info(*home).is_some_and(crate::Node::is_active));
                view.targets = vec![job.workload.home];
            }
            Mode::Specific(agents) => view.targets.clone_from(agents),
            Mode::Uniform => {
                let open = nodes.members().filter(|at| {
                    view.statics[*at as usize].refused.is_none()
                        && nodes.info(*at).is_some_and(crate::Node::is_active)
                });
                view.targets = open.map(|at| nodes.id(at)).collect();
            }
            Mode::Ranked(_) => {}
        }
        view
    }

    /// Counts a replica of the object.
    pub(super) fn add(&mut self, node: u32) {
        self.count(node, 1);
    }

    /// Takes a replica of the object away.
    pub(super) fn remove(&mut self, node: u32) {
        self.count(node, -1);
    }

    fn count(&mut self, node: u32, change: i32) {
        let node = node as usize;
        let apply = |count: &mut u32| *count = count.saturating_add_signed(change);
        apply(&mut self.own[node]);
        for term in self.terms.iter_mut().filter(|term| term.own) {
            apply(&mut term.counts[node]);
            apply(&mut term.total);
        }
        for (counts, level) in self.counts.iter_mut().zip(self.branches.iter()) {
            apply(&mut counts[level.of[node] as usize]);
        }
    }

    /// Where `spread` says a replica goes.
    pub(super) fn desired(&self, nodes: &Nodes, rules: &Rules, index: u32) -> Option<u32> {
        let chunk = chunk_of(index, rules.replicas, self.targets.len())?;
        nodes.find(self.targets[chunk])
    }

    /// Whether constraints and platforms allow the node.
    pub(super) fn suits(&self, node: u32) -> bool {
        self.statics[node as usize].refused.is_none()
    }

    /// The first filter that refuses a node. `staying` is for a replica that is there already (and
    /// is not counted): a node that takes nothing new may keep it.
    pub(super) fn refusal(
        &self,
        nodes: &Nodes,
        job: &Job,
        item: &Item,
        node: u32,
        staying: bool,
    ) -> Option<Refusal> {
        let test = self.test(nodes, job, item, node, staying, ControlFlow::Break);
        match test {
            ControlFlow::Break(refusal) => Some(refusal),
            ControlFlow::Continue(()) => None,
        }
    }

    /// Every filter that refuses a node.
    pub(super) fn refusals(
        &self,
        nodes: &Nodes,
        job: &Job,
        item: &Item,
        node: u32,
        staying: bool,
    ) -> Vec<Refusal> {
        let mut found = Vec::new();
        let _all = self.test(nodes, job, item, node, staying, |refusal| {
            found.push(refusal);
            ControlFlow::Continue(())
        });
        // The cached verdict names only the first constraint.
        if let Some(info) = nodes.info(node) {
            let rules = &job.workload.rules;
            for (position, test) in rules.tests.iter().enumerate() {
                let refusal = Refusal::Constraint(position as u16);
                if !test.soft && !test.holds(info) && !found.contains(&refusal) {
                    found.push(refusal);
                }
            }
            if !platform_fits(rules, info) && !found.contains(&Refusal::Platform) {
                found.push(Refusal::Platform);
            }
            found.sort_unstable();
        }
        found
    }

    #[inline]
    fn test(
        &self,
        nodes: &Nodes,
        job: &Job,
        item: &Item,
        node: u32,
        staying: bool,
        mut refuse: impl FnMut(Refusal) -> ControlFlow<Refusal>,
    ) -> ControlFlow<Refusal> {
        let at = node as usize;
        let load = &nodes.loads[at];
        let rules = &*job.workload.rules;
        let request = job.request(item);
        if !self.allowed(job, item, node, load) {
            refuse(Refusal::Elsewhere)?;
        }
        if !load.accepts
            && let Some(refusal) = closed(nodes, node, staying)
        {
            refuse(refusal)?;
        }
        if let Some(refusal) = self.statics[at].refused {
            refuse(refusal)?;
        }
        if let Some(data) = job.data_on(item).filter(|data| *data != load.id) {
            refuse(Refusal::Data(data))?;
        }
        for (position, term) in self.terms.iter().enumerate().filter(|(_, term)| !term.soft) {
            if !term.holds(at) {
                refuse(Refusal::Affinity(position as u16))?;
            }
        }
        if self.guarded.get(at).copied().unwrap_or_default() {
            refuse(Refusal::Guarded)?;
        }
        if rules.max_per_node.is_some_and(|most| self.own[at] >= most) {
            refuse(Refusal::MaxPerNode)?;
        }
        if !request.ports.is_empty()
            && let Some(port) = nodes.port_taken(node, &request.ports)
        {
            refuse(Refusal::Port(port.protocol, port.port))?;
        }
        if request.cpu_millis > 0 && load.free_cpu() < request.cpu_millis {
            refuse(Refusal::Cpu { free: load.free_cpu() })?;
        }
        if request.memory > 0 && load.free_memory() < request.memory {
            refuse(Refusal::Memory { free: load.free_memory() })?;
        }
        ControlFlow::Continue(())
    }

    /// Whether the definition lets the replica on this node at all.
    fn allowed(&self, job: &Job, item: &Item, node: u32, load: &Load) -> bool {
        match &job.workload.rules.mode {
            Mode::Home => self.home.is_none_or(|home| home == node),
            Mode::Specific(agents) => agents.binary_search(&load.id).is_ok(),
            Mode::Ranked(Strategy::Global) => load.id == u64::from(item.index),
            Mode::Uniform | Mode::Ranked(_) => true,
        }
    }

    /// How a node that fits ranks.
    #[inline]
    pub(super) fn score(&self, nodes: &Nodes, job: &Job, item: &Item, node: u32) -> Score {
        let at = node as usize;
        let load = &nodes.loads[at];
        let mut broken = self.statics[at].broken;
        for term in self.terms.iter().filter(|term| term.soft) {
            broken += u32::from(!term.holds(at));
        }
        let mut branches = 0;
        for (counts, level) in self.counts.iter().zip(self.branches.iter()) {
            let count = counts[level.of[at] as usize];
            branches = branches << 16 | u64::from(count.min(0xffff));
        }
        let request: &Request = job.request(item);
        let rank = match job.workload.rules.mode {
            Mode::Ranked(Strategy::Binpack) => !fullness(load, request),
            Mode::Ranked(Strategy::Random) => mix(job.seed, item.index, load.id),
            _ => u64::from(self.own[at].min(0x7fff)) << 48 | fullness(load, request),
        };
        Score { broken, branches, rank, id: load.id }
    }

    /// The fittest node.
    pub(super) fn best(&self, nodes: &Nodes, job: &Job, item: &Item) -> Option<u32> {
        let fits = |node: &u32| self.refusal(nodes, job, item, *node, false).is_none();
        if let Some(only) = job.data_on(item) {
            return nodes.find(only).filter(fits);
        }
        if let Some(home) = self.home {
            return Some(home).filter(fits);
        }
        let request = job.request(item);
        let mut best: Option<(Score, u32)> = None;
        for (at, load) in nodes.loads.iter().enumerate() {
            // The cheapest filters first, and the dear ones only for what would win.
            let room =
                load.free_cpu() >= request.cpu_millis && load.free_memory() >= request.memory;
            if !(load.accepts && room) || self.statics[at].refused.is_some() {
                continue;
            }
            let node = at as u32;
            let score = self.score(nodes, job, item, node);
            if best.as_ref().is_none_or(|(best, _)| score < *best) && fits(&node) {
                best = Some((score, node));
            }
        }
        best.map(|(_, node)| node)
    }
}

/// Nodes by score, for many equal replicas of one object: the nodes are looked at once, not once for
/// each replica.
pub(super) struct Ranking(BinaryHeap<Reverse<(Score, u32)>>);

impl Ranking {
    /// For replicas like `item`. `None` where placing one changes the ranks of other nodes, or
    /// where there is nothing to rank.
    pub(super) fn new(view: &View, nodes: &Nodes, job: &Job, item: &Item) -> Option<Self> {
        let mode = &job.workload.rules.mode;
        let local = view.branches.is_empty()
            && view.home.is_none()
            && view.terms.iter().all(|term| !term.own)
            && !matches!(mode, Mode::Ranked(Strategy::Random | Strategy::Global));
        let open = |node: &u32| {
            let load = &nodes.loads[*node as usize];
            load.accepts && view.suits(*node)
        };
        local.then(|| {
            let all = (0..nodes.loads.len() as u32).filter(open);
            Self(all.map(|node| Reverse((view.score(nodes, job, item, node), node))).collect())
        })
    }

    /// The fittest node. Once a replica is counted there, call [`update`](Self::update).
    pub(super) fn take(
        &mut self,
        view: &View,
        nodes: &Nodes,
        job: &Job,
        item: &Item,
    ) -> Option<u32> {
        while let Some(Reverse((score, node))) = self.0.pop() {
            // A node that refuses does so for good: it only gets fuller. An old score has a new one
            // beside it.
            if view.score(nodes, job, item, node) == score
                && view.refusal(nodes, job, item, node, false).is_none()
            {
                return Some(node);
            }
        }
        None
    }

    /// Ranks a node anew.
    pub(super) fn update(&mut self, view: &View, nodes: &Nodes, job: &Job, item: &Item, node: u32) {
        self.0.push(Reverse((view.score(nodes, job, item, node), node)));
    }
}

/// Reserved share, then number of replicas, in 48 bits.
fn fullness(load: &Load, request: &Request) -> u64 {
    let reserved = load.reserved_with(request).clamp(0, 0x0fff_ffff) as u64;
    reserved << 20 | u64::from(load.count.min(0xf_ffff))
}

impl Term {
    fn holds(&self, at: usize) -> bool {
        if self.anti {
            self.counts[at] == 0
        } else {
            // The first of those that want to be together may go anywhere.
            self.counts[at] > 0 || (self.own && self.total == 0)
        }
    }
}

/// Why a node that takes nothing new refuses.
fn closed(nodes: &Nodes, node: u32, staying: bool) -> Option<Refusal> {
    let Some(info) = nodes.info(node) else { return Some(Refusal::Removed) };
    match (info.health, info.availability) {
        (Health::Down, _) => Some(Refusal::Down),
        (_, Availability::Drain) => Some(Refusal::Drained),
        (_, Availability::Pause) => (!staying).then_some(Refusal::Paused),
        _ => (!staying && !info.engine_ready).then_some(Refusal::Engine),
    }
}

fn statics(nodes: &Nodes, rules: &Rules) -> Vec<Static> {
    let one = |at: usize| {
        let Some(info) = &nodes.slots[at].info else {
            return Static { refused: Some(Refusal::Removed), broken: 0 };
        };
        let mut broken = 0;
        let mut refused = None;
        for (position, test) in rules.tests.iter().enumerate() {
            if test.holds(info) {
                continue;
            }
            if test.soft {
                broken += 1;
            } else if refused.is_none() {
                refused = Some(Refusal::Constraint(position as u16));
            }
        }
        if refused.is_none() && !platform_fits(rules, info) {
            refused = Some(Refusal::Platform);
        }
        Static { refused, broken }
    };
    (0..nodes.loads.len()).map(one).collect()
}

fn platform_fits(rules: &Rules, info: &crate::Node) -> bool {
    rules.platforms.is_empty() || rules.platforms.iter().any(|platform| runs_on(info, platform))
}

/// A branch is a path: the zone, the zone and the rack, and so on.
fn branches(nodes: &Nodes, rules: &Rules) -> Vec<Branches> {
    let mut paths: Vec<String> = vec![String::new(); nodes.loads.len()];
    let mut levels = Vec::new();
    for over in &rules.spread_over {
        let mut known: BTreeMap<String, u32> = BTreeMap::new();
        let mut of = Vec::with_capacity(paths.len());
        for (path, slot) in paths.iter_mut().zip(&nodes.slots) {
            let value = slot.info.as_ref().map(|it| attribute(it, over)).unwrap_or_default();
            path.push('\0');
            path.push_str(&value);
            let next = known.len() as u32;
            of.push(*known.entry(path.clone()).or_insert(next));
        }
        levels.push(Branches { of, count: known.len() });
    }
    levels
}

/// A number that looks random and is always the same for the same object, index and node.
fn mix(seed: u64, index: u32, node: u64) -> u64 {
    let mut bits = seed ^ u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits ^= node.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        bits = (bits ^ (bits >> 30)).wrapping_mul(factor);
    }
    bits ^ (bits >> 31)
}
