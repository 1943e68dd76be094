//! From what changed to where replicas go.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use smr_model::{Availability, GoDuration, Health, Reason, spec::Reschedule};

use super::{
    Scheduler,
    jobs::{Item, Job},
    nodes::{Nodes, Seat},
    view::{Ranking, View},
};
use crate::{
    NODE_UNAVAILABLE, UNSCHEDULABLE,
    decision::{Change, Decision},
    reason::{Refusal, Words},
    rules::Mode,
};

/// What becomes of a replica before anything is placed.
enum Verdict {
    /// It stays.
    Stay(Decision),
    /// It stays if its node fits and is the right one.
    Check,
    /// It keeps its node unless that refuses it and another one fits.
    Improve,
    /// It goes.
    Place,
}

/// One call of [`Scheduler::settle`].
struct Pass {
    now: Timestamp,
    changes: Vec<Change>,
    /// Replicas to be placed.
    queue: BTreeSet<(u32, u32)>,
}

impl Scheduler {
    /// Decides for everything that is affected by what changed, and returns the decisions that are
    /// not those from before, by replica.
    pub fn settle(&mut self, now: Timestamp) -> Vec<Change> {
        while let Some((time, job)) = self.timers.first().copied().filter(|(time, _)| *time <= now)
        {
            self.timers.remove(&(time, job));
            self.dirty.insert(job);
        }
        let mut pass = Pass { now, changes: Vec::new(), queue: BTreeSet::new() };
        for key in std::mem::take(&mut self.gone) {
            pass.changes.push(Change { key, decision: None });
        }
        if !self.dirty.is_empty() {
            let unsettled = self.unsettled.clone();
            self.dirty.extend(unsettled);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let order = self.jobs.sorted(&dirty);
        let mut checks: Vec<(u32, Vec<(u32, bool)>)> = Vec::new();
        for &at in &order {
            let found = self.classify(at, &mut pass);
            if !found.is_empty() {
                checks.push((at, found));
            }
        }
        for (at, found) in checks {
            self.check(at, &found, &mut pass);
        }
        for &at in &order {
            self.place(at, &mut pass);
        }
        self.retry(&order, &mut pass);
        for at in order {
            let unsettled = self.jobs.get(at).is_some_and(|job| {
                job.items.iter().any(|item| !matches!(item.decision, Some(Decision::Node(_))))
            });
            if unsettled {
                self.unsettled.insert(at);
            } else {
                self.unsettled.remove(&at);
            }
        }
        let mut changes = pass.changes;
        // The last word on each replica counts.
        changes.reverse();
        changes.sort_by(|one, other| one.key.cmp(&other.key));
        changes.dedup_by(|later, first| later.key == first.key);
        changes
    }

    /// Brings the list of replicas in line with the definition and says what becomes of each. What
    /// has to go is no longer counted afterwards. Returns what has to be checked, with whether it
    /// only might improve.
    fn classify(&mut self, at: u32, pass: &mut Pass) -> Vec<(u32, bool)> {
        if !self.timers.is_empty() {
            self.timers.retain(|(_, job)| *job != at);
        }
        self.fill(at, pass);
        let Some(job) = self.jobs.get(at) else { return Vec::new() };
        let mut verdicts = Vec::with_capacity(job.items.len());
        for item in &job.items {
            let (verdict, timer) = verdict(&self.nodes, job, item, pass.now);
            if let Some(timer) = timer {
                self.timers.insert((timer, at));
            }
            verdicts.push(verdict);
        }
        let mut checks = Vec::new();
        for (position, verdict) in verdicts.into_iter().enumerate() {
            let position = position as u32;
            match verdict {
                Verdict::Stay(decision) => self.say((at, position), decision, pass),
                Verdict::Check => checks.push((position, false)),
                Verdict::Improve => checks.push((position, true)),
                Verdict::Place => {
                    self.uncount((at, position));
                    pass.queue.insert((at, position));
                }
            }
        }
        checks
    }

    /// Adds replicas that are missing and removes those beyond the count.
    fn fill(&mut self, at: u32, pass: &mut Pass) {
        let Some(job) = self.jobs.get(at) else { return };
        let wanted: Vec<u32> = if job.workload.rules.is_global() {
            let view = View::new(&self.nodes, &self.jobs, at, job, &mut self.cache);
            let wanted = self.nodes.members().filter(|&node| {
                let index = self.nodes.id(node) as u32;
                let there = job.items.iter().find(|item| item.index == index);
                let stays = there.is_some_and(|item| {
                    let fixed = item.held.is_some()
                        || (!item.changed && job.workload.rules.reschedule != Reschedule::Always);
                    // A node that is down keeps its replica until it is removed or drained.
                    let open = self
                        .nodes
                        .info(node)
                        .is_some_and(|info| info.availability != Availability::Drain);
                    item.node == Some(node) && open && (fixed || view.suits(node))
                });
                stays || (self.nodes.loads[node as usize].accepts && view.suits(node))
            });
            wanted.map(|node| self.nodes.id(node) as u32).collect()
        } else {
            (1..=job.workload.rules.replicas).collect()
        };
        if job.items.iter().map(|item| item.index).eq(wanted.iter().copied()) {
            return;
        }
        // Positions change, so everything is counted anew.
        let old = job.items.len() as u32;
        let nodes: Vec<Option<u32>> = job.items.iter().map(|item| item.node).collect();
        for position in 0..old {
            self.uncount((at, position));
        }
        let Some(job) = self.jobs.get_mut(at) else { return };
        let mut items = Vec::with_capacity(wanted.len());
        let mut before = std::mem::take(&mut job.items).into_iter().zip(nodes).peekable();
        let mut dropped = Vec::new();
        for index in wanted {
            while let Some((item, _)) = before.next_if(|(item, _)| item.index < index) {
                dropped.push(item);
            }
            match before.next_if(|(item, _)| item.index == index) {
                Some(kept) => items.push(kept),
                None => items.push((Item { index, ..Item::default() }, None)),
            }
        }
        dropped.extend(before.map(|(item, _)| item));
        for item in dropped {
            pass.changes.push(Change { key: job.key(&item), decision: None });
        }
        let nodes: Vec<Option<u32>> = items.iter().map(|(_, node)| *node).collect();
        job.items = items.into_iter().map(|(item, _)| item).collect();
        for (position, node) in nodes.into_iter().enumerate() {
            if let Some(node) = node {
                self.count((at, position as u32), node);
            }
        }
    }

    /// Decides about replicas whose node is chosen again.
    fn check(&mut self, at: u32, found: &[(u32, bool)], pass: &mut Pass) {
        let Some(job) = self.jobs.get(at) else { return };
        let mut view = View::new(&self.nodes, &self.jobs, at, job, &mut self.cache);
        for &(position, improve) in found {
            let seat = (at, position);
            let Some(node) = self.uncount(seat) else { continue };
            view.remove(node);
            let Some(job) = self.jobs.get(at) else { return };
            let item = &job.items[position as usize];
            let chunked = matches!(job.workload.rules.mode, Mode::Specific(_) | Mode::Uniform);
            let chunked = chunked || job.workload.rules.mode == Mode::Home;
            // Chunks are exact when a definition is applied: a node that is open gets its own.
            let elsewhere = !improve
                && chunked
                && view.desired(&self.nodes, &job.workload.rules, item.index).is_some_and(|it| {
                    it != node && view.refusal(&self.nodes, job, item, it, false).is_none()
                });
            let refusal = view.refusal(&self.nodes, job, item, node, true);
            let stays = match (elsewhere, refusal) {
                (false, None) => Some((node, Decision::Node(self.nodes.id(node)))),
                (_, Some(refusal)) if improve => Some(match view.best(&self.nodes, job, item) {
                    Some(better) => (better, Decision::Node(self.nodes.id(better))),
                    // Rather where it no longer fits than nowhere.
                    None => (node, self.unfit(job, node, refusal)),
                }),
                _ => None,
            };
            match stays {
                Some((node, decision)) => {
                    self.count(seat, node);
                    view.add(node);
                    self.say(seat, decision, pass);
                }
                None => {
                    pass.queue.insert(seat);
                }
            }
        }
    }

    fn unfit(&self, job: &Job, node: u32, refusal: Refusal) -> Decision {
        let words = words(job, None);
        let why = words.refused(refusal).message;
        let text = format!("node {} no longer fits: it {why}; no other node fits", self.name(node));
        let reason = Reason::new(UNSCHEDULABLE, text);
        Decision::Waiting { node: self.nodes.id(node), reason }
    }

    /// Places the replicas of an object that are in the queue.
    fn place(&mut self, at: u32, pass: &mut Pass) -> bool {
        let positions: Vec<u32> =
            pass.queue.range((at, 0)..=(at, u32::MAX)).map(|(_, position)| *position).collect();
        let Some(job) = self.jobs.get(at).filter(|_| !positions.is_empty()) else { return false };
        let mut view = View::new(&self.nodes, &self.jobs, at, job, &mut self.cache);
        let mut items = positions.iter().map(|position| &job.items[*position as usize]);
        let first = items.next();
        let equal = first
            .into_iter()
            .chain(items)
            .all(|item| item.held.is_none() && job.data_on(item).is_none());
        let mut ranking = first
            .filter(|_| equal && positions.len() > 2)
            .and_then(|item| Ranking::new(&view, &self.nodes, job, item));
        // Replicas of one object are refused for the same reasons until one of them is placed.
        let mut refused: Option<(Option<u64>, String)> = None;
        let mut placed = false;
        for position in positions {
            let seat = (at, position);
            let Some(job) = self.jobs.get(at) else { break };
            let item = &job.items[position as usize];
            let rules = &job.workload.rules;
            let data_on = job.data_on(item);
            let alike = item.held.is_none() && !rules.is_global();
            if let Some((_, text)) = refused.as_ref().filter(|(data, _)| alike && *data == data_on)
            {
                let decision = Decision::Pending(Reason::new(UNSCHEDULABLE, text));
                self.say(seat, decision, pass);
                continue;
            }
            let desired = view
                .desired(&self.nodes, rules, item.index)
                .filter(|it| view.refusal(&self.nodes, job, item, *it, false).is_none());
            let found = desired.or_else(|| match &mut ranking {
                Some(ranking) => ranking.take(&view, &self.nodes, job, item),
                None => view.best(&self.nodes, job, item),
            });
            match found {
                Some(node) => {
                    let id = self.nodes.id(node);
                    self.count(seat, node);
                    view.add(node);
                    if let (Some(ranking), Some(job)) = (&mut ranking, self.jobs.get(at)) {
                        let item = &job.items[position as usize];
                        ranking.update(&view, &self.nodes, job, item, node);
                    }
                    self.say(seat, Decision::Node(id), pass);
                    pass.queue.remove(&seat);
                    refused = None;
                    placed = true;
                }
                None => {
                    let text = self.refused(&view, job, item);
                    if alike {
                        refused = Some((data_on, text.clone()));
                    }
                    self.say(seat, Decision::Pending(Reason::new(UNSCHEDULABLE, text)), pass);
                }
            }
        }
        placed
    }

    /// Why no node fits.
    pub(super) fn refused(&self, view: &View, job: &Job, item: &Item) -> String {
        let mut refusals: Vec<Refusal> = self
            .nodes
            .members()
            .filter_map(|node| view.refusal(&self.nodes, job, item, node, false))
            .collect();
        refusals.sort_unstable();
        words(job, Some(item)).counted(&refusals)
    }

    /// What was placed may be what others wait for.
    fn retry(&mut self, order: &[u32], pass: &mut Pass) {
        loop {
            let mut placed = false;
            for &at in order {
                let waits = pass.queue.range((at, 0)..=(at, u32::MAX)).next().is_some();
                let hopeful = self.jobs.get(at).is_some_and(|job| {
                    job.workload.rules.affinity.iter().any(|it| !it.anti && !it.soft)
                });
                placed |= waits && hopeful && self.place(at, pass);
            }
            if !placed {
                return;
            }
        }
    }

    pub(super) fn count(&mut self, seat: Seat, node: u32) {
        let Some(job) = self.jobs.get_mut(seat.0) else { return };
        job.items[seat.1 as usize].node = Some(node);
        self.nodes.add(node, seat, job.request(&job.items[seat.1 as usize]));
    }

    /// Where it was counted.
    pub(super) fn uncount(&mut self, seat: Seat) -> Option<u32> {
        let job = self.jobs.get_mut(seat.0)?;
        let node = job.items[seat.1 as usize].node.take()?;
        self.nodes.remove(node, seat, job.request(&job.items[seat.1 as usize]));
        Some(node)
    }

    fn say(&mut self, seat: Seat, decision: Decision, pass: &mut Pass) {
        let Some(job) = self.jobs.get_mut(seat.0) else { return };
        let item = &mut job.items[seat.1 as usize];
        item.changed = false;
        if item.decision.as_ref() != Some(&decision) {
            item.decision = Some(decision.clone());
            let key = job.key(&job.items[seat.1 as usize]);
            pass.changes.push(Change { key, decision: Some(decision) });
        }
    }

    fn name(&self, node: u32) -> String {
        name(&self.nodes, node)
    }
}

fn name(nodes: &Nodes, node: u32) -> String {
    match nodes.info(node) {
        Some(info) => format!("`{}`", info.name),
        None => nodes.id(node).to_string(),
    }
}

pub(super) fn words<'a>(job: &'a Job, item: Option<&'a Item>) -> Words<'a> {
    let request = item.map_or(&job.workload.rules.request, |item| job.request(item));
    Words {
        rules: &job.workload.rules,
        home: job.workload.home,
        cpu_millis: request.cpu_millis,
        memory: request.memory,
    }
}

/// What becomes of a replica, and when to look again.
fn verdict(nodes: &Nodes, job: &Job, item: &Item, now: Timestamp) -> (Verdict, Option<Timestamp>) {
    let Some(node) = item.node else { return (Verdict::Place, None) };
    let rules = &job.workload.rules;
    let id = nodes.id(node);
    let Some(info) = nodes.info(node) else { return (Verdict::Place, None) };
    let waits = |why: String| {
        let reason = Reason::new(NODE_UNAVAILABLE, format!("node {} {why}", name(nodes, node)));
        Verdict::Stay(Decision::Waiting { node: id, reason })
    };
    let never = rules.reschedule == Reschedule::Never && (!item.changed || item.held.is_some());
    if item.done && info.availability != Availability::Drain {
        return (Verdict::Stay(Decision::Node(id)), None);
    }
    if info.health == Health::Down {
        if rules.is_global() {
            return (waits("is down".to_owned()), None);
        }
        if job.data_on(item) == Some(id) {
            return (waits("is down, and has the data of its volumes".to_owned()), None);
        }
        if never {
            return (waits("is down, and `reschedule` is `never`".to_owned()), None);
        }
        let grace = SignedDuration::try_from(rules.grace).unwrap_or(SignedDuration::MAX);
        let until = info.down_since.unwrap_or(now).saturating_add(grace);
        let until = until.unwrap_or(Timestamp::MAX);
        if !grace.is_zero() && now < until {
            let text =
                format!("is down; another one is taken {} after that", GoDuration(rules.grace));
            return (waits(text), Some(until));
        }
        return (Verdict::Place, None);
    }
    if info.availability == Availability::Drain {
        let verdict = if never {
            waits("is drained, and `reschedule` is `never`".to_owned())
        } else {
            Verdict::Place
        };
        return (verdict, None);
    }
    let verdict = if item.held.is_some() {
        Verdict::Stay(Decision::Node(id))
    } else if item.changed {
        Verdict::Check
    } else if rules.reschedule == Reschedule::Always {
        Verdict::Improve
    } else {
        Verdict::Stay(Decision::Node(id))
    };
    (verdict, None)
}
