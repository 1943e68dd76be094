//! Requests: made here, passed on to whoever leads, answered once.

use std::{collections::BTreeMap, rc::Rc};

use smr_state::{CommandResult, Response};

use super::Node;
use crate::{
    Ms,
    bug::Bug,
    context::{Context, Out},
    leader::Errand,
    log::{Answer, Ask, Entry, Message, Origin, Payload},
};

/// How long somebody waits for an answer.
const PATIENCE: Ms = 3000;

/// What a request is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// The agent's statuses.
    Report,
    /// How far a returning node has to catch up.
    Barrier,
    /// A user.
    User,
    /// A controller of the leader of this term.
    Leader(u64, Errand),
}

/// Requests of one run of a node.
#[derive(Debug)]
pub(crate) struct Requests {
    next: u64,
    /// Made here and not answered yet, with their deadlines.
    open: BTreeMap<u64, (Purpose, Ms)>,
    /// Proposed here, by index: term, who asked, the number there.
    proposed: BTreeMap<u64, (u64, u64, u64)>,
    /// Reads that wait for a majority: index, round, who asked, the number there.
    reads: Vec<(u64, u64, u64, u64)>,
    /// Requests made here whose answer counts once the copy is as new as this.
    arriving: Vec<(u64, u64, Purpose)>,
}

impl Requests {
    pub(crate) fn new(boot: u64) -> Self {
        Self {
            next: boot * 1_000_000,
            open: BTreeMap::new(),
            proposed: BTreeMap::new(),
            reads: Vec::new(),
            arriving: Vec::new(),
        }
    }

    /// The number the next request gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }
}

impl Node {
    /// Asks whoever leads. Returns the number of the request.
    pub(crate) fn ask(&mut self, purpose: Purpose, ask: Ask, cx: &mut Context<'_>) -> u64 {
        let request = self.requests.next;
        self.requests.next += 1;
        self.requests.open.insert(request, (purpose, cx.now + PATIENCE));
        let fenced = matches!(ask, Ask::Propose(_, Some(_))) && cx.bug != Some(Bug::NoFence);
        if self.raft.is_leader() || fenced {
            self.serve(self.id, request, ask, cx);
        } else if let Some(leader) = self.raft.leader {
            cx.send(self.id, leader, Message::Ask { request, ask });
        } else {
            self.answered(request, Answer::Refused("nobody leads"), cx);
        }
        request
    }

    /// Answers a request as the leader.
    pub(super) fn serve(&mut self, from: u64, request: u64, ask: Ask, cx: &mut Context<'_>) {
        if !self.raft.is_leader() {
            return self.answer(from, request, Answer::Refused("this node does not lead"), cx);
        }
        match ask {
            Ask::Propose(command, term) => {
                let fenced = cx.bug != Some(Bug::NoFence);
                if fenced && term.is_some_and(|term| term != self.raft.term || from != self.id) {
                    return self.answer(from, request, Answer::Refused("the term is over"), cx);
                }
                let origin = Some(Origin { node: from, request, term });
                // It may be committed, and answered, at once: so it is known before.
                let index = self.raft.last().0 + 1;
                self.requests.proposed.insert(index, (self.raft.term, from, request));
                if self.raft.propose(Payload::Command(command), origin, cx).is_none() {
                    self.requests.proposed.remove(&index);
                    self.answer(from, request, Answer::Refused("the disk is full"), cx);
                }
            }
            Ask::ReadIndex if cx.bug == Some(Bug::ReadWithoutQuorum) => {
                self.answer(from, request, Answer::ReadAt(self.raft.commit), cx);
            }
            Ask::ReadIndex if self.raft.commit < self.raft.first_index => {
                self.answer(from, request, Answer::Refused("the leader is new"), cx);
            }
            Ask::ReadIndex => {
                let commit = self.raft.commit;
                self.raft.heartbeat(cx);
                self.requests.reads.push((commit, self.raft.round, from, request));
            }
        }
        self.apply(cx);
    }

    fn answer(&mut self, to: u64, request: u64, answer: Answer, cx: &mut Context<'_>) {
        if to == self.id {
            self.answered(request, answer, cx);
        } else {
            cx.send(self.id, to, Message::Answer { request, answer });
        }
    }

    /// Answers reads that a majority confirmed; forgets what a former leader was asked for.
    pub(super) fn serve_reads(&mut self, cx: &mut Context<'_>) {
        if self.raft.is_leader() {
            let raft = &self.raft;
            let ready = |it: &mut (u64, u64, u64, u64)| raft.is_confirmed(it.1);
            let ready: Vec<_> = self.requests.reads.extract_if(.., ready).collect();
            for (index, _, from, request) in ready {
                self.answer(from, request, Answer::ReadAt(index), cx);
            }
        } else {
            for (_, _, from, request) in std::mem::take(&mut self.requests.reads) {
                self.answer(from, request, Answer::Refused("this node leads no more"), cx);
            }
            for (_, (_, from, request)) in std::mem::take(&mut self.requests.proposed) {
                self.answer(from, request, Answer::Unknown, cx);
            }
        }
    }

    /// An entry was applied here: whoever asked for it is told.
    pub(super) fn applied(
        &mut self,
        entry: &Rc<Entry>,
        result: Option<CommandResult>,
        cx: &mut Context<'_>,
    ) {
        if let Some((term, from, request)) = self.requests.proposed.remove(&entry.index) {
            let answer = match result {
                Some(result) if term == entry.term => Answer::Done { index: entry.index, result },
                // Another entry took its place.
                _ => Answer::Unknown,
            };
            self.answer(from, request, answer, cx);
        }
        let applied = self.state.applied;
        let there: Vec<_> =
            self.requests.arriving.extract_if(.., |(index, ..)| *index <= applied).collect();
        for (index, request, purpose) in there {
            self.read_at(index, request, purpose, cx);
        }
    }

    /// An answer to a request made here; the first one counts.
    pub(super) fn answered(&mut self, request: u64, answer: Answer, cx: &mut Context<'_>) {
        let Some((purpose, _)) = self.requests.open.remove(&request) else { return };
        if let Answer::ReadAt(index) = answer {
            if index > self.state.applied {
                self.requests.arriving.push((index, request, purpose));
            } else {
                self.read_at(index, request, purpose, cx);
            }
            return;
        }
        let succeeded = match &answer {
            Answer::Done { index, result } => {
                cx.judge.acknowledge(*index, (self.id, request));
                Some(matches!(result, Ok(Response::Txn(it)) if it.succeeded))
            }
            Answer::Refused(_) => Some(false),
            Answer::ReadAt(_) | Answer::Unknown => None,
        };
        match purpose {
            Purpose::Report => self.agent.reported(cx.now, succeeded == Some(true)),
            Purpose::Barrier => {
                // Asked again until the time is up.
                if self.agent.behind.is_some_and(|until| cx.now < until) {
                    self.requests.open.insert(request, (Purpose::Barrier, cx.now + 200));
                }
            }
            Purpose::User => cx.out.push(Out::User { node: self.id, request, answer }),
            Purpose::Leader(term, errand) => {
                let clock = self.clock(cx.now);
                if let Some(leader) = self.leader.as_mut().filter(|it| it.term == term)
                    && leader.answered(&errand, succeeded)
                {
                    leader.load(&self.mirror, clock);
                }
            }
        }
    }

    /// The copy here is as new as was asked for.
    fn read_at(&mut self, index: u64, request: u64, purpose: Purpose, cx: &mut Context<'_>) {
        match purpose {
            Purpose::Barrier => self.agent.behind = self.agent.behind.map(|_| cx.now),
            Purpose::User => {
                let answer = Answer::ReadAt(index);
                cx.out.push(Out::User { node: self.id, request, answer });
            }
            Purpose::Report | Purpose::Leader(..) => {}
        }
    }

    /// Gives up what took too long.
    pub(super) fn time_out(&mut self, cx: &mut Context<'_>) {
        let open = self.requests.open.iter().filter(|(_, (_, at))| *at <= cx.now);
        for request in open.map(|(request, _)| *request).collect::<Vec<_>>() {
            let again = matches!(self.requests.open.get(&request), Some((Purpose::Barrier, _)));
            if again {
                self.requests.open.remove(&request);
                if self.agent.behind.is_some_and(|until| cx.now < until) {
                    self.ask(Purpose::Barrier, Ask::ReadIndex, cx);
                }
            } else {
                self.answered(request, Answer::Unknown, cx);
            }
        }
    }
}
