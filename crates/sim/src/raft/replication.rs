//! How the log gets from the leader to the others.

use std::rc::Rc;

use super::{Deferred, Raft, Role};
use crate::{
    bug::Bug,
    context::Context,
    disk::Record,
    log::{Entry, Message},
    replica::Snapshot,
};

/// Entries of one message.
const BATCH: usize = 64;
/// Time until a snapshot is sent again.
const INSTALL_AGAIN: u64 = 1000;

impl Raft {
    /// Takes in a message; what is not about consensus is none of its business.
    pub(crate) fn receive(&mut self, from: u64, message: Message, cx: &mut Context<'_>) {
        match message {
            Message::PreVote { term, last } => self.pre_vote(from, term, last, cx),
            Message::PreVoted { term, granted } => self.pre_voted(from, term, granted, cx),
            Message::Vote { term, last, by_transfer } => {
                self.vote(from, term, last, by_transfer, cx);
            }
            Message::Voted { term, granted } => self.voted(from, term, granted, cx),
            Message::Append { term, before, entries, commit, round } => {
                if self.accepts(from, term, round, cx) {
                    self.take(from, before, entries, commit, round, cx);
                }
            }
            Message::Appended { term, matched, hint, round } => {
                self.appended(from, term, matched, hint, round, cx);
            }
            Message::Install { term, snapshot, round } => {
                if self.accepts(from, term, round, cx) {
                    self.install(from, snapshot, round, cx);
                }
            }
            Message::Transfer { term } => self.take_over(from, term, cx),
            Message::Ask { .. }
            | Message::Answer { .. }
            | Message::Ping { .. }
            | Message::Pong { .. }
            | Message::Probe { .. }
            | Message::Testimony { .. }
            | Message::Gone => {}
        }
    }

    /// Whether this comes from the leader of the term; an older one is told.
    fn accepts(&mut self, from: u64, term: u64, round: u64, cx: &mut Context<'_>) -> bool {
        if term < self.term {
            let answer = Message::Appended { term: self.term, matched: None, hint: 0, round };
            cx.send(self.id, from, answer);
            return false;
        }
        if term > self.term || self.role != Role::Follower {
            self.follow(term, Some(from), cx);
        }
        self.leader = Some(from);
        self.heard_leader = cx.now;
        self.put_off(cx);
        true
    }

    fn take(
        &mut self,
        from: u64,
        before: (u64, u64),
        entries: Vec<Rc<Entry>>,
        commit: u64,
        round: u64,
        cx: &mut Context<'_>,
    ) {
        let fits = before.0 < self.base.0
            || self.term_at(before.0) == Some(before.1)
            || (cx.bug == Some(Bug::NoLogMatching) && before.0 <= self.last().0);
        if !fits {
            let hint = self.last().0.min(before.0.saturating_sub(1));
            let answer = Message::Appended { term: self.term, matched: None, hint, round };
            return cx.send(self.id, from, answer);
        }
        let mut matched = before.0 + entries.len() as u64;
        for entry in entries {
            let index = entry.index;
            if index <= self.base.0 {
                continue;
            }
            match self.term_at(index) {
                Some(term) if term == entry.term => continue,
                Some(_) => self.truncate(index, cx),
                None => {}
            }
            if self.disk.full {
                matched = index - 1;
                break;
            }
            if index == self.last().0 + 1 {
                self.append(entry);
            }
        }
        self.commit_upto(commit.min(matched), cx);
        let place = self.disk.written();
        let answer = Message::Appended { term: self.term, matched: Some(matched), hint: 0, round };
        self.after_sync(place, Deferred::Send(from, answer), cx);
    }

    fn install(&mut self, from: u64, snapshot: Rc<Snapshot>, round: u64, cx: &mut Context<'_>) {
        let index = snapshot.index;
        if index > self.commit {
            self.disk.write(Record::Snapshot(Rc::clone(&snapshot)));
            if self.term_at(index) == Some(snapshot.term) {
                let gone = (index - self.base.0) as usize;
                self.log.drain(..gone);
                self.places.drain(..gone);
            } else {
                self.log.clear();
                self.places.clear();
            }
            self.base = (index, snapshot.term);
            self.snapshot = Some(snapshot);
            self.commit = index;
            self.find_config();
        }
        let place = self.disk.written();
        let answer = Message::Appended { term: self.term, matched: Some(index), hint: 0, round };
        self.after_sync(place, Deferred::Send(from, answer), cx);
    }

    /// Tells everybody that the leader is there.
    pub(crate) fn heartbeat(&mut self, cx: &mut Context<'_>) {
        self.round += 1;
        self.put_off_heartbeat(cx.now);
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.send_to(id, cx);
        }
    }

    /// Sends new entries to those that are not behind.
    pub(super) fn replicate(&mut self, cx: &mut Context<'_>) {
        let last = self.last().0;
        let ready = self.peers.iter().filter(|(_, it)| it.next <= last).map(|(id, _)| *id);
        for id in ready.collect::<Vec<_>>() {
            self.send_to(id, cx);
        }
    }

    fn send_to(&mut self, id: u64, cx: &mut Context<'_>) {
        let (term, commit, round, base) = (self.term, self.commit, self.round, self.base.0);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.next <= base {
            let Some(snapshot) = self.snapshot.clone() else { return };
            let resting = cx.now < peer.installing + INSTALL_AGAIN && peer.installing > 0;
            if resting {
                // Heartbeats go on, so that it knows who leads.
                let before = (snapshot.index, snapshot.term);
                let message =
                    Message::Append { term, before, entries: Vec::new(), commit: 0, round };
                return cx.send(self.id, id, message);
            }
            peer.installing = cx.now;
            return cx.send(self.id, id, Message::Install { term, snapshot, round });
        }
        let before = peer.next - 1;
        let first = (before - base) as usize;
        let entries: Vec<Rc<Entry>> = self.log.iter().skip(first).take(BATCH).cloned().collect();
        // What is under way is not sent again before it is known to be lost.
        peer.next += entries.len() as u64;
        let Some(before_term) = self.term_at(before) else { return };
        let message =
            Message::Append { term, before: (before, before_term), entries, commit, round };
        cx.send(self.id, id, message);
    }

    fn appended(
        &mut self,
        from: u64,
        term: u64,
        matched: Option<u64>,
        hint: u64,
        round: u64,
        cx: &mut Context<'_>,
    ) {
        if term > self.term {
            return self.follow(term, None, cx);
        }
        let now = cx.now;
        if term < self.term || !self.is_leader() {
            return;
        }
        let last = self.last().0;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.heard = now;
        peer.round = peer.round.max(round);
        match matched {
            Some(matched) => {
                peer.matched = peer.matched.max(matched.min(last));
                // A heartbeat that knows of less than was sent: the rest got lost.
                if round == self.round || peer.next <= peer.matched {
                    peer.next = peer.matched + 1;
                }
            }
            None => peer.next = (hint + 1).max(peer.matched + 1),
        }
        let behind = peer.next <= last;
        self.advance(cx);
        if behind && self.is_leader() {
            self.send_to(from, cx);
        }
    }

    /// Commits what a majority has on its disks.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        if !self.is_leader() {
            return;
        }
        let own = self.synced_index(cx.bug);
        let mut index = self.commit;
        for candidate in self.commit + 1..=self.last().0 {
            let has = |id: u64| {
                if id == self.id {
                    own >= candidate
                } else {
                    self.peers.get(&id).is_some_and(|it| it.matched >= candidate)
                }
            };
            if !self.config.majority(has) {
                break;
            }
            if self.term_at(candidate) == Some(self.term) {
                index = candidate;
            }
        }
        if index > self.commit {
            cx.judge.commits_as_leader(self.id, self.term, index);
            self.commit_upto(index, cx);
        }
    }

    fn commit_upto(&mut self, index: u64, cx: &mut Context<'_>) {
        let index = index.min(self.last().0);
        if index <= self.commit {
            return;
        }
        for at in self.commit + 1..=index {
            if let Some(entry) = self.entry(at) {
                let (id, entry) = (self.id, Rc::clone(entry));
                cx.judge.committed(id, &entry);
            }
        }
        self.commit = index;
        self.disk.write(Record::Commit(index));
    }

    /// Whether a majority answered a heartbeat of this round or a later one.
    pub(crate) fn is_confirmed(&self, round: u64) -> bool {
        self.config
            .majority(|id| id == self.id || self.peers.get(&id).is_some_and(|it| it.round >= round))
    }
}
