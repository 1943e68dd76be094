//! The network: loses, delays, repeats and reorders; links are cut in one direction or both.

use std::collections::BTreeSet;

use crate::{Ms, log::Message, random::Random};

/// The network between nodes.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Messages of 1,000 that are lost.
    pub(crate) loss: u64,
    /// Messages of 1,000 that come twice.
    pub(crate) twice: u64,
    /// Most milliseconds a message takes.
    pub(crate) delay: Ms,
    /// Cut links, from and to.
    cut: BTreeSet<(u64, u64)>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { loss: 0, twice: 0, delay: 5, cut: BTreeSet::new() }
    }

    /// When a message arrives: never, once, or more often.
    pub(crate) fn route(
        &self,
        now: Ms,
        (from, to): (u64, u64),
        message: &Message,
        random: &mut Random,
    ) -> Vec<Ms> {
        if self.cut.contains(&(from, to)) || random.chance(self.loss) {
            return Vec::new();
        }
        let mut times = vec![now + random.between(1, self.delay.max(1))];
        if !message.is_once() && random.chance(self.twice) {
            times.push(now + random.between(1, self.delay.max(1) * 4));
        }
        times
    }

    pub(crate) fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Joins everything again.
    pub(crate) fn join(&mut self) {
        self.cut.clear();
    }
}
