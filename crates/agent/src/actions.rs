//! Carries one action out on the engine.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use smr_engine::{ContainerEngine, Ownership, Progress, PullProgress};
use smr_model::ReplicaKey;
use smr_reconcile::{Action, Outcome, Problem, ProblemKind, Role, Seen};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    probes,
    seen::{problem, seen},
};

/// Least time between two words about a pull.
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// What actions share.
pub(crate) struct Executor {
    engine: Arc<dyn ContainerEngine>,
    /// Short operations the engine spends processor time on.
    work: Semaphore,
    /// Pulls: a few at once fill the line.
    pulls: Semaphore,
    /// Stops mostly wait for the process to end.
    stops: Semaphore,
    /// Checks.
    checks: Semaphore,
}

impl Executor {
    pub(crate) fn new(engine: Arc<dyn ContainerEngine>, parallelism: usize) -> Self {
        Self {
            engine,
            work: Semaphore::new(parallelism),
            pulls: Semaphore::new(3),
            stops: Semaphore::new(256),
            checks: Semaphore::new(32),
        }
    }

    /// Begins nothing more; what is under way goes on.
    pub(crate) fn close(&self) {
        for semaphore in [&self.work, &self.pulls, &self.stops, &self.checks] {
            semaphore.close();
        }
    }

    /// Carries `action` out for the replica `key`.
    /// `pulling` is told how far a pull is, at most once a second.
    pub(crate) async fn run(
        &self,
        key: &ReplicaKey,
        action: Action,
        pulling: Progress<'_>,
    ) -> Outcome {
        self.carry_out(key, action, pulling).await.unwrap_or_else(Outcome::Failed)
    }

    /// Ends and removes containers, one after the other.
    async fn remove(&self, ids: &[&str], signal: &str, timeout: Duration) -> Result<(), Problem> {
        let signal = (!signal.is_empty()).then_some(signal);
        for id in ids {
            let stopping = turn(&self.stops).await?;
            self.engine.stop(id, signal, timeout).await.map_err(|error| problem(&error))?;
            drop(stopping);
            let _turn = turn(&self.work).await?;
            self.engine.remove(id).await.map_err(|error| problem(&error))?;
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        key: &ReplicaKey,
        action: Action,
        pulling: Progress<'_>,
    ) -> Result<Outcome, Problem> {
        let engine = self.engine.as_ref();
        let failed = |error| problem(&error);
        match action {
            Action::Pull { image, auth, .. } => {
                let _turn = turn(&self.pulls).await?;
                let last = Mutex::new(None::<Instant>);
                let now_and_then = |progress: PullProgress| {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.is_none_or(|at| at.elapsed() >= PROGRESS_PAUSE) {
                        *last = Some(Instant::now());
                        pulling(progress);
                    }
                };
                engine.pull(&image, auth.as_ref(), &now_and_then).await.map_err(failed)?;
                Ok(Outcome::Done)
            }
            Action::Create { role, spec, hash, generation } => {
                let _turn = turn(&self.work).await?;
                let owner = engine.owner();
                let own = Ownership {
                    cluster: owner.cluster.clone(),
                    node: owner.node.clone(),
                    replica: key.clone(),
                    role: match role {
                        Role::Main => smr_engine::Role::Main,
                        Role::Init => smr_engine::Role::Init,
                    },
                    spec_hash: hash.clone(),
                    generation,
                };
                let id = engine.create(&spec, &own).await.map_err(failed)?;
                Ok(Outcome::Created(Seen {
                    id,
                    state: smr_model::EngineState::Created,
                    exit_code: None,
                    oom_killed: false,
                    started_at: None,
                    finished_at: None,
                    spec_hash: hash,
                }))
            }
            Action::Start { id, .. } | Action::Revive { id } => {
                let _turn = turn(&self.work).await?;
                engine.start(&id).await.map_err(failed)?;
                Ok(Outcome::Started)
            }
            Action::Stop { id, signal, timeout } => {
                let _turn = turn(&self.stops).await?;
                let signal = (!signal.is_empty()).then_some(signal.as_str());
                engine.stop(&id, signal, timeout).await.map_err(failed)?;
                let container = engine.inspect(&id).await.map_err(failed)?;
                Ok(Outcome::Stopped(container.as_ref().map(seen)))
            }
            Action::SetAside { id, name, image } => {
                let _turn = turn(&self.work).await?;
                if !engine.image_present(&image).await.map_err(failed)? {
                    return Err(problem(&smr_engine::Error::ImageMissing { image, source: None }));
                }
                engine.rename(&id, &name).await.map_err(failed)?;
                Ok(Outcome::Done)
            }
            Action::TakeBack { id, name } => {
                let _turn = turn(&self.work).await?;
                engine.rename(&id, &name).await.map_err(failed)?;
                Ok(Outcome::Done)
            }
            Action::Retire { id, signal, timeout } => {
                self.remove(&[&id], &signal, timeout).await?;
                Ok(Outcome::Removed(vec![id]))
            }
            Action::Remove { ids, signal, timeout } => {
                let all: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.remove(&all, &signal, timeout).await?;
                Ok(Outcome::Removed(ids))
            }
            Action::Readiness { id, target } => {
                Ok(probes::readiness(engine, &id, &target.rendered.readiness).await)
            }
            Action::Liveness { id, target } => {
                let _turn = turn(&self.checks).await?;
                Ok(probes::liveness(engine, &id, &target.rendered.liveness).await)
            }
        }
    }
}

/// Waits for its turn; once the executor is closed there are no more turns.
async fn turn(semaphore: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    semaphore.acquire().await.map_err(|_| Problem {
        kind: ProblemKind::Cancelled,
        code: "Cancelled".to_owned(),
        message: "the node is being stopped".to_owned(),
    })
}
