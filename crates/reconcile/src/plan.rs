//! One replica: what is it now, and what is to be done next.
//!
//! [`plan`] is level-triggered: it looks at the whole of one replica and never asks how it came to
//! be so. What an action brought is put into the replica by [`settle`], then `plan` looks again.

mod action;
mod replace;
mod settle;
mod steps;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use smr_model::{EngineState, Reason, ReplicaState, ReplicaStatus, spec::UpdateOrder};

pub use action::{Action, ActionKind, Outcome, Problem, ProblemKind, Role};
pub use replace::{PREVIOUS, is_previous};
pub use settle::settle;
use steps::Planner;

use crate::{dependencies::DependencyState, render::Rendered, seen::Seen};

/// What a replica should be.
#[derive(Clone)]
pub struct Wanted {
    /// Generation of the object.
    pub generation: u64,
    /// What to create, or why that cannot be said yet.
    pub target: Result<Arc<Target>, Reason>,
    /// Set while another node still runs the replica and has to stop first.
    pub transfer: Option<Reason>,
    /// Set while a network or volume it needs is not there yet.
    pub missing: Option<Reason>,
    /// How a container made from another definition is replaced.
    pub order: UpdateOrder,
    /// Changes when a restart is asked for.
    pub restart_token: String,
    /// Whether it may start.
    pub dependencies: DependencyState,
    /// `<group>.<name>` of its dependencies, for tables.
    pub dependency_names: Vec<String>,
}

/// A rendered replica and the digests of its containers.
pub struct Target {
    /// What to create.
    pub rendered: Rendered,
    /// Digest of the main container's specification.
    pub main_hash: String,
    /// Digest of the init container's specification; empty without one.
    pub init_hash: String,
}

/// What is remembered of a replica besides its status. Losing it (a restart of smr) costs time,
/// never correctness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Since when dependencies are being waited for.
    pub(crate) depends_since: Option<Timestamp>,
    /// The engine said it does not have the image.
    pub(crate) image_missing: bool,
    /// The image was pulled for the attempt under way.
    pub(crate) pulled: bool,
    /// Failures in a row of the attempt under way.
    pub(crate) failures: u32,
    /// Digest the failures are about; another one is tried at once.
    pub(crate) failed_hash: String,
    /// Container whose start failed. The engine may keep something of the attempt that makes every
    /// further start fail, so a new one is made instead.
    pub(crate) start_failed: Option<String>,
    /// A failure not shown in the status yet.
    pub(crate) problem: Option<Reason>,
    /// The running container has to end, because of this.
    pub(crate) kill: Option<(ReplicaState, Reason)>,
    /// When readiness is checked again after a check that could not be made.
    pub(crate) check_at: Option<Timestamp>,
    /// Container whose readiness checks succeeded.
    pub(crate) ready_id: Option<String>,
    /// Liveness failures in a row.
    pub(crate) liveness_failures: u32,
    /// When liveness is checked next.
    pub(crate) liveness_at: Option<Timestamp>,
    /// The wish for whose sake delays were dropped; each does so once, so that a failing removal
    /// still backs off.
    pub(crate) wish: String,
    /// Container that was ready when another definition came: it serves until the next one does.
    pub(crate) serves: Option<String>,
    /// The replica was looked at since smr started. Before, nobody knows whether what runs was ready
    /// before another definition came.
    pub(crate) looked: bool,
    /// Digest for whose sake the running container is being replaced.
    pub(crate) replacing: String,
    /// How often the container from before was started again, and when it may be once more.
    pub(crate) revived: (u32, Option<Timestamp>),
    /// Container from before that did not start again.
    pub(crate) revive_failed: Option<String>,
    /// When the removal of the container from before is tried again.
    pub(crate) retire_at: Option<Timestamp>,
    /// Failures of that in a row.
    pub(crate) retire_failures: u32,
    /// The engine was away: deaths found now are not the replica's fault.
    pub(crate) forgiven: bool,
}

impl Memory {
    /// Deaths that are found next do not count towards a crash loop: the engine itself was away.
    pub fn forgive(&mut self) {
        self.forgiven = true;
    }
}

/// Everything known about one replica.
pub struct Replica {
    /// What it should be; `None` when it should not exist.
    pub wanted: Option<Wanted>,
    /// Its main container.
    pub main: Option<Seen>,
    /// Its init container.
    pub init: Option<Seen>,
    /// The main container from before, set aside while the next one is brought up.
    pub previous: Option<Seen>,
    /// Its status so far.
    pub status: ReplicaStatus,
    /// What else is remembered.
    pub memory: Memory,
    /// The action under way, with the digest it was begun for.
    pub busy: Option<(ActionKind, String)>,
    /// Why the engine cannot be used, if so.
    pub engine_down: Option<String>,
    /// Grace time of a stop as last rendered, for when the definition is gone.
    pub last_stop_timeout: Option<std::time::Duration>,
}

/// What to do next.
#[derive(Default)]
pub struct Plan {
    /// The one action to begin.
    pub action: Option<Action>,
    /// The action under way is pointless now.
    pub cancel: bool,
    /// States passed through, oldest first; each becomes an event.
    pub passed: Vec<(ReplicaState, Option<Reason>)>,
    /// When time alone could change the answer.
    pub wake_at: Option<Timestamp>,
    /// Nothing is left of the replica: its status can be removed.
    pub gone: bool,
}

/// Code of a reason that says something referred to does not exist.
pub(crate) const MISSING: &str = "MissingObject";

/// Looks at `replica` at the time `now`, brings its status and memory up to date, and says what to
/// do next. The same replica at the same time gives the same plan; a replica in which nothing
/// changed gives no transition and no second action.
pub fn plan(now: Timestamp, replica: &mut Replica) -> Plan {
    let mut planner = Planner::new(now, replica);
    planner.observe();
    planner.decide();
    planner.tell_what_serves();
    planner.finish()
}

impl Planner<'_> {
    /// Copies what the engine says into the status.
    fn observe(&mut self) {
        let replica = &mut *self.replica;
        let status = &mut replica.status;
        match &replica.main {
            // Whoever cannot look does not know: what was seen last stays in the status.
            _ if replica.engine_down.is_some() => {}
            Some(main) => {
                if status.container_id != main.id {
                    status.container_id.clone_from(&main.id);
                    status.ready = false;
                    status.exit_code = None;
                }
                status.spec_hash.clone_from(&main.spec_hash);
                status.engine_state = Some(main.state);
                status.started_at = main.started_at.or(status.started_at);
                if !main.runs() {
                    status.ready = false;
                }
                if main.ended() {
                    status.exit_code = main.exit_code;
                }
            }
            None => {
                status.ready = false;
                status.addresses.clear();
                let previous = replica.previous.as_ref();
                status.engine_state = previous.map(|previous| previous.state);
                status.container_id = previous.map(|it| it.id.clone()).unwrap_or_default();
            }
        }
        let Some(wanted) = &replica.wanted else { return };
        status.dependencies.clone_from(&wanted.dependency_names);
        let has_containers = replica.main.is_some() || replica.previous.is_some();
        match &wanted.target {
            Ok(target) => {
                status.generation = wanted.generation;
                status.image.clone_from(&target.rendered.main.image);
                status.ports.clone_from(&target.rendered.ports);
            }
            // What is there is of the generation it was made for.
            Err(_) if has_containers && status.generation != 0 => {}
            Err(_) => status.generation = wanted.generation,
        }
        self.look_at_former();
    }

    fn decide(&mut self) {
        let Some(wanted) = self.replica.wanted.clone() else {
            return self.unwanted();
        };
        if let Some((kind, hash)) = &self.replica.busy {
            let ended = matches!(kind, ActionKind::Readiness | ActionKind::Liveness)
                && !self.replica.main.as_ref().is_some_and(Seen::runs);
            let stale = ended
                || wanted.restart_token != self.replica.status.restart_token
                || wanted.target.as_ref().is_ok_and(|t| t.main_hash != *hash);
            self.plan.cancel = stale && kind.is_cancellable();
            if *kind == ActionKind::Retire
                && let Ok(target) = &wanted.target
            {
                self.expect_replacement(target);
            }
            return;
        }
        if self.engine_is_down() {
            return;
        }
        if let Some(problem) = self.replica.memory.problem.take() {
            // Something it refers to is missing: that is waiting, not a failure.
            let state = if problem.code == MISSING {
                ReplicaState::Pending
            } else {
                ReplicaState::DaemonFailure
            };
            self.enter(state, Some(problem));
        }
        if wanted.restart_token != self.replica.status.restart_token {
            self.forget_delays_once(&format!("restart {}", wanted.restart_token));
            if self.replica.main.is_some() || self.replica.init.is_some() {
                self.enter(ReplicaState::Restarting, None);
                return self.remove_all(true);
            }
            self.restart_done(&wanted.restart_token);
        }
        match &wanted.target {
            Ok(target) => self.towards(&wanted, target),
            Err(reason) => self.without_target(reason),
        }
    }

    /// The replica should not exist.
    fn unwanted(&mut self) {
        if let Some((kind, _)) = &self.replica.busy {
            self.plan.cancel = kind.is_cancellable();
            return;
        }
        // While the engine is away it may have a container nobody has told of.
        if !self.has_containers() && self.replica.engine_down.is_none() {
            self.plan.gone = true;
            return;
        }
        self.forget_delays_once("delete");
        if let Some(problem) = self.replica.memory.problem.take() {
            self.enter(ReplicaState::Delete, Some(problem));
        }
        self.enter_keeping_reason(ReplicaState::Delete);
        if self.engine_is_down() {
            return;
        }
        if self.waits_for_retry() {
            return;
        }
        self.remove_all(false);
    }

    fn engine_is_down(&mut self) -> bool {
        let Some(why) = self.replica.engine_down.clone() else {
            if self.replica.status.reason.as_ref().is_some_and(|r| r.code == "EngineUnavailable") {
                self.replica.status.reason = None;
            }
            return false;
        };
        self.replica.status.engine_state = None;
        self.replica.status.reason = Some(Reason::new("EngineUnavailable", why));
        true
    }

    /// It cannot be said what to create: what runs goes on, what does not run waits.
    fn without_target(&mut self, reason: &Reason) {
        if self.replica.runs() {
            let message = format!("{}; the running container is kept", reason.message);
            self.replica.status.reason = Some(Reason::new(reason.code.clone(), message));
            return;
        }
        let rests =
            matches!(self.replica.status.state, ReplicaState::Completed | ReplicaState::Failed);
        if !rests {
            self.pend(reason);
        }
    }

    fn towards(&mut self, wanted: &Wanted, target: &Arc<Target>) {
        // A corrected definition does not sit out the delay of the wrong one.
        if self.replica.memory.failed_hash != target.main_hash {
            self.replica.memory.failed_hash.clone_from(&target.main_hash);
            self.replica.memory.failures = 0;
            // What is known of an image is known of that of the other definition.
            self.replica.memory.image_missing = false;
            self.replica.memory.pulled = false;
            if self.replica.status.state == ReplicaState::DaemonFailure {
                self.replica.status.retry_at = None;
            }
        }
        if self.settles_previous(wanted, target) {
            return;
        }
        let Some(main) = self.replica.main.clone() else {
            return self.create(wanted, target);
        };
        if main.spec_hash != target.main_hash
            || matches!(main.state, EngineState::Dead | EngineState::Removing)
        {
            self.forget_delays_once(&format!("replace by {}", target.main_hash));
            if self.starts_first(wanted, &main) {
                return self.replace_later(wanted, target);
            }
            self.enter(ReplicaState::Created, None);
            self.replica.status.quick_deaths = 0;
            return self.remove_all(true);
        }
        match main.state {
            EngineState::Created => {
                if self.replica.memory.start_failed.as_ref() == Some(&main.id) {
                    return self.remove_all(false);
                }
                if !self.waits_for_retry() {
                    self.climb(ReplicaState::Start);
                    self.act(Action::Start { role: Role::Main, id: main.id }, &target.main_hash);
                }
            }
            EngineState::Exited | EngineState::Dead | EngineState::Removing => {
                self.ended(target, &main);
            }
            EngineState::Running | EngineState::Paused | EngineState::Restarting => {
                self.runs(target, &main);
            }
        }
    }

    /// The main container runs: is it ready, and is it alive?
    fn runs(&mut self, target: &Arc<Target>, main: &Seen) {
        self.replica.status.image_state = smr_model::ImageState::Pulled;
        self.replica.memory.replacing.clear();
        if let Some((state, reason)) = self.replica.memory.kill.clone() {
            // The engine may have refused to stop it.
            if self.waits_for_retry() {
                return;
            }
            self.enter(state, Some(reason.clone()));
            self.enter(ReplicaState::Kill, Some(reason));
            let stop = Action::Stop {
                id: main.id.clone(),
                timeout: target.rendered.stop_timeout,
                signal: target.rendered.main.stop_signal.clone(),
            };
            return self.act(stop, &target.main_hash);
        }
        self.replica.status.retry_at = None;
        let ready = self.replica.status.ready
            || target.rendered.readiness.is_empty()
            || self.replica.memory.ready_id.as_deref() == Some(main.id.as_str());
        if !ready {
            self.enter(ReplicaState::ReadinessCheck, None);
            if let Some(at) = self.replica.memory.check_at.filter(|at| *at > self.now) {
                return self.wake_at(at);
            }
            let probe = Action::Readiness { id: main.id.clone(), target: Arc::clone(target) };
            return self.act(probe, &target.main_hash);
        }
        if !self.replica.status.ready || self.replica.status.state != ReplicaState::Running {
            if !self.replica.status.ready {
                self.enter(ReplicaState::ReadinessCheck, None);
                self.enter(ReplicaState::ReadinessReady, None);
            }
            self.replica.status.ready = true;
            self.replica.memory.failures = 0;
            self.replica.memory.liveness_failures = 0;
            self.replica.memory.liveness_at = None;
            self.enter(ReplicaState::Running, None);
        }
        // A reason that no longer holds (a template failed meanwhile) must not stay.
        self.replica.status.reason = None;
        if self.replica.previous.is_some() && self.retires(target) {
            return;
        }
        let Some(interval) = target.rendered.liveness.iter().map(|p| p.interval).min() else {
            return;
        };
        let due = *self.replica.memory.liveness_at.get_or_insert(self.now + span(interval));
        if due > self.now {
            return self.wake_at(due);
        }
        self.replica.memory.liveness_at = None;
        let probe = Action::Liveness { id: main.id.clone(), target: Arc::clone(target) };
        self.act(probe, &target.main_hash);
    }
}

/// A std duration as a signed one; absurdly long ones are cut.
pub(crate) fn span(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_hours(24 * 365))
}

#[cfg(test)]
mod tests;
