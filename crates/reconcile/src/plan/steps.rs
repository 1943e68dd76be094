//! The steps between nothing and a running container, and what follows a death.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use smr_model::{
    ImageState, Reason, ReplicaState,
    spec::{PullPolicy, RestartPolicy},
};

use super::{Action, Plan, Replica, Target, Wanted, action::Role, replace::PREVIOUS, span};
use crate::{
    backoff::{crash_delay, retry_delay},
    dependencies::DependencyState,
    seen::Seen,
};

/// A run this long counts as healthy: the next death starts the count anew.
const HEALTHY_RUN: SignedDuration = SignedDuration::from_mins(10);
/// This many quick deaths in a row are called a crash loop.
const CRASH_LOOP: u32 = 6;

/// The states between acceptance and start, in their order.
const LADDER: [ReplicaState; 7] = [
    ReplicaState::Created,
    ReplicaState::Clean,
    ReplicaState::Prepare,
    ReplicaState::DependsChecking,
    ReplicaState::DependsSolved,
    ReplicaState::Init,
    ReplicaState::Start,
];
const PREPARE: usize = 2;

/// What has to happen before a container can be created.
enum PullStep {
    /// Nothing.
    Create,
    /// The image has to be pulled.
    Pull,
    /// It must not be pulled and is not there; the failure is shown already.
    Failed,
}

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) now: Timestamp,
    pub(super) replica: &'a mut Replica,
    pub(super) plan: Plan,
}

impl<'a> Planner<'a> {
    pub(super) fn new(now: Timestamp, replica: &'a mut Replica) -> Self {
        Self { now, replica, plan: Plan::default() }
    }

    pub(super) fn finish(self) -> Plan {
        self.plan
    }

    /// Goes into a state. Being there already changes nothing but the reason.
    pub(super) fn enter(&mut self, state: ReplicaState, reason: Option<Reason>) {
        let status = &mut self.replica.status;
        if status.state != state {
            status.state = state;
            status.since = self.now;
            self.plan.passed.push((state, reason.clone()));
        }
        self.replica.status.reason = reason;
    }

    pub(super) fn enter_keeping_reason(&mut self, state: ReplicaState) {
        let reason = self.replica.status.reason.clone();
        self.enter(state, reason);
    }

    /// Goes up the ladder to `target`, telling every rung on the way.
    pub(super) fn climb(&mut self, target: ReplicaState) {
        let rung = |state| LADDER.iter().position(|&s| s == state);
        let top = rung(target).expect("only states of the ladder are climbed to");
        let next = match rung(self.replica.status.state) {
            Some(here) if here >= top => return,
            Some(here) => (here + 1).max(PREPARE),
            None => PREPARE,
        };
        for &state in LADDER.get(next..=top).unwrap_or_default() {
            if state != ReplicaState::Init || target == ReplicaState::Init {
                self.enter(state, None);
            }
        }
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.plan.wake_at = self.plan.wake_at.into_iter().chain([at]).min();
    }

    pub(super) fn act(&mut self, action: Action, hash: &str) {
        self.replica.busy = Some((action.kind(), hash.to_owned()));
        self.plan.action = Some(action);
    }

    /// Whether a delay after a failure is still running.
    pub(super) fn waits_for_retry(&mut self) -> bool {
        match self.replica.status.retry_at {
            Some(at) if at > self.now => {
                self.wake_at(at);
                true
            }
            Some(_) => {
                self.replica.status.retry_at = None;
                false
            }
            None => false,
        }
    }

    /// A wish of the user does not sit out the delays of what went wrong before it.
    pub(super) fn forget_delays_once(&mut self, wish: &str) {
        if self.replica.memory.wish != wish {
            wish.clone_into(&mut self.replica.memory.wish);
            self.replica.memory.failures = 0;
            self.replica.memory.problem = None;
            self.replica.status.retry_at = None;
        }
    }

    pub(super) fn has_containers(&self) -> bool {
        let Replica { main, init, previous, .. } = &*self.replica;
        main.is_some() || init.is_some() || previous.is_some()
    }

    /// Ends and removes the containers of the replica; one from before that serves meanwhile stays.
    pub(super) fn remove_all(&mut self, clean: bool) {
        if self.waits_for_retry() {
            return;
        }
        if clean {
            self.enter(ReplicaState::Clean, None);
        }
        let previous = self.replica.previous.as_ref().filter(|_| !self.keeps_previous());
        let containers = [self.replica.main.as_ref(), self.replica.init.as_ref(), previous];
        let ids = containers.into_iter().flatten().map(|seen| seen.id.clone()).collect();
        let target = self.replica.wanted.as_ref().and_then(|w| w.target.as_ref().ok()).cloned();
        // A replica that is not wanted has no rendered form any more: its container's own stop
        // settings, which the engine knows, apply.
        let timeout =
            target.as_ref().map_or(self.replica.stop_timeout(), |t| t.rendered.stop_timeout);
        let signal = target.map(|t| t.rendered.main.stop_signal.clone()).unwrap_or_default();
        let hash = self.target_hash();
        self.replica.memory.ready_id = None;
        self.replica.memory.kill = None;
        self.replica.memory.pulled = false;
        self.replica.memory.image_missing = false;
        self.act(Action::Remove { ids, signal, timeout }, &hash);
    }

    fn remove_init(&mut self, id: String, hash: &str) {
        let timeout = self.replica.stop_timeout();
        self.act(Action::Remove { ids: vec![id], signal: String::new(), timeout }, hash);
    }

    fn target_hash(&self) -> String {
        let target = self.replica.wanted.as_ref().and_then(|w| w.target.as_ref().ok());
        target.map(|t| t.main_hash.clone()).unwrap_or_default()
    }

    /// The old containers are gone: the restart that was asked for is done, counters begin anew.
    pub(super) fn restart_done(&mut self, token: &str) {
        token.clone_into(&mut self.replica.status.restart_token);
        self.replica.status.retry_at = None;
        self.replica.status.quick_deaths = 0;
        self.replica.memory = super::Memory::default();
        self.enter(ReplicaState::Restarting, None);
    }

    /// There is no main container yet.
    pub(super) fn create(&mut self, wanted: &Wanted, target: &Arc<Target>) {
        let rests =
            matches!(self.replica.status.state, ReplicaState::Completed | ReplicaState::Failed);
        if rests && self.replica.status.spec_hash == target.main_hash {
            return;
        }
        if self.waits_for_retry() {
            return;
        }
        if let Some(transfer) = &wanted.transfer {
            return self.wait_in(ReplicaState::Transfering, transfer);
        }
        if let Some(missing) = &wanted.missing {
            return self.pend(missing);
        }
        if let DependencyState::Waiting { message, timeout } = &wanted.dependencies {
            return self.wait_for_dependencies(message, *timeout);
        }
        self.replica.memory.depends_since = None;
        if let Some(init) = &target.rendered.init
            && !self.init_is_done(target, init, wanted.generation)
        {
            return;
        }
        self.climb(ReplicaState::Start);
        let rendered = &target.rendered;
        let (image, auth, pull) = (&rendered.main.image, &rendered.auth, rendered.pull);
        match self.pull_step(pull, Role::Main, image) {
            PullStep::Create => {}
            PullStep::Failed => return,
            PullStep::Pull => {
                let (image, auth) = (image.clone(), auth.clone());
                let pull = Action::Pull { role: Role::Main, image, auth };
                return self.act(pull, &target.main_hash);
            }
        }
        if let Some(former) = &self.replica.main {
            let aside = Action::SetAside {
                id: former.id.clone(),
                name: format!("{}{PREVIOUS}", rendered.main.name),
                image: image.clone(),
            };
            return self.act(aside, &target.main_hash);
        }
        let create = Action::Create {
            role: Role::Main,
            spec: Box::new(rendered.main.clone()),
            hash: target.main_hash.clone(),
            generation: wanted.generation,
        };
        self.act(create, &target.main_hash);
    }

    /// Waits for something that is not there; waiting already only renews the reason.
    pub(super) fn pend(&mut self, reason: &Reason) {
        self.wait_in(ReplicaState::Pending, reason);
    }

    fn wait_in(&mut self, state: ReplicaState, reason: &Reason) {
        if self.replica.status.state != state {
            self.climb(ReplicaState::Prepare);
        }
        self.enter(state, Some(reason.clone()));
    }

    fn wait_for_dependencies(&mut self, message: &str, timeout: std::time::Duration) {
        let since = *self.replica.memory.depends_since.get_or_insert(self.now);
        let late = since + span(timeout);
        if late > self.now {
            self.climb(ReplicaState::DependsChecking);
            self.replica.status.reason = Some(Reason::new("DependencyNotReady", message));
            self.wake_at(late);
        } else {
            let message = format!("{message}; still waiting after {} s", timeout.as_secs());
            if self.replica.status.state != ReplicaState::DependsFailed {
                self.climb(ReplicaState::DependsChecking);
            }
            self.enter(
                ReplicaState::DependsFailed,
                Some(Reason::new("DependencyTimeout", message)),
            );
        }
    }

    fn pull_step(&mut self, policy: PullPolicy, role: Role, image: &str) -> PullStep {
        let memory = &mut self.replica.memory;
        let needed = match policy {
            PullPolicy::Always => !memory.pulled,
            PullPolicy::IfNotPresent => memory.image_missing,
            PullPolicy::Never if memory.image_missing => {
                memory.image_missing = false;
                let message =
                    format!("image `{image}` is not on this node and pullPolicy is Never");
                self.fail(Reason::new("ImageMissing", message));
                self.replica.status.image_state = ImageState::Failed;
                return PullStep::Failed;
            }
            PullPolicy::Never => false,
        };
        if needed && role == Role::Main {
            self.replica.status.image_state = ImageState::Pulling;
        }
        if needed { PullStep::Pull } else { PullStep::Create }
    }

    /// Shows a failure found while planning and sets the delay after it.
    fn fail(&mut self, reason: Reason) {
        self.replica.memory.failures += 1;
        let name = self.replica.status.key.generated_name();
        let at = self.now + span(retry_delay(self.replica.memory.failures, &name));
        self.replica.status.retry_at = Some(at);
        self.enter(ReplicaState::DaemonFailure, Some(reason));
        self.wake_at(at);
    }

    /// Brings the init container to its end. Whether it has ended well.
    fn init_is_done(
        &mut self,
        target: &Arc<Target>,
        spec: &smr_model::ContainerSpec,
        generation: u64,
    ) -> bool {
        let Some(init) = self.replica.init.clone() else {
            self.climb(ReplicaState::Init);
            match self.pull_step(target.rendered.init_pull, Role::Init, &spec.image) {
                PullStep::Failed => {}
                PullStep::Pull => {
                    let auth = target.rendered.init_auth.clone();
                    let pull = Action::Pull { role: Role::Init, image: spec.image.clone(), auth };
                    self.act(pull, &target.main_hash);
                }
                PullStep::Create => {
                    let create = Action::Create {
                        role: Role::Init,
                        spec: Box::new(spec.clone()),
                        hash: target.init_hash.clone(),
                        generation,
                    };
                    self.act(create, &target.main_hash);
                }
            }
            return false;
        };
        if init.spec_hash != target.init_hash {
            self.remove_init(init.id, &target.main_hash);
            return false;
        }
        if init.runs() {
            self.climb(ReplicaState::Init);
            return false;
        }
        if !init.ended() {
            if self.replica.memory.start_failed.as_ref() == Some(&init.id) {
                self.remove_init(init.id, &target.main_hash);
                return false;
            }
            self.climb(ReplicaState::Init);
            self.act(Action::Start { role: Role::Init, id: init.id }, &target.main_hash);
            return false;
        }
        if init.exit_code == Some(0) {
            return true;
        }
        if self.replica.status.state == ReplicaState::InitFailed {
            // The delay is over: once more, from the beginning.
            self.remove_init(init.id, &target.main_hash);
        } else {
            self.climb(ReplicaState::Init);
            let message = format!("the init container {}", exit_text(&init));
            self.replica.memory.failures += 1;
            let name = self.replica.status.key.generated_name();
            let at = self.now + span(retry_delay(self.replica.memory.failures, &name));
            self.replica.status.retry_at = Some(at);
            self.enter(ReplicaState::InitFailed, Some(Reason::new("InitFailed", message)));
            self.wake_at(at);
        }
        false
    }

    /// The main process has ended.
    pub(super) fn ended(&mut self, target: &Arc<Target>, main: &Seen) {
        let state = self.replica.status.state;
        let accounted = matches!(
            state,
            ReplicaState::Dead
                | ReplicaState::Backoff
                | ReplicaState::Completed
                | ReplicaState::Failed
        );
        if !accounted {
            self.account_death(target, main);
        }
        if matches!(self.replica.status.state, ReplicaState::Completed | ReplicaState::Failed) {
            return;
        }
        if self.waits_for_retry() {
            return;
        }
        self.replica.status.restarts += 1;
        self.remove_all(false);
    }

    fn account_death(&mut self, target: &Arc<Target>, main: &Seen) {
        let killed = self.replica.memory.kill.take();
        self.replica.status.ready = false;
        let text = format!("the main process {}", exit_text(main));
        let policy = target.rendered.restart;
        let well = main.exit_code == Some(0) && killed.is_none();
        if policy != RestartPolicy::Always && well {
            return self.enter(ReplicaState::Completed, Some(Reason::new("Completed", text)));
        }
        let reason = match killed {
            Some((_, reason)) => reason,
            None => Reason::new("Exited", text.clone()),
        };
        self.enter(ReplicaState::Dead, Some(reason.clone()));
        if policy == RestartPolicy::Never && !self.replica.memory.forgiven {
            return self.enter(ReplicaState::Failed, Some(reason));
        }
        if std::mem::take(&mut self.replica.memory.forgiven) {
            return;
        }
        let ran = match (main.started_at, main.finished_at) {
            (Some(start), Some(end)) => end.duration_since(start),
            _ => SignedDuration::ZERO,
        };
        let status = &mut self.replica.status;
        status.quick_deaths = if ran < HEALTHY_RUN { status.quick_deaths + 1 } else { 1 };
        let deaths = status.quick_deaths;
        let delay = crash_delay(deaths, &status.key.generated_name());
        if !delay.is_zero() {
            status.retry_at = Some(self.now + span(delay));
        }
        if deaths >= CRASH_LOOP {
            let message = format!(
                "{} ({deaths} times in a row); started again in {:.1} s",
                reason.message,
                delay.as_secs_f64()
            );
            self.enter(ReplicaState::Backoff, Some(Reason::new("CrashLoop", message)));
        }
    }
}

impl Replica {
    /// Grace time of a stop when the definition is not at hand any more.
    fn stop_timeout(&self) -> std::time::Duration {
        self.last_stop_timeout.unwrap_or(std::time::Duration::from_secs(10))
    }
}

fn exit_text(seen: &Seen) -> String {
    match seen.exit_code {
        _ if seen.oom_killed => "was killed for want of memory".to_owned(),
        Some(code) => format!("ended with exit code {code}"),
        None => "ended".to_owned(),
    }
}
