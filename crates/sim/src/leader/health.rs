//! Pings, verdicts, who votes, and cleaning up.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use smr_membership::{Action, Change, Electorate, Settings, Testimony, verdicts, voters};
use smr_model::{Health, NodeHealth};
use smr_state::{CmpOp, Command, Compare, Op, Txn};

use super::{Errand, Leader};
use crate::{
    Ms, agent::json, context::Context, disk::Config, keyspace, log::Message, mirror::Mirror,
    raft::Raft,
};

const PING_EVERY: Ms = 1000;
const PROBE_TIMEOUT: Ms = 2000;
/// Entries of the log a member may lack and still be given a vote.
const CLOSE: u64 = 200;

impl Leader {
    /// Pings everybody, and says which verdicts to write.
    pub(crate) fn watch(
        &mut self,
        clock: Timestamp,
        mirror: &Mirror,
        cx: &mut Context<'_>,
    ) -> Vec<(Errand, Command)> {
        let now = Duration::from_millis(cx.now);
        let is_member = |id: &u64| mirror.members.contains_key(id) && !mirror.removed.contains(id);
        self.seen.nodes.retain(|id, _| is_member(id));
        for id in mirror.members.keys().filter(|id| is_member(id)) {
            let seen = self.seen.nodes.entry(*id).or_default();
            seen.verdict = mirror.health.get(id).map(|(it, _)| it.state);
        }
        if cx.now >= self.ping_at {
            self.ping_at = cx.now + PING_EVERY;
            for id in std::mem::take(&mut self.unanswered) {
                if let Some(seen) = self.seen.nodes.get_mut(&id) {
                    seen.pinged(now, false);
                }
            }
            self.ping += 1;
            for id in self.seen.nodes.keys().copied().filter(|id| *id != self.me) {
                self.unanswered.insert(id);
                cx.send(self.me, id, Message::Ping { number: self.ping });
            }
        }
        let late: Vec<_> = self.asked.extract_if(.., |(_, _, at)| *at <= cx.now).collect();
        for (target, via, _) in late {
            if let Some(seen) = self.seen.nodes.get_mut(&target) {
                seen.testified(now, via, Testimony::NoAnswer);
            }
        }
        let mut writes = Vec::new();
        for action in verdicts(now, &Settings::default(), &self.seen) {
            let (node, state, message) = match action {
                Action::ProbeVia { target, via } => {
                    if let Some(seen) = self.seen.nodes.get_mut(&target) {
                        seen.asked(now, via);
                    }
                    self.asked.push((target, via, cx.now + PROBE_TIMEOUT));
                    cx.send(self.me, via, Message::Probe { target });
                    continue;
                }
                Action::Down { node, message } => (node, Health::Down, message),
                Action::Ready { node } => (node, Health::Ready, String::new()),
            };
            if self.judging.insert(node) {
                let seen = mirror.health.get(&node).map_or(0, |(_, seen)| *seen);
                let health = NodeHealth { state, since: clock, message };
                let path = keyspace::health(node);
                let txn = Txn::new()
                    .when(Compare::mod_revision(path.clone(), CmpOp::Equal, seen))
                    .when(Compare::exists(keyspace::member(node)))
                    .when(Compare::absent(keyspace::removed(node)))
                    .then(Op::put(path, json(&health)));
                writes.push((Errand::Verdict(node, state), Command::Txn(txn)));
            }
        }
        writes
    }

    /// A ping was answered.
    pub(crate) fn ponged(&mut self, now: Ms, from: u64, number: u64) {
        if number == self.ping
            && self.unanswered.remove(&from)
            && let Some(seen) = self.seen.nodes.get_mut(&from)
        {
            seen.pinged(Duration::from_millis(now), true);
        }
    }

    /// Somebody told whether it reaches a silent node.
    pub(crate) fn testified(&mut self, now: Ms, via: u64, target: u64, reached: bool) {
        self.asked.retain(|(it, by, _)| (*it, *by) != (target, via));
        let testimony = if reached { Testimony::Reached } else { Testimony::Unreachable };
        if let Some(seen) = self.seen.nodes.get_mut(&target) {
            seen.testified(Duration::from_millis(now), via, testimony);
        }
    }

    /// The next change of the members of consensus. An exchange of voters takes two steps; what an earlier
    /// leader left half done is completed by naming everybody who has a vote, as the product does.
    pub(crate) fn next_members(
        &mut self,
        clock: Timestamp,
        mirror: &Mirror,
        raft: &Raft,
        cx: &mut Context<'_>,
    ) -> Option<Config> {
        if raft.is_changing() || raft.commit < raft.first_index {
            return None;
        }
        if raft.config.is_joint() {
            let everybody = raft.config.electors();
            if std::mem::replace(&mut self.exchanging, true) || everybody == raft.config.voters {
                return Some(raft.config.completed());
            }
            cx.tell(self.me, || format!("takes over a change of voters, all of {everybody:?}"));
            return Some(raft.config.towards(everybody));
        }
        let last = raft.last().0;
        let close = |id: &u64| raft.peers.get(id).is_some_and(|it| it.matched + CLOSE >= last);
        let electorate = Electorate {
            leader: self.me,
            members: mirror.members.iter().map(|(id, (it, _))| (*id, it.clone())).collect(),
            removed: mirror.removed.clone(),
            health: mirror.health.iter().map(|(id, (it, _))| (*id, it.clone())).collect(),
            voters: raft.config.voters.clone(),
            learners: raft.config.learners.clone(),
            caught_up: raft.config.all().filter(close).collect::<BTreeSet<_>>(),
        };
        let mut config = raft.config.clone();
        match voters(clock, &Settings::default(), &electorate)? {
            Change::AddLearner(id) => {
                config.learners.insert(id);
            }
            Change::Remove(id) => {
                config.learners.remove(&id);
            }
            Change::SetVoters(wanted) => {
                config = config.towards(wanted);
                self.exchanging = true;
            }
            Change::Transfer(id) => {
                let term = self.term;
                cx.tell(self.me, || format!("wants n{id} to lead"));
                cx.send(self.me, id, Message::Transfer { term });
                return None;
            }
        }
        cx.tell(self.me, || format!("voters are to be {:?}", config.voters));
        Some(config)
    }

    /// What nobody needs any more.
    pub(crate) fn clean(mirror: &Mirror) -> Option<Command> {
        let mut txn = Txn::new();
        for id in &mirror.removed {
            let mut paths = Vec::new();
            if mirror.health.contains_key(id) {
                paths.push(keyspace::health(*id));
            }
            if mirror.node_statuses.contains_key(id) {
                paths.push(keyspace::node(*id));
            }
            let left = mirror.statuses.iter().filter(|(_, by)| by.contains_key(id));
            paths.extend(left.map(|(key, _)| keyspace::status(key, *id)));
            txn.then.extend(paths.into_iter().map(Op::delete));
        }
        for key in mirror.restarts.keys() {
            if !mirror.objects.contains_key(&key.object()) && !mirror.assignments.contains_key(key)
            {
                txn = txn
                    .when(Compare::absent(keyspace::object(&key.object())))
                    .then(Op::delete(keyspace::restart(key)));
            }
        }
        (!txn.then.is_empty()).then_some(Command::Txn(txn))
    }
}
