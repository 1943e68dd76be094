//! Runs the controllers while this node leads, and only then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use smr_control::Control;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{PeerProbe, Settings, term::Term};

/// Pause before controllers that stopped are started again.
const RETRY: Duration = Duration::from_millis(500);

/// What a leader works with.
#[derive(Clone)]
pub struct Options {
    /// The object API of this node, over its store.
    pub control: Control,
    /// How other nodes are reached.
    pub pings: Arc<dyn PeerProbe>,
    /// How often things are looked at.
    pub settings: Settings,
}

/// The controllers of the cluster, which run while this node leads.
pub struct Leader {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Leader {
    /// Begins to follow who leads. Has to be called within a tokio runtime.
    pub fn start(options: Options) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(follow(options, stop.clone()));
        Self { stop, task: Mutex::new(Some(task)) }
    }

    /// Stops all controllers and waits for them. A write under way may or may not happen.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the controllers of the leader panicked");
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a term whenever this node leads and is ready, and ends it as soon as it does not.
async fn follow(options: Options, stop: CancellationToken) {
    let mut leadership = options.control.store().leadership();
    loop {
        let now = *leadership.borrow_and_update();
        if now.is_me && now.ready {
            tracing::info!(term = now.term, "this node leads the cluster");
            let term = Term::new(options.clone(), now.term);
            let over = async {
                leadership
                    .wait_for(|it| !it.is_me || !it.ready || it.term != now.term)
                    .await
                    .is_ok()
            };
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                goes_on = over => Some(goes_on),
                () = term.run() => None,
            };
            match ended {
                Some(true) => tracing::info!(term = now.term, "this node does not lead any more"),
                Some(false) => return,
                None => tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY) => {}
                },
            }
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = leadership.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}
