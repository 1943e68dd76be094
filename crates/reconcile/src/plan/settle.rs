//! Puts what came of an action into the replica.

use jiff::{SignedDuration, Timestamp};
use smr_model::{EngineState, ImageState, Reason, ReplicaState};

use super::{
    ActionKind, MISSING, Replica,
    action::{Outcome, Problem, ProblemKind, Role},
    span,
};
use crate::backoff::retry_delay;

/// Pause after a check that could not be made, for example of a paused container.
const CHECK_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// Liveness that fails less often than this in a row is only counted.
fn liveness_limit(replica: &Replica) -> u32 {
    let target = replica.wanted.as_ref().and_then(|w| w.target.as_ref().ok());
    target.and_then(|t| t.rendered.liveness.iter().map(|p| p.failures).min()).unwrap_or(3)
}

impl Replica {
    /// Something its containers are made from has changed or appeared: the delay after a failed
    /// step is over, for the next attempt may succeed.
    pub fn try_again(&mut self) {
        if matches!(
            self.status.state,
            ReplicaState::Pending | ReplicaState::DaemonFailure | ReplicaState::InitFailed
        ) {
            self.status.retry_at = None;
            self.memory.failures = 0;
        }
    }
}

/// Records the `outcome` of the action of `kind` that was under way. Plan again afterwards.
pub fn settle(now: Timestamp, replica: &mut Replica, kind: ActionKind, outcome: Outcome) {
    replica.busy = None;
    match outcome {
        Outcome::Failed(problem) => failed(now, replica, kind, problem),
        Outcome::Created(seen) => {
            replica.memory.image_missing = false;
            match kind {
                ActionKind::Create(Role::Init) => {
                    replica.init = Some(seen);
                    // The main image has to be looked at for itself.
                    replica.memory.pulled = false;
                }
                _ => {
                    replica.status.image_state = ImageState::Pulled;
                    // What is forgiven, and what has to end, is the container before this one.
                    replica.memory.forgiven = false;
                    replica.memory.kill = None;
                    replica.main = Some(seen);
                }
            }
        }
        Outcome::Started if kind == ActionKind::Revive => {
            if let Some(seen) = replica.previous.as_mut() {
                seen.state = EngineState::Running;
                seen.started_at = Some(now);
            }
        }
        Outcome::Started => {
            let slot = match kind {
                ActionKind::Start(Role::Init) => &mut replica.init,
                _ => &mut replica.main,
            };
            // An event may have told more already, even that it ended.
            if let Some(seen) = slot.as_mut().filter(|seen| seen.state == EngineState::Created) {
                seen.state = EngineState::Running;
                seen.started_at = Some(now);
            }
        }
        Outcome::Stopped(seen) => replica.main = seen,
        Outcome::Removed(ids) => {
            for slot in [&mut replica.main, &mut replica.init, &mut replica.previous] {
                if slot.as_ref().is_some_and(|seen| ids.contains(&seen.id)) {
                    *slot = None;
                }
            }
        }
        Outcome::Done => done(replica, kind),
    }
}

fn done(replica: &mut Replica, kind: ActionKind) {
    match kind {
        ActionKind::Pull(_) => {
            replica.memory.pulled = true;
            replica.memory.image_missing = false;
            replica.status.image_state = ImageState::Pulled;
        }
        ActionKind::Readiness => {
            replica.memory.ready_id = replica.main.as_ref().map(|main| main.id.clone());
        }
        ActionKind::Liveness => replica.memory.liveness_failures = 0,
        ActionKind::SetAside => replica.previous = replica.main.take(),
        ActionKind::TakeBack => replica.main = replica.previous.take(),
        // These have outcomes of their own.
        ActionKind::Stop
        | ActionKind::Remove
        | ActionKind::Revive
        | ActionKind::Retire
        | ActionKind::Create(_)
        | ActionKind::Start(_) => {}
    }
}

fn failed(now: Timestamp, replica: &mut Replica, kind: ActionKind, problem: Problem) {
    let reason = Reason::new(problem.code, problem.message);
    match (problem.kind, kind) {
        (ProblemKind::Cancelled, _) => {}
        (ProblemKind::CheckFailed, ActionKind::Liveness) => {
            replica.memory.liveness_failures += 1;
            if replica.memory.liveness_failures >= liveness_limit(replica) {
                replica.memory.kill = Some((ReplicaState::ReadinessFailed, reason));
            }
        }
        (ProblemKind::CheckFailed, _) => {
            replica.memory.kill = Some((ReplicaState::ReadinessFailed, reason));
        }
        // Whoever could not check does not know: the engine's own report decides.
        (
            ProblemKind::NotFound | ProblemKind::Unavailable,
            ActionKind::Readiness | ActionKind::Liveness,
        ) => replica.memory.check_at = Some(now + CHECK_AGAIN),
        (ProblemKind::NotFound, ActionKind::Stop) => replica.main = None,
        (_, ActionKind::Revive) => {
            replica.memory.revive_failed = replica.previous.as_ref().map(|seen| seen.id.clone());
        }
        // What serves is not to blame for what was before it.
        (_, ActionKind::Retire) => {
            replica.memory.retire_failures += 1;
            let salt = replica.status.key.generated_name();
            let delay = retry_delay(replica.memory.retire_failures, &salt);
            replica.memory.retire_at = Some(now + span(delay));
        }
        (ProblemKind::ImageMissing, ActionKind::Create(_) | ActionKind::SetAside)
            if !replica.memory.pulled =>
        {
            replica.memory.image_missing = true;
        }
        (problem_kind, _) => {
            match (problem_kind, kind) {
                (ProblemKind::NotFound, ActionKind::Start(Role::Main) | ActionKind::SetAside) => {
                    replica.main = None;
                }
                (ProblemKind::NotFound, ActionKind::TakeBack) => replica.previous = None,
                (ProblemKind::NotFound, ActionKind::Start(Role::Init)) => replica.init = None,
                (_, ActionKind::Start(role)) => {
                    let container = match role {
                        Role::Main => &replica.main,
                        Role::Init => &replica.init,
                    };
                    replica.memory.start_failed = container.as_ref().map(|seen| seen.id.clone());
                }
                _ => {}
            }
            // A creation finds nothing missing but networks and the like, which may yet appear.
            let mut reason = reason;
            if problem_kind == ProblemKind::NotFound && matches!(kind, ActionKind::Create(_)) {
                MISSING.clone_into(&mut reason.code);
            }
            if problem_kind == ProblemKind::PullFailed || problem_kind == ProblemKind::ImageMissing
            {
                replica.status.image_state = ImageState::Failed;
            }
            replica.memory.pulled = false;
            // By the next attempt somebody may have put the image there.
            replica.memory.image_missing = false;
            replica.memory.failures += 1;
            let delay = retry_delay(replica.memory.failures, &replica.status.key.generated_name());
            replica.status.retry_at = Some(now + span(delay));
            replica.memory.problem = Some(reason);
        }
    }
}
