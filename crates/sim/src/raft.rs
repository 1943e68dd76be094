//! An exact model of Raft: terms, votes that are on the disk before they are given, log matching,
//! commitment by a majority of synced logs, snapshots, exchange of voters in two steps, pre-vote,
//! leases of followers, hand-over.
//!
//! It stands in for openraft, whose tasks cannot be ordered from outside; what is tested is everything around
//! it, and the contract it has to keep with the disk and the network.

mod election;
mod replication;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crate::{
    Ms,
    bug::Bug,
    check::Check,
    context::Context,
    disk::{Config, Disk, Found, Record},
    log::{Entry, Message, Origin, Payload},
    replica::Snapshot,
};

pub(crate) const HEARTBEAT: Ms = 250;
const TIMEOUT: (Ms, Ms) = (1000, 2000);
/// A leader that did not hear from a majority for this long gives up.
const LEASE: Ms = 5000;

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Follower,
    PreCandidate(BTreeSet<u64>),
    Candidate(BTreeSet<u64>),
    Leader,
}

/// What a leader knows of a member.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) next: u64,
    pub(crate) matched: u64,
    pub(crate) heard: Ms,
    pub(crate) round: u64,
    /// When a snapshot was sent last.
    installing: Ms,
}

/// What waits for the disk.
#[derive(Debug)]
enum Deferred {
    Send(u64, Message),
    /// The own vote counts.
    OwnVote(u64),
}

/// Consensus of one node.
#[derive(Debug)]
pub(crate) struct Raft {
    pub(crate) id: u64,
    pub(crate) term: u64,
    pub(crate) vote: Option<u64>,
    pub(crate) role: Role,
    pub(crate) leader: Option<u64>,
    pub(crate) log: Vec<Rc<Entry>>,
    /// Where each entry of the log is on the disk.
    places: Vec<usize>,
    pub(crate) base: (u64, u64),
    pub(crate) snapshot: Option<Rc<Snapshot>>,
    pub(crate) commit: u64,
    pub(crate) config: Config,
    pub(crate) peers: BTreeMap<u64, Peer>,
    pub(crate) disk: Disk,
    deferred: Vec<(usize, Deferred)>,
    election_at: Ms,
    heartbeat_at: Ms,
    heard_leader: Ms,
    pub(crate) round: u64,
    pub(crate) led_since: Ms,
    /// Index of the entry this leader began its term with.
    pub(crate) first_index: u64,
}

impl Raft {
    pub(crate) fn new(id: u64, mut disk: Disk, cx: &mut Context<'_>) -> Self {
        let Found { term, vote, snapshot, entries, commit } = disk.read();
        let base = snapshot.as_ref().map_or((0, 0), |it| (it.index, it.term));
        let places = vec![0; entries.len()];
        let mut raft = Self {
            id,
            term,
            vote,
            role: Role::Follower,
            leader: None,
            log: entries,
            places,
            base,
            snapshot,
            commit,
            config: Config::default(),
            peers: BTreeMap::new(),
            disk,
            deferred: Vec::new(),
            election_at: 0,
            heartbeat_at: 0,
            heard_leader: 0,
            round: 0,
            led_since: 0,
            first_index: 0,
        };
        raft.find_config();
        raft.put_off(cx);
        raft
    }

    /// Index and term of the last entry.
    pub(crate) fn last(&self) -> (u64, u64) {
        self.log.last().map_or(self.base, |it| (it.index, it.term))
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// The entry at an index, if it is in the log.
    pub(crate) fn entry(&self, index: u64) -> Option<&Rc<Entry>> {
        self.log.get(index.checked_sub(self.base.0 + 1)? as usize)
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.0 { Some(self.base.1) } else { self.entry(index).map(|it| it.term) }
    }

    /// The newest configuration in the log counts, committed or not.
    fn find_config(&mut self) {
        let of = |entry: &Rc<Entry>| match &entry.payload {
            Payload::Config(config) => Some(config.clone()),
            Payload::Noop | Payload::Command(_) => None,
        };
        self.config = self
            .log
            .iter()
            .rev()
            .find_map(of)
            .or_else(|| self.snapshot.as_ref().map(|it| it.config.clone()))
            .unwrap_or_default();
    }

    /// Whether a change of the members is not committed yet.
    pub(crate) fn is_changing(&self) -> bool {
        self.log.iter().any(|it| it.index > self.commit && matches!(it.payload, Payload::Config(_)))
    }

    /// Adds an entry, if there is room on the disk. Leaders only.
    pub(crate) fn propose(
        &mut self,
        payload: Payload,
        origin: Option<Origin>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        if self.disk.full {
            return None;
        }
        let index = self.last().0 + 1;
        let is_config = matches!(payload, Payload::Config(_));
        self.append(Rc::new(Entry { term: self.term, index, payload, origin }));
        if is_config {
            self.follow_config(cx);
        }
        self.replicate(cx);
        self.advance(cx);
        Some(index)
    }

    fn append(&mut self, entry: Rc<Entry>) {
        let is_config = matches!(entry.payload, Payload::Config(_));
        let place = self.disk.write(Record::Append(Rc::clone(&entry)));
        self.log.push(entry);
        self.places.push(place);
        if is_config {
            self.find_config();
        }
    }

    fn truncate(&mut self, from: u64, cx: &mut Context<'_>) {
        let (commit, id) = (self.commit, self.id);
        if from <= commit {
            cx.fail(
                Check::CommittedStays,
                format!("n{id} drops entry {from}, which it knows to be committed"),
            );
        }
        self.disk.write(Record::Truncate(from));
        let keep = (from - self.base.0 - 1) as usize;
        self.log.truncate(keep);
        self.places.truncate(keep);
        self.find_config();
    }

    /// The last index that is on the disk.
    fn synced_index(&self, bug: Option<Bug>) -> u64 {
        if bug == Some(Bug::SkipSync) {
            return self.last().0;
        }
        let safe = self.disk.synced();
        let count = self.places.partition_point(|place| *place <= safe);
        self.base.0 + count as u64
    }

    fn save_vote(&mut self) -> usize {
        self.disk.write(Record::Vote { term: self.term, vote: self.vote })
    }

    fn after_sync(&mut self, place: usize, what: Deferred, cx: &mut Context<'_>) {
        if place <= self.disk.synced() || cx.bug == Some(Bug::SkipSync) {
            self.release(what, cx);
        } else {
            self.deferred.push((place, what));
        }
    }

    fn release(&mut self, what: Deferred, cx: &mut Context<'_>) {
        match what {
            Deferred::Send(to, message) => cx.send(self.id, to, message),
            Deferred::OwnVote(term) => {
                if self.term == term {
                    self.count_vote(self.id, cx);
                }
            }
        }
    }

    /// The disk has done what it was asked to.
    pub(crate) fn synced(&mut self, cx: &mut Context<'_>) {
        self.disk.sync_done();
        let safe = self.disk.synced();
        let ready = self.deferred.extract_if(.., |(place, _)| *place <= safe).collect::<Vec<_>>();
        for (_, what) in ready {
            self.release(what, cx);
        }
        self.advance(cx);
    }

    /// Drops the log up to what the snapshot holds.
    pub(crate) fn compact(&mut self, snapshot: Rc<Snapshot>) {
        self.disk.write(Record::Snapshot(Rc::clone(&snapshot)));
        let gone = (snapshot.index - self.base.0) as usize;
        self.log.drain(..gone.min(self.log.len()));
        self.places.drain(..gone.min(self.places.len()));
        self.base = (snapshot.index, snapshot.term);
        self.snapshot = Some(snapshot);
    }

    fn put_off(&mut self, cx: &mut Context<'_>) {
        self.election_at = cx.now + cx.random.between(TIMEOUT.0, TIMEOUT.1);
    }

    fn put_off_heartbeat(&mut self, now: Ms) {
        self.heartbeat_at = now + HEARTBEAT;
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        if self.is_leader() {
            let heard = |id| {
                id == self.id || self.peers.get(&id).is_some_and(|it| it.heard + LEASE > cx.now)
            };
            if cx.now > self.led_since + LEASE && !self.config.majority(heard) {
                let id = self.id;
                cx.tell(id, || "heard from no majority, leads no more".to_owned());
                self.follow(self.term, None, cx);
                return;
            }
            if cx.now >= self.heartbeat_at {
                self.heartbeat(cx);
            }
        } else if cx.now >= self.election_at && self.config.electors().contains(&self.id) {
            self.canvass(cx);
        }
    }
}
