//! Every node with every filter.

use smr_model::ReplicaKey;

use super::{
    Scheduler,
    settle::words,
    view::{Score, View},
};
use crate::explanation::{Explanation, NodeVerdict};

impl Scheduler {
    /// Why a replica is, or would be, where it is, by what was decided last. `None` for a replica
    /// nobody asked for.
    pub fn explain(&self, key: &ReplicaKey) -> Option<Explanation> {
        let mut there = self.clone_without(key)?;
        let at = there.jobs.find(&key.group, &key.name)?;
        let job = there.jobs.get(at)?;
        let position = job.items.binary_search_by_key(&key.index, |item| item.index).ok()?;
        let item = &job.items[position];
        let view = View::new(&there.nodes, &there.jobs, at, job, &mut there.cache);
        let decision = item.decision.as_ref();
        let chosen = decision.and_then(|it| it.node());
        let rules = &job.workload.rules;
        let mut rule = rules.mode_text();
        if let Some(desired) = view.desired(&there.nodes, rules, item.index) {
            rule.push_str(&format!(": node {}", there.nodes.id(desired)));
        }
        let words = words(job, Some(item));
        let mut nodes: Vec<(Option<Score>, NodeVerdict)> = Vec::new();
        for node in there.nodes.members() {
            let Some(info) = there.nodes.info(node) else { continue };
            let staying = chosen == Some(info.id);
            let refusals = view.refusals(&there.nodes, job, item, node, staying);
            let fits = refusals.is_empty();
            let score = fits.then(|| view.score(&there.nodes, job, item, node));
            let load = &there.nodes.loads[node as usize];
            let verdict = NodeVerdict {
                id: info.id,
                name: info.name.clone(),
                chosen: staying,
                refused: refusals.into_iter().map(|it| words.refused(it)).collect(),
                score: score.map_or_else(String::new, |score| {
                    let share = load.reserved_with(job.request(item)) / 20_000;
                    let preferences = match score.broken {
                        0 => String::new(),
                        1 => "1 preference broken, ".to_owned(),
                        n => format!("{n} preferences broken, "),
                    };
                    let own = view.own[node as usize];
                    format!(
                        "{preferences}{own} other of its replicas, {} replicas, {share} % reserved",
                        load.count
                    )
                }),
            };
            nodes.push((score, verdict));
        }
        nodes.sort_by_key(|(score, verdict)| (score.is_none(), *score, verdict.id));
        Some(Explanation {
            replica: key.to_string(),
            rule,
            node: chosen,
            reason: decision.and_then(|it| it.reason()).cloned(),
            nodes: nodes.into_iter().map(|(_, verdict)| verdict).collect(),
        })
    }

    /// The same, with the replica not counted.
    fn clone_without(&self, key: &ReplicaKey) -> Option<Self> {
        let at = self.jobs.find(&key.group, &key.name)?;
        let items = &self.jobs.get(at)?.items;
        let position = items.binary_search_by_key(&key.index, |item| item.index).ok()?;
        let mut copy = self.clone();
        copy.uncount((at, position as u32));
        Some(copy)
    }
}
