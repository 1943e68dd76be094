//! Replacing a container by one made from another definition without a gap: the next one is brought
//! up beside it, and it goes only when the next one is ready.
//!
//! Which of two containers is which is told by their names: the one that was set aside is called
//! `<name>.previous`. So a crash of smr at any point leaves nothing that has to be remembered.

use std::sync::Arc;

use smr_model::{
    EngineState, Reason, ReplicaState,
    spec::{RestartPolicy, UpdateOrder},
};

use super::{Action, Replica, Target, Wanted, span, steps::Planner};
use crate::{backoff::crash_delay, seen::Seen};

/// What the name of a container that was set aside ends with.
pub const PREVIOUS: &str = ".previous";
/// Code of the reason that tells that the container from before serves.
const SERVES: &str = "PreviousServes";
const TOLD: &str = "the container from before goes on until the new one is ready";

/// Whether a container of this name was set aside.
pub fn is_previous(name: &str) -> bool {
    name.ends_with(PREVIOUS)
}

impl Replica {
    /// Whether a container of the replica runs, the one from before included.
    pub fn runs(&self) -> bool {
        [&self.main, &self.previous].into_iter().flatten().any(Seen::runs)
    }
}

impl Planner<'_> {
    /// Another definition is wanted than the running container was made from: what was ready is not
    /// what is wanted.
    pub(super) fn look_at_former(&mut self) {
        let Replica { wanted, main, status, memory, engine_down, .. } = &mut *self.replica;
        if engine_down.is_some() {
            return;
        }
        if let Some(Ok(target)) = wanted.as_ref().map(|wanted| &wanted.target)
            && let Some(main) = main
            && main.spec_hash != target.main_hash
        {
            if status.ready || !memory.looked {
                memory.serves = Some(main.id.clone());
            }
            status.ready = false;
        }
        memory.looked = true;
    }

    /// Whether the next container is to be ready before this one goes.
    pub(super) fn starts_first(&self, wanted: &Wanted, main: &Seen) -> bool {
        let memory = &self.replica.memory;
        wanted.order == UpdateOrder::StartFirst
            && main.state == EngineState::Running
            && memory.serves.as_ref() == Some(&main.id)
            && memory.kill.is_none()
            && self.replica.previous.is_none()
    }

    /// Brings up the next container while the running one keeps its place.
    pub(super) fn replace_later(&mut self, wanted: &Wanted, target: &Arc<Target>) {
        self.expect_replacement(target);
        self.create(wanted, target);
    }

    /// The running container is no longer the one that is wanted, and nobody is to take it for that.
    pub(super) fn expect_replacement(&mut self, target: &Arc<Target>) {
        let is_former = |main: &Seen| main.spec_hash != target.main_hash;
        if self.replica.memory.replacing != target.main_hash
            && self.replica.main.as_ref().is_some_and(is_former)
        {
            self.replica.memory.replacing.clone_from(&target.main_hash);
            self.replica.status.quick_deaths = 0;
            self.enter(ReplicaState::Created, None);
        }
    }

    /// Whether the container from before stays when the others are removed.
    pub(super) fn keeps_previous(&self) -> bool {
        let first = |wanted: &Wanted| wanted.order == UpdateOrder::StartFirst;
        self.replica.wanted.as_ref().is_some_and(first)
            && self.replica.previous.as_ref().is_some_and(Seen::runs)
    }

    /// Does what has to be done about a container from before at once. Whether nothing else is to be
    /// done now.
    pub(super) fn settles_previous(&mut self, wanted: &Wanted, target: &Arc<Target>) -> bool {
        let Some(previous) = self.replica.previous.clone() else { return false };
        let has_main = self.replica.main.is_some();
        let is_target = |seen: &Seen| seen.spec_hash == target.main_hash;
        let wanted_again = is_target(&previous)
            && previous.state == EngineState::Running
            && !self.replica.main.as_ref().is_some_and(is_target);
        if wanted_again {
            self.take_back(previous, target);
            return true;
        }
        let completed = self.replica.status.state == ReplicaState::Completed;
        let stops_first = wanted.order == UpdateOrder::StopFirst;
        if !stops_first && !completed && self.can_revive(&previous, target) {
            return self.revives(&previous, target);
        }
        if stops_first || completed || !previous.runs() {
            return self.retires(target) || (stops_first && !has_main);
        }
        false
    }

    /// Whether the container from before has ended although nothing else is ready.
    fn can_revive(&self, previous: &Seen, target: &Target) -> bool {
        previous.state == EngineState::Exited
            && !self.replica.status.ready
            && target.rendered.restart == RestartPolicy::Always
            && self.replica.memory.revive_failed.as_ref() != Some(&previous.id)
    }

    /// Starts the container from before again, with the delays of any container that dies. Whether it
    /// does now.
    fn revives(&mut self, previous: &Seen, target: &Arc<Target>) -> bool {
        let name = self.replica.status.key.generated_name();
        let (count, at) = &mut self.replica.memory.revived;
        if let Some(at) = at.filter(|at| *at > self.now) {
            self.wake_at(at);
            return false;
        }
        *count += 1;
        *at = Some(self.now + span(crash_delay(*count + 1, &name)));
        self.act(Action::Revive { id: previous.id.clone() }, &target.main_hash);
        true
    }

    /// The definition from before is wanted again and its container still runs.
    fn take_back(&mut self, previous: Seen, target: &Arc<Target>) {
        self.forget_delays_once(&format!("back to {}", target.main_hash));
        if self.waits_for_retry() {
            return;
        }
        let others = [&self.replica.main, &self.replica.init].into_iter().flatten();
        let ids: Vec<String> = others.map(|seen| seen.id.clone()).collect();
        if ids.is_empty() {
            let name = target.rendered.main.name.clone();
            return self.act(Action::TakeBack { id: previous.id, name }, &target.main_hash);
        }
        self.enter(ReplicaState::Created, None);
        self.enter(ReplicaState::Clean, None);
        self.replica.status.quick_deaths = 0;
        self.replica.memory.ready_id = None;
        self.replica.memory.kill = None;
        let (signal, timeout) = stop_of(target);
        self.act(Action::Remove { ids, signal, timeout }, &target.main_hash);
    }

    /// Removes the container from before, unless that failed a moment ago. Whether it does.
    pub(super) fn retires(&mut self, target: &Arc<Target>) -> bool {
        let Some(previous) = self.replica.previous.clone() else { return false };
        if let Some(at) = self.replica.memory.retire_at.filter(|at| *at > self.now) {
            self.wake_at(at);
            return false;
        }
        let (signal, timeout) = stop_of(target);
        self.act(Action::Retire { id: previous.id, signal, timeout }, &target.main_hash);
        true
    }

    /// While the container from before serves, the status says so.
    pub(super) fn tell_what_serves(&mut self) {
        let replica = &mut *self.replica;
        let former = |seen: &Seen| seen.runs() && replica.memory.serves.as_ref() == Some(&seen.id);
        let target = replica.wanted.as_ref().and_then(|wanted| wanted.target.as_ref().ok());
        let stays = replica.main.as_ref().is_some_and(|main| {
            target.is_some_and(|target| target.main_hash != main.spec_hash) && former(main)
        });
        let set_aside = replica.previous.as_ref().is_some_and(Seen::runs);
        let serves = (stays || set_aside)
            && !replica.status.ready
            && replica.wanted.as_ref().is_some_and(|w| w.order == UpdateOrder::StartFirst)
            && replica.engine_down.is_none();
        let reason = &mut replica.status.reason;
        match reason {
            None if serves => *reason = Some(Reason::new(SERVES, TOLD)),
            Some(it) if it.code == SERVES && !serves => *reason = None,
            Some(it) if it.code == SERVES => {}
            Some(it) => {
                let told = it.message.strip_suffix(TOLD).and_then(|rest| rest.strip_suffix("; "));
                match told.map(str::to_owned) {
                    None if serves => it.message = format!("{}; {TOLD}", it.message),
                    Some(rest) if !serves => it.message = rest,
                    _ => {}
                }
            }
            None => {}
        }
    }
}

fn stop_of(target: &Target) -> (String, std::time::Duration) {
    (target.rendered.main.stop_signal.clone(), target.rendered.stop_timeout)
}
