//! Pings every member and writes the verdicts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use smr_control::keyspace;
use smr_membership::{Action, Observations, Testimony, verdicts};
use smr_model::{Health, NodeHealth};
use smr_store::{CmpOp, Compare, Error, Op, Txn};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, timeout},
};

use crate::{nodes::Nodes, placement::Failure, term::Term};

/// How often verdicts are looked at between pings.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What came back from the network.
enum Heard {
    Pinged { node: u64, answered: bool },
    Testified { node: u64, via: u64, testimony: Testimony },
}

/// Runs until the term is over.
pub(crate) async fn run(term: Term) -> Result<(), Failure> {
    let Some(mut nodes) = term.first_nodes().await else { return Ok(()) };
    let begin = Instant::now();
    let me = term.control().node_id();
    let mut watcher = Watcher {
        seen: Observations { me, leading_since: Duration::ZERO, nodes: BTreeMap::new() },
        under_way: JoinSet::new(),
        pinging: BTreeSet::new(),
        looked: Duration::ZERO,
        term,
        begin,
    };
    let settings = watcher.term.options.settings.clone();
    let mut ping = tokio::time::interval(settings.ping_every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = tokio::time::interval(LOOK_EVERY.min(settings.ping_every));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = nodes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            _ = ping.tick() => {
                watcher.follow(&nodes.borrow_and_update().clone());
                watcher.ping();
                continue;
            }
            Some(heard) = watcher.under_way.join_next() => {
                if let Ok(heard) = heard {
                    watcher.hear(&heard);
                }
                continue;
            }
            _ = look.tick() => {}
        }
        let known = nodes.borrow_and_update().clone();
        watcher.follow(&known);
        watcher.judge(&known).await?;
    }
}

struct Watcher {
    term: Term,
    begin: Instant,
    seen: Observations,
    under_way: JoinSet<Heard>,
    /// Nodes with a ping under way.
    pinging: BTreeSet<u64>,
    /// When verdicts were looked at last.
    looked: Duration,
}

impl Watcher {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Takes in who is a member and which verdicts stand. Who was admitted and never started yet is not
    /// judged.
    fn follow(&mut self, nodes: &Nodes) {
        let is_member = |id: &u64| {
            nodes.members.get(id).is_some_and(|it| it.epoch > 0) && !nodes.removed.contains(id)
        };
        self.seen.nodes.retain(|id, _| is_member(id));
        for id in nodes.members.keys().filter(|id| is_member(id)) {
            let observation = self.seen.nodes.entry(*id).or_default();
            observation.verdict = nodes.health.get(id).map(|(health, _)| health.state);
        }
    }

    /// Sends a ping to everybody who has none under way.
    fn ping(&mut self) {
        let limit = self.term.options.settings.ping_timeout;
        for node in self.seen.nodes.keys().copied() {
            if node == self.seen.me || !self.pinging.insert(node) {
                continue;
            }
            let ping = self.term.options.pings.ping(node);
            self.under_way.spawn(async move {
                let answered = matches!(timeout(limit, ping).await, Ok(Ok(())));
                Heard::Pinged { node, answered }
            });
        }
    }

    fn hear(&mut self, heard: &Heard) {
        let now = self.now();
        match *heard {
            Heard::Pinged { node, answered } => {
                self.pinging.remove(&node);
                if let Some(observation) = self.seen.nodes.get_mut(&node) {
                    observation.pinged(now, answered);
                }
            }
            Heard::Testified { node, via, testimony } => {
                if let Some(observation) = self.seen.nodes.get_mut(&node) {
                    observation.testified(now, via, testimony);
                }
            }
        }
    }

    /// Asks and writes what the verdicts say.
    async fn judge(&mut self, nodes: &Nodes) -> Result<(), Failure> {
        let settings = nodes.membership(&self.term.options.settings);
        let now = self.now();
        // After a time in which nobody could be heard, because a write or the whole machine stood
        // still, silence says nothing.
        if now.saturating_sub(self.looked) > settings.down_after / 2 {
            self.seen.leading_since = now;
        }
        self.looked = now;
        for action in verdicts(now, &settings, &self.seen) {
            match action {
                Action::ProbeVia { target, via } => self.ask(target, via),
                Action::Down { node, message } => {
                    self.write(nodes, node, Health::Down, message).await?;
                }
                Action::Ready { node } => {
                    self.write(nodes, node, Health::Ready, String::new()).await?;
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, node: u64, via: u64) {
        let now = self.now();
        let Some(observation) = self.seen.nodes.get_mut(&node) else { return };
        observation.asked(now, via);
        let limit = self.term.options.settings.probe_timeout;
        let probe = self.term.options.pings.probe(via, node);
        self.under_way.spawn(async move {
            let testimony = match timeout(limit, probe).await {
                Ok(Ok(true)) => Testimony::Reached,
                Ok(Ok(false)) => Testimony::Unreachable,
                Ok(Err(_)) | Err(_) => Testimony::NoAnswer,
            };
            Heard::Testified { node, via, testimony }
        });
    }

    /// Writes a verdict, unless the record or the member changed meanwhile.
    async fn write(
        &mut self,
        nodes: &Nodes,
        node: u64,
        state: Health,
        message: String,
    ) -> Result<(), Failure> {
        let (before, seen) = match nodes.health.get(&node) {
            Some((health, seen)) => (Some(health.state), *seen),
            None => (None, 0),
        };
        let health = NodeHealth { state, since: Timestamp::now(), message: message.clone() };
        let value = serde_json::to_vec(&health).map_err(Failure::Encode)?;
        let txn = Txn::new()
            .when(Compare::mod_revision(keyspace::health(node), CmpOp::Equal, seen))
            .when(Compare::exists(keyspace::member(node)))
            .when(Compare::absent(keyspace::removed(node)))
            .then(Op::put(keyspace::health(node), value));
        let outcome = match self.term.write(txn).await {
            Ok(outcome) => outcome,
            // Whether it was written comes with the watch.
            Err(Error::Unknown { .. } | Error::NoQuorum) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !outcome.succeeded {
            return Ok(());
        }
        // The watch brings it too; until then it must not be decided again.
        if let Some(observation) = self.seen.nodes.get_mut(&node) {
            observation.verdict = Some(state);
        }
        let name = self.term.name_of(node);
        match state {
            Health::Down => {
                tracing::warn!(node.id = node, node.name = %name, reason = %message, "node is down");
                self.term.tell("node_down", &name, message).await;
            }
            Health::Ready if before == Some(Health::Down) => {
                tracing::info!(node.id = node, node.name = %name, "node is ready again");
                self.term.tell("node_ready", &name, "answers again".to_owned()).await;
            }
            Health::Ready => {
                self.term.tell("node_ready", &name, "answers".to_owned()).await;
            }
        }
        Ok(())
    }
}
