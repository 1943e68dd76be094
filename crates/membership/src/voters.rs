//! Who votes: learners are added, promoted and exchanged one change at a time.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_model::{Health, Member, NodeHealth, NodeRole};

use crate::Settings;

/// Members of the cluster and of consensus, as the leader sees them.
#[derive(Debug, Clone, Default)]
pub struct Electorate {
    /// Id of the leader.
    pub leader: u64,
    /// Member records.
    pub members: BTreeMap<u64, Member>,
    /// Ids of members that were removed.
    pub removed: BTreeSet<u64>,
    /// Verdicts on members; a member without one counts as ready.
    pub health: BTreeMap<u64, NodeHealth>,
    /// Who votes.
    pub voters: BTreeSet<u64>,
    /// Who has a copy and no vote.
    pub learners: BTreeSet<u64>,
    /// Members whose copy is close to the leader's.
    pub caught_up: BTreeSet<u64>,
}

/// A change of the members of consensus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give this member a copy.
    AddLearner(u64),
    /// Make exactly these the voters.
    SetVoters(BTreeSet<u64>),
    /// Send nothing to this member any more; it has no vote.
    Remove(u64),
    /// Let this voter lead: the leader itself is to lose its vote.
    Transfer(u64),
}

/// The next change, if any. One at a time: ask again once it is done.
///
/// Removed members go, new member records become learners, and members that are ready, caught up and
/// of role voter become voters up to the odd number that is wanted or possible. Voters keep their vote
/// unless they are removed, become workers, are too many, or are down for long while somebody else is
/// fit. No change leaves the voters without a majority that is ready, if there was one before.
#[must_use]
pub fn voters(now: Timestamp, settings: &Settings, it: &Electorate) -> Option<Change> {
    let known = |id: &u64| it.is_member(*id);
    if let Some(id) = it.learners.iter().find(|id| !known(id)) {
        return Some(Change::Remove(*id));
    }
    let new = |id: &&u64| {
        known(id) && !it.voters.contains(id) && !it.learners.contains(id) && !it.is_down(**id)
    };
    if let Some(id) = it.members.keys().find(new) {
        return Some(Change::AddLearner(*id));
    }
    let wanted = it.wanted(now, settings);
    if wanted == it.voters || wanted.is_empty() {
        return None;
    }
    if wanted.contains(&it.leader) {
        return it.is_safe(&wanted).then_some(Change::SetVoters(wanted));
    }
    // The leader goes last, and only after somebody else can lead.
    let heir = wanted.iter().copied().find(|id| it.voters.contains(id) && !it.is_down(*id));
    if let Some(heir) = heir {
        return Some(Change::Transfer(heir));
    }
    let mut together = wanted;
    together.insert(it.leader);
    (together != it.voters && it.is_safe(&together)).then_some(Change::SetVoters(together))
}

impl Electorate {
    fn is_member(&self, id: u64) -> bool {
        self.members.contains_key(&id) && !self.removed.contains(&id)
    }

    fn is_down(&self, id: u64) -> bool {
        id != self.leader && self.health.get(&id).is_some_and(|it| it.state == Health::Down)
    }

    fn is_long_dead(&self, id: u64, now: Timestamp, settings: &Settings) -> bool {
        self.is_down(id)
            && self.health.get(&id).is_some_and(|it| {
                let silent = now.as_nanosecond() - it.since.as_nanosecond();
                silent >= settings.replace_dead_voter_after.as_nanos() as i128
            })
    }

    /// Whether a majority of these is ready.
    fn is_safe(&self, voters: &BTreeSet<u64>) -> bool {
        let ready = voters.iter().filter(|id| !self.is_down(**id)).count();
        ready * 2 > voters.len()
    }

    /// The voters there should be.
    fn wanted(&self, now: Timestamp, settings: &Settings) -> BTreeSet<u64> {
        let may_vote = |id: &u64| {
            self.is_member(*id) && self.members.get(id).is_some_and(|it| it.role == NodeRole::Voter)
        };
        let rank = |id: u64| {
            if self.voters.contains(&id) {
                return Some(if id == self.leader {
                    0
                } else if !self.is_down(id) {
                    1
                } else if !self.is_long_dead(id, now, settings) {
                    2
                } else {
                    4
                });
            }
            let fit =
                self.learners.contains(&id) && self.caught_up.contains(&id) && !self.is_down(id);
            fit.then_some(3)
        };
        let mut ranked: Vec<(u8, u64)> = self
            .members
            .keys()
            .filter(|id| may_vote(id))
            .filter_map(|id| Some((rank(*id)?, *id)))
            .collect();
        ranked.sort_unstable();
        let count = odd(settings.voters.max(1).min(ranked.len()));
        ranked.truncate(count);
        ranked.into_iter().map(|(_, id)| id).collect()
    }
}

/// The number itself when odd, else the one below.
fn odd(count: usize) -> usize {
    if count == 0 { 0 } else { count - (count + 1) % 2 }
}
