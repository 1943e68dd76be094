//! The agent of one node: as in the product it keeps a slot for each replica, asks the real planners what
//! to do, has the engine do it, and reports.

mod wanted;

pub(crate) use wanted::others;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_model::{NodeStatus, ReplicaKey, ReplicaStatus};
use smr_reconcile::{
    ActionKind, Memory, Outcome, Plan, Problem, ProblemKind, Replica, Seen, is_previous, plan,
    settle,
};
use smr_state::{Command, Op, Txn};

use self::wanted::Rendering;
use crate::{
    Ms,
    bug::Bug,
    context::{Context, Out},
    engine::{Engine, Job, What},
    keyspace,
    mirror::{Mirror, Touched},
};

/// How long a returning node waits to hear what it missed.
const CATCH_UP: Ms = 3000;
/// Time between two looks at everything.
const RESYNC: Ms = 30_000;

/// One replica.
pub(crate) struct Slot {
    pub(crate) replica: Replica,
    rendering: Option<Rendering>,
    /// The job under way.
    job: Option<u64>,
    wake_at: Option<Timestamp>,
    reported: Option<ReplicaStatus>,
}

/// The agent of one node.
pub(crate) struct Agent {
    me: u64,
    name: String,
    pub(crate) slots: BTreeMap<ReplicaKey, Slot>,
    dirty: BTreeSet<ReplicaKey>,
    /// The copy may be old: nothing is begun before that is known, or this moment.
    pub(crate) behind: Option<Ms>,
    engine_down: Option<String>,
    was_down: bool,
    list_at: Ms,
    resync_at: Ms,
    jobs: u64,
    /// What is to be reported.
    news: BTreeMap<ReplicaKey, Option<ReplicaStatus>>,
    node_news: bool,
    /// What is being reported.
    reporting: Option<(u64, BTreeMap<ReplicaKey, Option<ReplicaStatus>>)>,
    report_at: Ms,
}

impl Agent {
    /// Begins with what is stored of this node.
    pub(crate) fn new(me: u64, now: Ms, mirror: &Mirror) -> Self {
        let mut agent = Self {
            me,
            name: format!("n{me}"),
            slots: BTreeMap::new(),
            dirty: BTreeSet::new(),
            behind: Some(now + CATCH_UP),
            engine_down: Some("the engine has not answered yet".to_owned()),
            was_down: false,
            list_at: 0,
            resync_at: now + RESYNC,
            jobs: 0,
            news: BTreeMap::new(),
            node_news: true,
            reporting: None,
            report_at: 0,
        };
        agent.take_statuses(mirror);
        agent
    }

    /// Gives every stored status of this node a slot.
    fn take_statuses(&mut self, mirror: &Mirror) {
        for (key, by) in &mirror.statuses {
            if let Some((status, _)) = by.get(&self.me)
                && !self.slots.contains_key(key)
            {
                let mut slot = Slot::new(status.clone());
                slot.reported = Some(status.clone());
                self.slots.insert(key.clone(), slot);
            }
        }
    }

    /// Everything was read anew.
    pub(crate) fn reload(&mut self, mirror: &Mirror) {
        for slot in self.slots.values_mut() {
            slot.rendering = None;
        }
        self.take_statuses(mirror);
        self.look_at_all(mirror);
    }

    fn look_at_all(&mut self, mirror: &Mirror) {
        self.dirty.extend(self.slots.keys().cloned());
        let here = mirror.assignments.iter().filter(|(_, (it, _))| it.node == Some(self.me));
        self.dirty.extend(here.map(|(key, _)| key.clone()));
    }

    /// The keyspace changed.
    pub(crate) fn take(&mut self, touched: &[Touched], mirror: &Mirror) {
        for what in touched {
            match what {
                Touched::Replica(key) => {
                    self.dirty.insert(key.clone());
                }
                Touched::Object(object) => {
                    let of = |key: &&ReplicaKey| key.object() == *object;
                    let keys: Vec<ReplicaKey> = self
                        .slots
                        .keys()
                        .chain(mirror.assignments.keys())
                        .filter(of)
                        .cloned()
                        .collect();
                    self.dirty.extend(keys);
                }
                Touched::Nodes => self.look_at_all(mirror),
                Touched::Rollout(_) | Touched::Nothing => {}
            }
        }
    }

    /// Looks at what may have changed.
    pub(crate) fn tick(
        &mut self,
        clock: Timestamp,
        mirror: &Mirror,
        engine: &mut Engine,
        cx: &mut Context<'_>,
    ) {
        if engine.news || cx.now >= self.list_at {
            engine.news = false;
            self.list(clock, engine, cx);
        }
        if self.behind.is_some_and(|until| cx.now < until) {
            return;
        }
        if self.behind.take().is_some() {
            self.look_at_all(mirror);
        }
        if cx.now >= self.resync_at {
            self.resync_at = cx.now + RESYNC;
            self.take_statuses(mirror);
            self.look_at_all(mirror);
        }
        for (key, slot) in &mut self.slots {
            if slot.wake_at.is_some_and(|at| at <= clock) {
                slot.wake_at = None;
                self.dirty.insert(key.clone());
            }
        }
        for key in std::mem::take(&mut self.dirty) {
            self.visit(&key, clock, mirror, cx);
        }
    }

    /// Asks the engine for all containers.
    fn list(&mut self, clock: Timestamp, engine: &Engine, cx: &mut Context<'_>) {
        self.list_at = cx.now + RESYNC;
        if !engine.up {
            self.list_at = cx.now + 500;
            self.was_down = true;
            if self.engine_down.is_none() {
                self.engine_down = Some("the engine does not answer".to_owned());
                self.node_news = true;
                self.dirty.extend(self.slots.keys().cloned());
            }
            return;
        }
        let mut found: BTreeMap<(ReplicaKey, bool), Seen> = BTreeMap::new();
        for container in engine.containers.values() {
            let owner = match &container.labels {
                Some(labels) if labels.node == self.me => Some(labels.replica.clone()),
                None if cx.bug == Some(Bug::ForgetOwnership) => by_name(&container.name),
                _ => None,
            };
            let Some(key) = owner else { continue };
            found.insert((key, is_previous(&container.name)), container.seen.clone());
        }
        for (key, _) in found.keys() {
            if !self.slots.contains_key(key) {
                let status = ReplicaStatus::new(key.clone(), &self.name, self.me, clock);
                self.slots.insert(key.clone(), Slot::new(status));
                self.dirty.insert(key.clone());
            }
        }
        for (key, slot) in &mut self.slots {
            if slot.is_changing() {
                continue;
            }
            let main = found.remove(&(key.clone(), false));
            let previous = found.remove(&(key.clone(), true));
            if self.was_down && main.as_ref().is_some_and(Seen::ended) {
                slot.replica.memory.forgive();
            }
            if slot.replica.main != main || slot.replica.previous != previous {
                slot.replica.main = main;
                slot.replica.previous = previous;
                self.dirty.insert(key.clone());
            }
        }
        self.was_down = false;
        if self.engine_down.take().is_some() {
            self.node_news = true;
            self.dirty.extend(self.slots.keys().cloned());
        }
    }

    /// Looks at one replica and does what its plan says.
    fn visit(&mut self, key: &ReplicaKey, clock: Timestamp, mirror: &Mirror, cx: &mut Context<'_>) {
        let assignment = mirror.assignments.get(key).map(|(it, _)| it);
        let uid = mirror.objects.get(&key.object()).map(|it| it.uid.as_str());
        let is_wanted =
            assignment.is_some_and(|it| it.node == Some(self.me) && Some(it.uid.as_str()) == uid);
        if !is_wanted && !self.slots.contains_key(key) {
            return;
        }
        if !self.slots.contains_key(key) {
            let mut status = ReplicaStatus::new(key.clone(), &self.name, self.me, clock);
            status.restart_token = mirror.restarts.get(key).cloned().unwrap_or_default();
            self.slots.insert(key.clone(), Slot::new(status));
        }
        let wanted = self.wanted(key, mirror, cx.bug);
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.replica.wanted = wanted;
        slot.replica.engine_down.clone_from(&self.engine_down);
        let Plan { action, cancel, passed, wake_at, gone } = plan(clock, &mut slot.replica);
        slot.wake_at = wake_at;
        for (state, reason) in passed {
            let why = reason.map(|it| format!(" ({})", it.message)).unwrap_or_default();
            cx.tell(self.me, || format!("{key} {state}{why}"));
        }
        if cancel && slot.job.take().is_some() {
            let kind = slot.replica.busy.as_ref().map(|(kind, _)| *kind);
            let problem = Problem {
                kind: ProblemKind::Cancelled,
                code: "Cancelled".to_owned(),
                message: "no longer needed".to_owned(),
            };
            if let Some(kind) = kind {
                settle(clock, &mut slot.replica, kind, Outcome::Failed(problem));
            }
            self.dirty.insert(key.clone());
        }
        if gone {
            self.slots.remove(key);
            self.news.insert(key.clone(), None);
            return;
        }
        if let Some(action) = action {
            cx.tell(self.me, || format!("{key}: {action}"));
            self.jobs += 1;
            slot.job = Some(self.jobs);
            let (kind, what) = What::of(action);
            let job = Job { kind, number: self.jobs, what };
            cx.out.push(Out::Engine { node: self.me, key: key.clone(), job });
        }
        let status = &slot.replica.status;
        if slot.reported.as_ref() != Some(status) {
            slot.reported = Some(status.clone());
            self.news.insert(key.clone(), Some(status.clone()));
        }
    }

    /// The engine did, or did not do, what it was asked to.
    pub(crate) fn done(&mut self, key: &ReplicaKey, job: &Job, outcome: Outcome, clock: Timestamp) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        if slot.job != Some(job.number) {
            return;
        }
        slot.job = None;
        if let Outcome::Failed(problem) = &outcome
            && (problem.code == "Conflict" || job.kind != ActionKind::Readiness)
        {
            // Perhaps it was done, or something is there that nobody told of.
            self.list_at = 0;
        }
        settle(clock, &mut slot.replica, job.kind, outcome);
        self.dirty.insert(key.clone());
    }

    /// The next report, if there is one and none is under way.
    pub(crate) fn report(&mut self, now: Ms, facts: &NodeStatus) -> Option<Command> {
        if self.reporting.is_some() || now < self.report_at {
            return None;
        }
        if self.news.is_empty() && !self.node_news {
            return None;
        }
        let mut txn = Txn::new();
        if std::mem::take(&mut self.node_news) {
            let engine_ready = self.engine_down.is_none();
            let facts = NodeStatus { engine_ready, ..facts.clone() };
            txn = txn.then(Op::put(keyspace::node(self.me), json(&facts)));
        }
        let news = std::mem::take(&mut self.news);
        for (key, status) in &news {
            let path = keyspace::status(key, self.me);
            txn = txn.then(match status {
                Some(status) => Op::put(path, json(status)),
                None => Op::delete(path),
            });
        }
        self.reporting = Some((0, news));
        Some(Command::Txn(txn))
    }

    /// The report under way was stored, or perhaps not.
    pub(crate) fn reported(&mut self, now: Ms, stored: bool) {
        let Some((_, news)) = self.reporting.take() else { return };
        if !stored {
            for (key, status) in news {
                self.news.entry(key).or_insert(status);
            }
            self.node_news = true;
            self.report_at = now + 200;
        }
    }

    /// Whether everything was reported.
    pub(crate) fn is_idle(&self) -> bool {
        self.news.is_empty() && self.reporting.is_none()
    }
}

impl Slot {
    fn new(status: ReplicaStatus) -> Self {
        let replica = Replica {
            wanted: None,
            main: None,
            init: None,
            previous: None,
            status,
            memory: Memory::default(),
            busy: None,
            engine_down: None,
            last_stop_timeout: None,
        };
        Self { replica, rendering: None, job: None, wake_at: None, reported: None }
    }

    /// An action is under way that makes, renames or removes containers.
    fn is_changing(&self) -> bool {
        let looks_only = |kind: &ActionKind| {
            matches!(kind, ActionKind::Pull(_) | ActionKind::Readiness | ActionKind::Liveness)
        };
        self.replica.busy.as_ref().is_some_and(|(kind, _)| !looks_only(kind))
    }
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records are plain data")
}

/// The mistake: a name is taken for a label.
fn by_name(name: &str) -> Option<ReplicaKey> {
    let [group, object, index] = name.split('-').collect::<Vec<_>>().try_into().ok()?;
    Some(ReplicaKey::new(group, object, index.parse().ok()?))
}
