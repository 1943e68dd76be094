//! Carries one action out on the engine.

use std::sync::Arc;

use smr_engine::{ContainerEngine, Ownership, no_progress};
use smr_model::ReplicaKey;
use smr_reconcile::{Action, Outcome, Role, Seen};
use tokio::sync::Semaphore;

use crate::{
    probes,
    seen::{problem, seen},
};

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

    /// Carries `action` out for the replica `key`.
    pub(crate) async fn run(&self, key: &ReplicaKey, action: Action) -> Outcome {
        let engine = self.engine.as_ref();
        match action {
            Action::Pull { image, auth, .. } => {
                let _turn = turn(&self.pulls).await;
                done(engine.pull(&image, auth.as_ref(), &no_progress).await)
            }
            Action::Create { role, spec, hash, generation } => {
                let _turn = turn(&self.work).await;
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
                match engine.create(&spec, &own).await {
                    Ok(id) => Outcome::Created(Seen {
                        id,
                        state: smr_model::EngineState::Created,
                        exit_code: None,
                        oom_killed: false,
                        started_at: None,
                        finished_at: None,
                        spec_hash: hash,
                    }),
                    Err(error) => Outcome::Failed(problem(&error)),
                }
            }
            Action::Start { id, .. } => {
                let _turn = turn(&self.work).await;
                match engine.start(&id).await {
                    Ok(()) => Outcome::Started,
                    Err(error) => Outcome::Failed(problem(&error)),
                }
            }
            Action::Stop { id, signal, timeout } => {
                let _turn = turn(&self.stops).await;
                let signal = (!signal.is_empty()).then_some(signal.as_str());
                if let Err(error) = engine.stop(&id, signal, timeout).await {
                    return Outcome::Failed(problem(&error));
                }
                match engine.inspect(&id).await {
                    Ok(container) => Outcome::Stopped(container.as_ref().map(seen)),
                    Err(error) => Outcome::Failed(problem(&error)),
                }
            }
            Action::Remove { ids, signal, timeout } => self.remove(ids, &signal, timeout).await,
            Action::Readiness { id, target } => {
                probes::readiness(engine, &id, &target.rendered.readiness).await
            }
            Action::Liveness { id, target } => {
                let _turn = turn(&self.checks).await;
                probes::liveness(engine, &id, &target.rendered.liveness).await
            }
        }
    }

    async fn remove(
        &self,
        ids: Vec<String>,
        signal: &str,
        timeout: std::time::Duration,
    ) -> Outcome {
        let signal = (!signal.is_empty()).then_some(signal);
        for id in &ids {
            let stopped = {
                let _turn = turn(&self.stops).await;
                self.engine.stop(id, signal, timeout).await
            };
            if let Err(error) = stopped {
                return Outcome::Failed(problem(&error));
            }
            let _turn = turn(&self.work).await;
            if let Err(error) = self.engine.remove(id).await {
                return Outcome::Failed(problem(&error));
            }
        }
        Outcome::Removed(ids)
    }
}

async fn turn(semaphore: &Semaphore) -> tokio::sync::SemaphorePermit<'_> {
    semaphore.acquire().await.expect("the semaphores of an executor are never closed")
}

fn done(result: Result<(), smr_engine::Error>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(problem(&error)),
    }
}
