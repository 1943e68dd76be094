//! A disk: what is written is not there before it is synced, and a crash tears what was not.

use std::{collections::BTreeSet, rc::Rc};

use crate::{log::Entry, random::Random, replica::Snapshot};

/// Something written in one piece.
#[derive(Debug, Clone)]
pub(crate) enum Record {
    Vote {
        term: u64,
        vote: Option<u64>,
    },
    Append(Rc<Entry>),
    /// Everything from this index on is void.
    Truncate(u64),
    Snapshot(Rc<Snapshot>),
    /// Everything up to this index is committed. Nobody waits for it.
    Commit(u64),
}

/// Appended records, of which the first are synced.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: Vec<Record>,
    synced: usize,
    /// A sync is under way, for records before this one.
    pub(crate) syncing: Option<usize>,
    /// A sync takes this many times as long.
    pub(crate) slow: bool,
    /// Nothing more can be appended to the log.
    pub(crate) full: bool,
}

/// What a node finds at its start.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) term: u64,
    pub(crate) vote: Option<u64>,
    pub(crate) snapshot: Option<Rc<Snapshot>>,
    pub(crate) entries: Vec<Rc<Entry>>,
    pub(crate) commit: u64,
}

impl Disk {
    /// Writes a record; it is safe once [`Disk::synced`] reaches the number that comes back.
    pub(crate) fn write(&mut self, record: Record) -> usize {
        self.records.push(record);
        self.records.len()
    }

    /// How many records are safe.
    pub(crate) fn synced(&self) -> usize {
        self.synced
    }

    /// How many records there are.
    pub(crate) fn written(&self) -> usize {
        self.records.len()
    }

    /// The sync that was under way is done.
    pub(crate) fn sync_done(&mut self) {
        if let Some(upto) = self.syncing.take() {
            self.synced = self.synced.max(upto);
        }
    }

    /// Makes everything safe, as at the birth of a cluster.
    pub(crate) fn sync_all(&mut self) {
        self.synced = self.records.len();
    }

    /// The power goes: of what was not synced only a beginning is left. Returns how much was lost.
    pub(crate) fn crash(&mut self, random: &mut Random) -> usize {
        let unsynced = self.records.len() - self.synced;
        let kept = random.below(unsynced as u64 + 1) as usize;
        self.records.truncate(self.synced + kept);
        // What survived a crash is found by the next start and is as good as synced then.
        self.synced = self.records.len();
        self.syncing = None;
        unsynced - kept
    }

    /// Reads everything, and drops what a snapshot made superfluous.
    pub(crate) fn read(&mut self) -> Found {
        let mut found = Found::default();
        for record in &self.records {
            match record {
                Record::Vote { term, vote } => (found.term, found.vote) = (*term, *vote),
                Record::Append(entry) => {
                    found.entries.retain(|known| known.index < entry.index);
                    found.entries.push(Rc::clone(entry));
                }
                Record::Truncate(from) => found.entries.retain(|entry| entry.index < *from),
                Record::Snapshot(snapshot) => {
                    let last = found.entries.iter().find(|it| it.index == snapshot.index);
                    if last.is_some_and(|it| it.term == snapshot.term) {
                        found.entries.retain(|entry| entry.index > snapshot.index);
                    } else {
                        found.entries.clear();
                    }
                    found.commit = found.commit.max(snapshot.index);
                    found.snapshot = Some(Rc::clone(snapshot));
                }
                Record::Commit(index) => found.commit = found.commit.max(*index),
            }
        }
        let mut records = vec![Record::Vote { term: found.term, vote: found.vote }];
        records.extend(found.snapshot.iter().map(|it| Record::Snapshot(Rc::clone(it))));
        records.extend(found.entries.iter().map(|it| Record::Append(Rc::clone(it))));
        let last = found.entries.last().map_or(0, |it| it.index);
        let base = found.snapshot.as_ref().map_or(0, |it| it.index);
        found.commit = found.commit.min(last.max(base));
        records.push(Record::Commit(found.commit));
        self.records = records;
        self.synced = self.records.len();
        found
    }
}

/// Voters and learners, as an entry or a snapshot says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) voters: BTreeSet<u64>,
    /// The voters so far, while they are exchanged: a majority of these is needed as well.
    pub(crate) outgoing: BTreeSet<u64>,
    pub(crate) learners: BTreeSet<u64>,
}

impl Config {
    /// Everybody who gets entries.
    pub(crate) fn all(&self) -> impl Iterator<Item = u64> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied()
    }

    /// Everybody who has a vote.
    pub(crate) fn electors(&self) -> BTreeSet<u64> {
        &self.voters | &self.outgoing
    }

    /// Whether an exchange of voters is under way.
    pub(crate) fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The first half of an exchange of voters; who loses the vote keeps its copy.
    pub(crate) fn towards(&self, voters: BTreeSet<u64>) -> Self {
        let everybody: BTreeSet<u64> = self.all().collect();
        let learners = &everybody - &voters;
        Self { voters, outgoing: self.voters.clone(), learners }
    }

    /// The second half of it.
    pub(crate) fn completed(&self) -> Self {
        Self { outgoing: BTreeSet::new(), ..self.clone() }
    }

    /// Whether these are a majority of the voters, old and new.
    pub(crate) fn majority(&self, is: impl Fn(u64) -> bool) -> bool {
        let of =
            |voters: &BTreeSet<u64>| voters.iter().filter(|id| is(**id)).count() * 2 > voters.len();
        of(&self.voters) && (self.outgoing.is_empty() || of(&self.outgoing))
    }
}
