//! One node: consensus, state, what watches brought, agent, engine, and the controllers while it leads.

mod requests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::NodeStatus;

use crate::{
    Ms,
    agent::Agent,
    bug::Bug,
    context::Context,
    disk::Disk,
    engine::Engine,
    keyspace,
    leader::{Errand, Leader},
    log::{Ask, Message, Payload},
    mirror::Mirror,
    raft::Raft,
    replica::State,
};

pub(crate) use requests::{Purpose, Requests};

/// When the world began, by clocks that go right.
const EPOCH: i64 = 1_767_225_600_000;
/// Entries after which a snapshot is made.
const SNAPSHOT: usize = 300;
/// How long another node has to answer when it is asked for by somebody else.
const PROBE: Ms = 1000;

/// One node.
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) up: bool,
    /// It was removed and has been told.
    pub(crate) retired: bool,
    /// Counts starts.
    pub(crate) boot: u64,
    /// Milliseconds its clock goes wrong.
    pub(crate) skew: i64,
    pub(crate) raft: Raft,
    pub(crate) state: State,
    pub(crate) mirror: Mirror,
    pub(crate) agent: Agent,
    pub(crate) leader: Option<Leader>,
    pub(crate) engine: Engine,
    pub(crate) requests: Requests,
    /// Who asked about whom: asker, target, deadline.
    probing: Vec<(u64, u64, Ms)>,
}

impl Node {
    pub(crate) fn new(id: u64, disk: Disk, cx: &mut Context<'_>) -> Self {
        let raft = Raft::new(id, disk, cx);
        let mirror = Mirror::default();
        let agent = Agent::new(id, cx.now, &mirror);
        let mut node = Self {
            id,
            up: true,
            retired: false,
            boot: 1,
            skew: 0,
            raft,
            state: State::default(),
            mirror,
            agent,
            leader: None,
            engine: Engine::new(id),
            requests: Requests::new(1),
            probing: Vec::new(),
        };
        node.recover(cx);
        node
    }

    /// The time as its clock shows it.
    pub(crate) fn clock(&self, now: Ms) -> Timestamp {
        Timestamp::from_millisecond(EPOCH + now as i64 + self.skew).unwrap_or(Timestamp::MAX)
    }

    /// The process, and perhaps the machine, ends.
    pub(crate) fn crash(&mut self, with_power: bool, cx: &mut Context<'_>) {
        self.up = false;
        let lost = self.raft.disk.crash(cx.random);
        cx.tell(self.id, || {
            let what = if with_power { "loses power" } else { "is killed" };
            format!("{what}; {lost} unsynced records are lost")
        });
        self.leader = None;
        if with_power {
            self.engine.up = false;
            self.engine.end_all(self.clock(cx.now));
        }
    }

    /// The process starts again, from what is on the disk.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
        self.up = true;
        self.boot += 1;
        let disk = std::mem::take(&mut self.raft.disk);
        self.raft = Raft::new(self.id, disk, cx);
        self.requests = Requests::new(self.boot);
        self.probing.clear();
        self.recover(cx);
        let (id, applied) = (self.id, self.state.applied);
        cx.tell(id, || format!("starts with its copy as of entry {applied}"));
    }

    fn recover(&mut self, cx: &mut Context<'_>) {
        self.leader = None;
        self.state = self.raft.snapshot.as_deref().map(State::restored).unwrap_or_default();
        self.mirror = Mirror::load(&self.state.view);
        self.apply(cx);
        self.agent = Agent::new(self.id, cx.now, &self.mirror);
        self.engine.news = true;
        self.ask(Purpose::Barrier, Ask::ReadIndex, cx);
    }

    /// Takes in a message.
    pub(crate) fn receive(&mut self, from: u64, message: Message, cx: &mut Context<'_>) {
        if self.mirror.removed.contains(&from) {
            if !matches!(message, Message::Gone) {
                cx.send(self.id, from, Message::Gone);
            }
            return;
        }
        match message {
            Message::Ask { request, ask } => self.serve(from, request, ask, cx),
            Message::Answer { request, answer } => self.answered(request, answer, cx),
            Message::Ping { number } => cx.send(self.id, from, Message::Pong { number }),
            Message::Pong { number } => {
                let heard = self.probing.extract_if(.., |(_, target, _)| *target == from);
                let askers: Vec<u64> = heard.map(|(asker, ..)| asker).collect();
                for asker in askers {
                    let testimony = Message::Testimony { target: from, reached: true };
                    cx.send(self.id, asker, testimony);
                }
                if let Some(leader) = &mut self.leader {
                    leader.ponged(cx.now, from, number);
                }
            }
            Message::Probe { target } => {
                self.probing.push((from, target, cx.now + PROBE));
                cx.send(self.id, target, Message::Ping { number: 0 });
            }
            Message::Testimony { target, reached } => {
                if let Some(leader) = &mut self.leader {
                    leader.testified(cx.now, from, target, reached);
                }
            }
            Message::Gone => {
                if self.mirror.members.len() > 1 || !self.raft.is_leader() {
                    cx.tell(self.id, || "is told that it was removed, and stops".to_owned());
                    self.up = false;
                    self.retired = true;
                    self.leader = None;
                }
            }
            other => self.raft.receive(from, other, cx),
        }
        self.after(cx);
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        self.raft.tick(cx);
        let late: Vec<_> = self.probing.extract_if(.., |(_, _, at)| *at <= cx.now).collect();
        for (asker, target, _) in late {
            cx.send(self.id, asker, Message::Testimony { target, reached: false });
        }
        self.time_out(cx);
        self.lead(cx);
        self.after(cx);
        let clock = self.clock(cx.now);
        self.agent.tick(clock, &self.mirror, &mut self.engine, cx);
        if let Some(command) = self.agent.report(cx.now, &self.facts(clock)) {
            self.ask(Purpose::Report, Ask::Propose(command, None), cx);
        }
        self.after(cx);
    }

    /// What this node says of itself.
    fn facts(&self, clock: Timestamp) -> NodeStatus {
        let zone = if self.id.is_multiple_of(2) { "east" } else { "west" };
        NodeStatus {
            id: self.id,
            name: format!("n{}", self.id),
            cpus: 4,
            memory: 8 << 30,
            os: "Debian GNU/Linux 12".to_owned(),
            arch: "x86_64".to_owned(),
            labels: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
            started_at: clock,
            ..serde_json::from_value(serde_json::json!({
                "id": 0, "name": "", "addresses": [], "version": "", "engine": "",
                "engineReady": true, "startedAt": "2026-01-01T00:00:00Z",
            }))
            .expect("a node's status with little in it")
        }
    }

    /// The controllers, while this node leads and has applied what earlier leaders wrote.
    fn lead(&mut self, cx: &mut Context<'_>) {
        let leads = self.raft.is_leader() && self.state.applied >= self.raft.first_index;
        let clock = self.clock(cx.now);
        let of_term = self.leader.as_ref().is_some_and(|it| it.term == self.raft.term);
        if leads && !of_term {
            let stale = cx.bug == Some(Bug::StaleView);
            if cx.bug == Some(Bug::LostWatch) {
                // The mistake is the agent's: controllers know everything.
                self.mirror = Mirror::load(&self.state.view);
            }
            let leader = Leader::new(self.id, self.raft.term, cx.now, clock, &self.mirror, stale);
            self.leader = Some(leader);
        }
        if !leads && cx.bug != Some(Bug::NoFence) {
            self.leader = None;
        }
        let Some(mut leader) = self.leader.take() else { return };
        let mut writes = leader.watch(clock, &self.mirror, cx);
        for (name, command) in leader.decide(&self.mirror, clock) {
            cx.judge.assigns(self.id, &self.mirror, &command);
            writes.push((Errand::Assign(name), command));
        }
        if cx.now >= leader.clean_at {
            leader.clean_at = cx.now + 5000;
            writes.extend(Leader::clean(&self.mirror).map(|it| (Errand::Other, it)));
        }
        if cx.now >= leader.compact_at {
            leader.compact_at = cx.now + 30_000;
            let revision = self.state.revision().saturating_sub(100);
            if revision > 0 {
                writes.push((Errand::Other, smr_state::Command::Compact { revision }));
            }
        }
        let term = leader.term;
        leader.waiting += writes.len();
        let config = if leads && (cx.now >= leader.voters_at || self.raft.config.is_joint()) {
            leader.voters_at = cx.now + 2000;
            leader.next_members(clock, &self.mirror, &self.raft, cx)
        } else {
            None
        };
        self.leader = Some(leader);
        if let Some(config) = config {
            self.raft.propose(Payload::Config(config), None, cx);
        }
        for (errand, command) in writes {
            self.ask(Purpose::Leader(term, errand), Ask::Propose(command, Some(term)), cx);
        }
    }

    /// The disk has done what it was asked to.
    pub(crate) fn synced(&mut self, cx: &mut Context<'_>) {
        self.raft.synced(cx);
        self.after(cx);
    }

    /// What follows from whatever happened.
    pub(crate) fn after(&mut self, cx: &mut Context<'_>) {
        self.apply(cx);
        self.serve_reads(cx);
        if self.raft.log.len() > SNAPSHOT && self.state.applied > self.raft.base.0 {
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        let applied = self.state.applied;
        let Some(term) = self.raft.entry(applied).map(|it| it.term) else { return };
        // The configuration as of the snapshot: the newest one up to there.
        let log = self.raft.log.iter().rev().filter(|it| it.index <= applied);
        let mut configs = log.filter_map(|it| match &it.payload {
            Payload::Config(config) => Some(config.clone()),
            Payload::Noop | Payload::Command(_) => None,
        });
        let config = configs
            .next()
            .or_else(|| self.raft.snapshot.as_ref().map(|it| it.config.clone()))
            .unwrap_or_default();
        let snapshot = self.state.snapshot(term, config);
        self.raft.compact(snapshot);
    }

    /// Applies what is committed.
    fn apply(&mut self, cx: &mut Context<'_>) {
        if self.raft.base.0 > self.state.applied
            && let Some(snapshot) = self.raft.snapshot.clone()
        {
            self.state = State::restored(&snapshot);
            self.mirror = Mirror::load(&self.state.view);
            cx.judge.applied(self.id, &self.state);
            self.agent.reload(&self.mirror);
            cx.tell(self.id, || format!("takes over a copy as of entry {}", snapshot.index));
        }
        while self.state.applied < self.raft.commit {
            let Some(entry) = self.raft.entry(self.state.applied + 1).cloned() else { return };
            let effect = self.state.apply(&entry);
            cx.judge.applied(self.id, &self.state);
            for commit in &effect.commits {
                let lost = cx.bug == Some(Bug::LostWatch) && !self.raft.is_leader();
                let random = &mut *cx.random;
                let touched = self.mirror.follow(commit, |key| {
                    !(lost && key.starts_with(keyspace::ASSIGNMENTS) && random.chance(100))
                });
                self.agent.take(&touched, &self.mirror);
                let clock = self.clock(cx.now);
                if let Some(leader) = &mut self.leader {
                    leader.take(&touched, &self.mirror, clock);
                }
            }
            self.applied(&entry, effect.result, cx);
        }
    }
}
