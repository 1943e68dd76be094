//! Who leads.

use std::collections::BTreeSet;

use super::{Deferred, Peer, Raft, Role, TIMEOUT};
use crate::{
    context::Context,
    log::{Message, Payload},
};

impl Raft {
    /// Asks the voters whether they would vote for this node, before anything changes.
    pub(super) fn canvass(&mut self, cx: &mut Context<'_>) {
        self.put_off(cx);
        self.leader = None;
        self.role = Role::PreCandidate(BTreeSet::from([self.id]));
        let (term, last) = (self.term + 1, self.last());
        for voter in self.config.electors().into_iter().filter(|id| *id != self.id) {
            cx.send(self.id, voter, Message::PreVote { term, last });
        }
        self.count_pre_vote(self.id, cx);
    }

    fn count_pre_vote(&mut self, from: u64, cx: &mut Context<'_>) {
        let Role::PreCandidate(yes) = &mut self.role else { return };
        yes.insert(from);
        let yes = yes.clone();
        if self.config.majority(|id| yes.contains(&id)) {
            self.stand(false, cx);
        }
    }

    /// Asks for votes in the next term.
    fn stand(&mut self, by_transfer: bool, cx: &mut Context<'_>) {
        self.put_off(cx);
        self.term += 1;
        self.vote = Some(self.id);
        self.leader = None;
        self.role = Role::Candidate(BTreeSet::new());
        let place = self.save_vote();
        let (id, term, last) = (self.id, self.term, self.last());
        cx.tell(id, || format!("stands for term {term}"));
        for voter in self.config.electors() {
            let what = if voter == id {
                Deferred::OwnVote(term)
            } else {
                Deferred::Send(voter, Message::Vote { term, last, by_transfer })
            };
            self.after_sync(place, what, cx);
        }
    }

    pub(super) fn count_vote(&mut self, from: u64, cx: &mut Context<'_>) {
        let Role::Candidate(yes) = &mut self.role else { return };
        yes.insert(from);
        let yes = yes.clone();
        if self.config.majority(|id| yes.contains(&id)) {
            self.lead(cx);
        }
    }

    fn lead(&mut self, cx: &mut Context<'_>) {
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.led_since = cx.now;
        self.peers.clear();
        let (id, term) = (self.id, self.term);
        cx.tell(id, || format!("leads in term {term}"));
        cx.judge.leads(id, term, self.base.0, self.log.iter().map(|it| (it.index, it.term)));
        self.follow_config(cx);
        self.first_index = self.last().0 + 1;
        // A leader without room for its first entry cannot do anything.
        if self.propose(Payload::Noop, None, cx).is_none() {
            self.follow(self.term, None, cx);
        }
    }

    /// Brings what is known of members in line with who they are.
    pub(super) fn follow_config(&mut self, cx: &Context<'_>) {
        let all: BTreeSet<u64> = self.config.all().filter(|id| *id != self.id).collect();
        self.peers.retain(|id, _| all.contains(id));
        let next = self.last().0.max(self.base.0) + 1;
        for id in all {
            let fresh = || Peer { next, heard: cx.now, ..Peer::default() };
            self.peers.entry(id).or_insert_with(fresh);
        }
    }

    /// Goes on as a follower, in this term.
    pub(super) fn follow(&mut self, term: u64, leader: Option<u64>, cx: &mut Context<'_>) {
        if term > self.term {
            self.term = term;
            self.vote = None;
            self.save_vote();
        }
        if self.role != Role::Follower {
            self.role = Role::Follower;
            self.put_off(cx);
        }
        self.leader = leader;
    }

    /// Whether somebody with this log may lead.
    fn is_as_new(&self, last: (u64, u64)) -> bool {
        let mine = self.last();
        (last.1, last.0) >= (mine.1, mine.0)
    }

    fn heard_lately(&self, cx: &Context<'_>) -> bool {
        self.is_leader() || (self.leader.is_some() && self.heard_leader + TIMEOUT.0 > cx.now)
    }

    pub(super) fn pre_vote(
        &mut self,
        from: u64,
        term: u64,
        last: (u64, u64),
        cx: &mut Context<'_>,
    ) {
        let granted = term > self.term && self.is_as_new(last) && !self.heard_lately(cx);
        cx.send(self.id, from, Message::PreVoted { term: self.term.max(term), granted });
    }

    pub(super) fn pre_voted(&mut self, from: u64, term: u64, granted: bool, cx: &mut Context<'_>) {
        if granted && term == self.term + 1 {
            self.count_pre_vote(from, cx);
        }
    }

    pub(super) fn vote(
        &mut self,
        from: u64,
        term: u64,
        last: (u64, u64),
        by_transfer: bool,
        cx: &mut Context<'_>,
    ) {
        if term > self.term {
            if self.heard_lately(cx) && !by_transfer {
                return;
            }
            self.follow(term, None, cx);
        }
        let free = self.vote.is_none_or(|vote| vote == from);
        let granted = term == self.term && free && self.is_as_new(last);
        if granted && self.vote.is_none() {
            self.vote = Some(from);
            self.save_vote();
            self.put_off(cx);
        }
        let place = self.disk.written();
        let answer = Message::Voted { term: self.term, granted };
        self.after_sync(place, Deferred::Send(from, answer), cx);
    }

    pub(super) fn voted(&mut self, from: u64, term: u64, granted: bool, cx: &mut Context<'_>) {
        if term > self.term {
            self.follow(term, None, cx);
        } else if term == self.term && granted {
            self.count_vote(from, cx);
        }
    }

    /// The leader wants this node to lead.
    pub(super) fn take_over(&mut self, from: u64, term: u64, cx: &mut Context<'_>) {
        if term == self.term
            && self.leader == Some(from)
            && self.config.electors().contains(&self.id)
        {
            self.stand(true, cx);
        }
    }
}
