//! Moves that even out the load.

use std::collections::BTreeSet;

use smr_model::spec::{Reschedule, Strategy};

use super::{Scheduler, jobs::Job, view::View};
use crate::{
    decision::{Decision, Move},
    rules::Mode,
};

/// A node must have this much more reserved (millionths of processors and memory together) before a
/// replica leaves it for that alone: moving has a price.
const WORTH: i64 = 200_000;

impl Scheduler {
    /// At most `budget` moves that make the cluster evener, carried out in here already. `onto`
    /// names the nodes that may receive (those that just joined); all when `None`.
    ///
    /// Only replicas that are meant to be spread move: `spread: uniform` and the strategy `spread`.
    /// Never those that are pinned by volumes, on their old definition, pending, or may not be
    /// rescheduled. A move takes a replica from a node with at least two more of its object, or else
    /// from a node that is much fuller.
    pub fn rebalance(&mut self, onto: Option<&BTreeSet<u64>>, budget: usize) -> Vec<Move> {
        let mut moves = Vec::new();
        let order: Vec<u32> = self.jobs.positions().collect();
        for at in order {
            while moves.len() < budget {
                let Some((position, from, to)) = self.improvement(at, onto) else { break };
                self.uncount((at, position));
                self.count((at, position), to);
                let id = self.nodes.id(to);
                let Some(job) = self.jobs.get_mut(at) else { break };
                let item = &mut job.items[position as usize];
                item.decision = Some(Decision::Node(id));
                let key = job.key(&job.items[position as usize]);
                moves.push(Move { key, from: self.nodes.id(from), to: id });
            }
        }
        moves
    }

    /// The best move of a replica of an object: its position, from where and to where.
    fn improvement(&mut self, at: u32, onto: Option<&BTreeSet<u64>>) -> Option<(u32, u32, u32)> {
        let job = self.jobs.get(at)?;
        if !is_even(job) {
            return None;
        }
        let mut view = View::new(&self.nodes, &self.jobs, at, job, &mut self.cache);
        // From where it has most replicas, the fullest first, the highest index first.
        let mut candidates: Vec<(u32, u32)> = job
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| {
                item.held.is_none()
                    && !item.done
                    && job.data_on(item).is_none()
                    && matches!(item.decision, Some(Decision::Node(_)))
            })
            .filter_map(|(position, item)| Some((position as u32, item.node?)))
            .filter(|(_, node)| self.nodes.keeps(*node))
            .collect();
        candidates.sort_by_key(|&(position, node)| {
            let load = &self.nodes.loads[node as usize];
            let full = load.reserved_with(&crate::Request::default());
            (
                std::cmp::Reverse((view.own[node as usize], full, load.count)),
                load.id,
                std::cmp::Reverse(position),
            )
        });
        // One replica of a node stands for the others there.
        candidates.dedup_by_key(|(_, node)| *node);
        for (position, from) in candidates {
            let item = &job.items[position as usize];
            view.remove(from);
            let old = view.score(&self.nodes, job, item, from);
            let here = self.nodes.loads[from as usize];
            let own = view.own[from as usize];
            let fits = |to: &u32| {
                *to != from
                    && onto.is_none_or(|onto| onto.contains(&self.nodes.id(*to)))
                    && view.refusal(&self.nodes, job, item, *to, false).is_none()
            };
            let to = (0..self.nodes.loads.len() as u32)
                .filter(fits)
                .min_by_key(|to| view.score(&self.nodes, job, item, *to))
                .filter(|to| {
                    let new = view.score(&self.nodes, job, item, *to);
                    let there = &self.nodes.loads[*to as usize];
                    let request = job.request(item);
                    let evener = view.own[*to as usize] < own;
                    let lighter = view.own[*to as usize] == own
                        && there.reserved_with(request) + WORTH
                            <= here.reserved_with(&crate::Request::default());
                    new.broken <= old.broken
                        && new.branches <= old.branches
                        && (evener || lighter || new.branches < old.branches)
                });
            view.add(from);
            if let Some(to) = to {
                return Some((position, from, to));
            }
        }
        None
    }
}

/// Whether the replicas of an object are meant to be spread evenly.
fn is_even(job: &Job) -> bool {
    let rules = &job.workload.rules;
    let spread = matches!(rules.mode, Mode::Uniform | Mode::Ranked(Strategy::Spread));
    let levelled =
        !rules.spread_over.is_empty() && matches!(rules.mode, Mode::Ranked(Strategy::Binpack));
    (spread || levelled) && rules.reschedule != Reschedule::Never
}
