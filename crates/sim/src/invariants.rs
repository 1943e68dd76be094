//! What must hold at every moment, checked where it could break.

use std::collections::BTreeMap;

use smr_model::ReplicaKey;
use smr_state::{Command, KeyRange, MemoryView, Op};

use crate::{
    check::{Check, Failure},
    keyspace,
    log::{Entry, Payload},
    mirror::Mirror,
    replica::State,
};

/// Watches over everything.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Who leads, or led, by term.
    leaders: BTreeMap<u64, u64>,
    /// Term and request of every committed entry, from index 1.
    committed: Vec<(u64, Option<(u64, u64)>)>,
    /// Digest of the state after each entry.
    digests: BTreeMap<u64, u64>,
    /// What is wrong; the first finding counts.
    failure: Option<Failure>,
    /// Acknowledged writes so far.
    pub(crate) acknowledged: u64,
}

impl Judge {
    pub(crate) fn fail(&mut self, check: Check, what: String) {
        self.failure.get_or_insert(Failure { check, what });
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Number of committed entries.
    pub(crate) fn length(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Somebody was elected: nobody else leads in that term, and nothing committed is missing.
    pub(crate) fn leads(
        &mut self,
        node: u64,
        term: u64,
        base: u64,
        log: impl Iterator<Item = (u64, u64)>,
    ) {
        let known = *self.leaders.entry(term).or_insert(node);
        if known != node {
            self.fail(Check::OneLeader, format!("n{known} and n{node} both lead in term {term}"));
        }
        let mut last = base;
        for (index, entry_term) in log {
            last = index;
            if let Some((committed, _)) = self.committed.get(index as usize - 1)
                && *committed != entry_term
            {
                let why = format!(
                    "n{node} leads in term {term} with another entry {index} than was committed"
                );
                return self.fail(Check::LeaderHasAll, why);
            }
        }
        if last < self.length() {
            let all = self.length();
            self.fail(
                Check::LeaderHasAll,
                format!("n{node} leads in term {term} with {last} entries, {all} are committed"),
            );
        }
    }

    /// A leader counted a majority.
    pub(crate) fn commits_as_leader(&mut self, node: u64, term: u64, index: u64) {
        if let Some((last, _)) = self.committed.last()
            && *last > term
        {
            let last = *last;
            self.fail(Check::DeposedCommitsNothing, format!(
                "n{node}, deposed leader of term {term}, commits entry {index} after term {last}"
            ));
        }
    }

    /// A node holds an entry to be committed.
    pub(crate) fn committed(&mut self, node: u64, entry: &Entry) {
        let request = entry.origin.map(|it| (it.node, it.request));
        let place = entry.index as usize - 1;
        if place == self.committed.len() {
            self.committed.push((entry.term, request));
            return self.written_by_the_leader(entry);
        }
        match self.committed.get(place) {
            Some(known) if *known == (entry.term, request) => {}
            Some((term, _)) => {
                let (index, mine, term) = (entry.index, entry.term, *term);
                self.fail(Check::CommittedStays, format!(
                    "entry {index} is of term {term} and, for n{node}, of term {mine}: both committed"
                ));
            }
            None => {
                let index = entry.index;
                self.fail(
                    Check::CommittedStays,
                    format!("n{node} commits entry {index} before those in front of it"),
                );
            }
        }
    }

    /// Assignments, verdicts and the like are written by the leader of the term alone.
    fn written_by_the_leader(&mut self, entry: &Entry) {
        let Payload::Command(command) = &entry.payload else { return };
        if !assigned(command).any(|_| true) {
            return;
        }
        let leader = self.leaders.get(&entry.term).copied();
        let origin = entry.origin;
        let right = origin.is_some_and(|it| Some(it.node) == leader && it.term == Some(entry.term));
        if !right {
            let (index, term) = (entry.index, entry.term);
            self.fail(Check::LeaderAssigns, format!(
                "entry {index} of term {term} assigns replicas and is not of that term's leader: {origin:?}"
            ));
        }
    }

    /// A node applied an entry: everybody's state is the same there.
    pub(crate) fn applied(&mut self, node: u64, state: &State) {
        let known = *self.digests.entry(state.applied).or_insert(state.digest);
        if known != state.digest {
            let index = state.applied;
            self.fail(
                Check::CopiesAgree,
                format!("the state of n{node} after entry {index} is not that of others"),
            );
        }
    }

    /// A write was acknowledged to somebody.
    pub(crate) fn acknowledge(&mut self, index: u64, request: (u64, u64)) {
        self.acknowledged += 1;
        let kept = self.committed.get(index as usize - 1).is_some_and(|it| it.1 == Some(request));
        if !kept {
            self.fail(
                Check::AcknowledgedStays,
                format!("write {request:?} is acknowledged as entry {index}, which it is not"),
            );
        }
    }

    /// A leader is about to write assignments: nobody gets anything new on a node that, as its own
    /// copy says, takes nothing.
    pub(crate) fn assigns(&mut self, node: u64, own: &Mirror, command: &Command) {
        for (key, assignment) in assigned(command) {
            let Some(target) = assignment.and_then(|it| it.node) else { continue };
            let before = own.assignments.get(&key).and_then(|(it, _)| it.node);
            let uid = own.objects.get(&key.object()).map(|it| it.uid.clone());
            let is_new = before != Some(target)
                || own.assignments.get(&key).map(|(it, _)| it.uid.clone()) != uid;
            if is_new && !own.node(target).is_some_and(|it| it.is_active()) {
                self.fail(Check::FitNodesOnly, format!(
                    "n{node} assigns {key} to n{target}, which is down, paused, drained or no member"
                ));
            }
        }
    }

    /// Copies of the same age are the same, byte by byte.
    pub(crate) fn compare(&mut self, one: (u64, &MemoryView), other: (u64, &MemoryView)) {
        if one.1 != other.1 {
            self.fail(
                Check::CopiesAgree,
                format!("n{} and n{} hold different bytes at the same index", one.0, other.0),
            );
        }
    }
}

/// The assignments a command writes; `None` for those it removes.
fn assigned(
    command: &Command,
) -> impl Iterator<Item = (ReplicaKey, Option<smr_model::Assignment>)> {
    let ops = match command {
        Command::Txn(txn) => txn.then.as_slice(),
        _ => &[],
    };
    ops.iter().filter_map(|op| match op {
        Op::Put(put) => {
            let key = keyspace::parse_assignment(&put.key)?;
            Some((key, serde_json::from_slice(&put.value).ok()))
        }
        Op::DeleteRange { range: KeyRange::Key(key), .. } => {
            Some((keyspace::parse_assignment(key)?, None))
        }
        Op::DeleteRange { .. } | Op::Range(_) => None,
    })
}
