//! Verdicts on nodes: from pings, and from what other nodes say about a silent one.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use smr_model::Health;

use crate::Settings;

/// What a leader has seen since it leads. Moments are durations on a clock that never jumps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observations {
    /// Id of the leader; it counts as heard.
    pub me: u64,
    /// When it began to lead.
    pub leading_since: Duration,
    /// Every member, the leader included.
    pub nodes: BTreeMap<u64, Observation>,
}

/// What a leader has seen of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// The verdict that stands; `None` when there never was one.
    pub verdict: Option<Health>,
    /// When a ping was answered last.
    pub heard: Option<Duration>,
    /// How many pings in a row were answered up to now.
    pub in_a_row: u32,
    /// What others said about it, by the id of who was asked.
    pub probes: BTreeMap<u64, Probe>,
}

impl Observation {
    /// Takes in the outcome of a ping sent by the leader.
    pub fn pinged(&mut self, now: Duration, answered: bool) {
        if answered {
            self.heard = Some(now);
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.probes.clear();
        } else {
            self.in_a_row = 0;
        }
    }

    /// Notes that `via` is asked about it.
    pub fn asked(&mut self, now: Duration, via: u64) {
        self.probes.insert(via, Probe { at: now, testimony: None });
    }

    /// Takes in what `via` answered.
    pub fn testified(&mut self, now: Duration, via: u64, testimony: Testimony) {
        // An answer to a question that is forgotten is out of date.
        if let Some(probe) = self.probes.get_mut(&via) {
            *probe = Probe { at: now, testimony: Some(testimony) };
        }
    }
}

/// A question to a second node, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When it was asked, or answered.
    pub at: Duration,
    /// The answer; `None` while it is under way.
    pub testimony: Option<Testimony>,
}

/// What a second node says about a silent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Testimony {
    /// It reached the node.
    Reached,
    /// It did not reach the node either.
    Unreachable,
    /// The second node itself did not answer: that says nothing.
    NoAnswer,
}

/// What to do about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask a second node whether it reaches the target.
    ProbeVia {
        /// The silent node.
        target: u64,
        /// Who is asked.
        via: u64,
    },
    /// Call the node down.
    Down {
        /// The node.
        node: u64,
        /// What the verdict rests on.
        message: String,
    },
    /// Call the node ready.
    Ready {
        /// The node.
        node: u64,
    },
}

/// What to do about every node, the leader first, then in order of ids.
///
/// A leader knows of itself that it is there. It gives no verdict on others before it has led for
/// four fifths of `down_after` (set `leading_since` anew after a time without pings), and none when it hears nobody: then
/// it is the one that is cut off. Only where there is exactly one other node, so that nobody can be
/// asked, silence of twice the time is enough. A node is called down when it was silent for
/// `down_after` and a second node did not reach it either; it is called ready again after
/// `ready_pings` answers in a row.
#[must_use]
pub fn verdicts(now: Duration, settings: &Settings, seen: &Observations) -> Vec<Action> {
    let mut actions = Vec::new();
    if seen.nodes.get(&seen.me).is_some_and(|it| it.verdict != Some(Health::Ready)) {
        actions.push(Action::Ready { node: seen.me });
    }
    if now < seen.leading_since + settings.down_after - head_start(settings) {
        return actions;
    }
    let view = View { now, settings, seen };
    for (&node, observation) in seen.nodes.iter().filter(|(node, _)| **node != seen.me) {
        match observation.verdict {
            Some(Health::Down) => {
                if observation.in_a_row >= settings.ready_pings.max(1) {
                    actions.push(Action::Ready { node });
                }
            }
            None if observation.in_a_row > 0 => actions.push(Action::Ready { node }),
            None | Some(Health::Ready) => view.suspect(node, observation, &mut actions),
        }
    }
    actions
}

/// Silence that counts before a leader has led at all: it was elected because somebody was silent for
/// longer than that.
fn head_start(settings: &Settings) -> Duration {
    settings.down_after / 5
}

struct View<'a> {
    now: Duration,
    settings: &'a Settings,
    seen: &'a Observations,
}

impl View<'_> {
    /// What to do about a node that counts as ready.
    fn suspect(&self, node: u64, observation: &Observation, actions: &mut Vec<Action>) {
        let silence = self.silence(observation);
        // Asking starts early, so that the answers are there when the time is up.
        if silence < self.settings.down_after / 2 {
            return;
        }
        let others = self.others(node);
        if others.is_empty() {
            if self.seen.nodes.len() == 2 && silence >= self.settings.down_after * 2 {
                let message = format!(
                    "no answer for {} s; there is no other node that could be asked",
                    silence.as_secs()
                );
                actions.push(Action::Down { node, message });
            }
            return;
        }
        let mut against = None;
        let mut asked = 0;
        for (&via, probe) in &observation.probes {
            if self.now.saturating_sub(probe.at) >= self.settings.down_after {
                continue;
            }
            match probe.testimony {
                // It lives; that counts like an answer of its own until it is out of date.
                Some(Testimony::Reached) => return,
                Some(Testimony::Unreachable) => {
                    against = Some(via);
                    asked += 1;
                }
                None => asked += 1,
                Some(Testimony::NoAnswer) => {}
            }
        }
        if silence >= self.settings.down_after
            && let Some(via) = against
        {
            let message =
                format!("no answer for {} s; node {via} cannot reach it either", silence.as_secs());
            actions.push(Action::Down { node, message });
            return;
        }
        let wanted = self.settings.probes.max(1);
        for via in others.into_iter().filter(|via| self.may_ask(observation, *via)) {
            if asked >= wanted {
                break;
            }
            actions.push(Action::ProbeVia { target: node, via });
            asked += 1;
        }
    }

    /// How long nothing was heard of a node, or since when that counts.
    fn silence(&self, observation: &Observation) -> Duration {
        match observation.heard.filter(|heard| *heard >= self.seen.leading_since) {
            Some(heard) => self.now.saturating_sub(heard),
            None => self.now.saturating_sub(self.seen.leading_since) + head_start(self.settings),
        }
    }

    /// Nodes that answer and can be asked about `target`, the next ones by id first, so that not one
    /// node is asked about all.
    fn others(&self, target: u64) -> Vec<u64> {
        let answers = |(&node, observation): (&u64, &Observation)| {
            let known = node != target && node != self.seen.me;
            let heard = observation.heard.is_some_and(|heard| heard >= self.seen.leading_since)
                && self.silence(observation) < self.settings.down_after / 2;
            (known && heard).then_some(node)
        };
        let (after, before) = (self.seen.nodes.range(target..), self.seen.nodes.range(..target));
        after.chain(before).filter_map(answers).collect()
    }

    /// Whether a question to `via` is neither under way nor answered.
    fn may_ask(&self, observation: &Observation, via: u64) -> bool {
        observation.probes.get(&via).is_none_or(|probe| {
            let age = self.now.saturating_sub(probe.at);
            let useless = probe.testimony == Some(Testimony::NoAnswer);
            age >= self.settings.down_after || (useless && age >= self.settings.down_after / 5)
        })
    }
}
