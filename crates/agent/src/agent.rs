//! Starting and stopping the agent.

use std::sync::Arc;

use smr_control::Control;
use smr_engine::ContainerEngine;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    debug_log::DebugLog, driver::Driver, infrastructure, monitor, reporter::Reporter, world::World,
};

/// What the agent works with.
pub struct Options {
    /// The object API of this node.
    pub control: Control,
    /// The engine of this node.
    pub engine: Arc<dyn ContainerEngine>,
    /// Container operations under way at once.
    pub parallelism: usize,
}

/// Whether the engine answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EngineStatus {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It does.
    Ready,
    /// It does not, because of this.
    Down(String),
}

/// A running agent.
pub struct Agent {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    reporter: JoinHandle<()>,
    debug: DebugLog,
    engine: watch::Receiver<EngineStatus>,
    settled: watch::Receiver<u64>,
}

impl Agent {
    /// Loads the state of the node and begins to reconcile. Returns at once; an engine that does
    /// not answer is waited for in the background.
    ///
    /// # Errors
    ///
    /// When the local state cannot be read.
    pub async fn start(options: Options) -> Result<Self, smr_control::Error> {
        let Options { control, engine, parallelism } = options;
        let stop = CancellationToken::new();
        let debug = DebugLog::default();
        let (messages, inbox) = mpsc::unbounded_channel();
        let (status, engine_status) = watch::channel(EngineStatus::Unknown);
        let (settle, settled) = watch::channel(0);
        let (reporter, reports) = Reporter::start(control.clone(), settle);
        let (desired, wanted_infrastructure) = watch::channel(infrastructure::Desired::default());
        let world = World::load(&control).await?;
        let driver = Driver::new(
            world,
            control,
            Arc::clone(&engine),
            parallelism.max(1),
            messages.clone(),
            reports,
            desired,
            status,
            debug.clone(),
        );
        let tasks = vec![
            tokio::spawn(monitor::run(Arc::clone(&engine), messages.clone(), stop.clone())),
            tokio::spawn(infrastructure::run(
                Arc::clone(&engine),
                wanted_infrastructure,
                messages,
                stop.clone(),
            )),
            tokio::spawn(driver.run(inbox, stop.clone())),
        ];
        Ok(Self { stop, tasks, reporter, debug, engine: engine_status, settled })
    }

    /// The reconciler's own log about each replica.
    pub fn debug_log(&self) -> &DebugLog {
        &self.debug
    }

    /// Whether the engine answers; changes wake the receiver.
    pub fn engine_status(&self) -> watch::Receiver<EngineStatus> {
        self.engine.clone()
    }

    /// The revision up to which the objects of the keyspace have been taken in and what follows
    /// from them is stored in statuses; changes wake the receiver.
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.settled.clone()
    }

    /// Resolves when a part of the agent has ended though nobody asked it to: a mistake in the
    /// program. The node cannot do its work any more then and should end, to be started anew.
    pub async fn ended(&mut self) {
        let (ended, index, _) = futures_util::future::select_all(&mut self.tasks).await;
        // A finished task must not be awaited again.
        drop(self.tasks.swap_remove(index));
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the agent panicked");
        }
    }

    /// Stops planning, lets actions that must not be cut short finish, stores the last statuses.
    /// No container is stopped.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the agent panicked");
            }
        }
        // The driver is gone and with it the only sender: the reporter ends when all is stored.
        if let Err(error) = self.reporter.await {
            tracing::error!(%error, "the reporter panicked");
        }
    }
}
