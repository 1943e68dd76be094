//! Where replicas go and how changes reach them: follows the keyspace, decides, writes.
//!
//! One task owns everything: it takes in what changed, gathers for a few milliseconds, asks the rollout
//! planner and the scheduler about the objects that are concerned, and writes what differs from what is
//! stored. It goes on only after its own writes came back, so it never decides on what it replaced.

mod decide;
mod failure;
mod object;
mod world;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use smr_control::AssignmentBatch;
use smr_store::{Error, EventKind, KeyRange, Watch, WatchBatch};
use smr_wire::Rebalance;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(crate) use failure::Failure;
use world::World;

use crate::term::Term;

/// Pause before the keyspace is read again after something went wrong.
const RETRY: Duration = Duration::from_millis(500);
/// How long own writes may take to come back.
const ECHO: Duration = Duration::from_secs(2);
/// Longest sleep: the time by which a clock that jumped is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Runs until the term is over.
pub(crate) async fn run(term: Term) -> Result<(), Failure> {
    loop {
        match Driver::load(term.clone()) {
            Ok(mut driver) => match driver.run().await {
                Ok(()) => return Ok(()),
                Err(error) => say(&error),
            },
            Err(error) => say(&error),
        }
        sleep(RETRY).await;
    }
}

fn say(error: &Failure) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the placement of replicas starts over from what is stored");
}

/// The one owner of the [`World`].
struct Driver {
    term: Term,
    world: World,
    watch: Watch,
    /// When what was gathered is looked at.
    due: Option<Instant>,
    /// When replicas may be moved for balance again.
    next_move: Instant,
}

impl Driver {
    fn load(term: Term) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let (world, revision) = World::load(&term, now)?;
        let watch = term.store().watch(KeyRange::prefix("/smr/"), Some(revision + 1))?;
        term.nodes.send_replace(world.nodes.clone());
        let due = Some(Instant::now());
        Ok(Self { term, world, watch, due, next_move: Instant::now() })
    }

    async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let wake = self.wake();
            tokio::select! {
                batch = self.watch.next() => match batch {
                    Some(batch) => self.take(&batch?),
                    None => return Ok(()),
                },
                () = sleep_until(wake) => self.look().await?,
            }
        }
    }

    /// When to look again.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LONGEST_SLEEP;
        if let Some(due) = self.due {
            wake = wake.min(due);
        }
        if let Some(at) = self.world.wake_at() {
            let wait = at.duration_since(Timestamp::now()).max(SignedDuration::ZERO);
            // Moments are stored with less precision than timers have.
            wake = wake.min(now + wait.unsigned_abs() + Duration::from_millis(1));
        }
        if self.wants_balance() {
            wake = wake.min(self.next_move);
        }
        wake
    }

    fn take(&mut self, batch: &WatchBatch) {
        let now = Timestamp::now();
        self.world.revision = self.world.revision.max(batch.revision);
        let mut nodes_changed = false;
        for event in batch.events.iter() {
            let kv = (event.kind == EventKind::Put).then_some(&event.kv);
            nodes_changed |= self.world.take(self.term.control(), &event.kv.key, kv, Some(now));
        }
        if nodes_changed {
            self.term.nodes.send_replace(self.world.nodes.clone());
        }
        if self.world.may_be_clean() {
            self.term.clean.notify_one();
        }
        if self.world.is_dirty() && self.due.is_none() {
            self.due = Some(Instant::now() + self.term.options.settings.debounce);
        }
    }

    /// Decides about everything that is concerned and writes it.
    async fn look(&mut self) -> Result<(), Failure> {
        self.due = None;
        // Before the first member has registered nothing is known of any node.
        if self.world.nodes.members.is_empty() {
            return Ok(());
        }
        let batch = self.world.decide(&self.term, Timestamp::now()).await?;
        self.write(batch).await?;
        if self.wants_balance() && Instant::now() >= self.next_move {
            self.balance().await?;
        }
        Ok(())
    }

    async fn write(&mut self, batch: AssignmentBatch) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.term.control().write_assignments(self.term.number, batch).await?;
        for object in written.conflicts {
            tracing::debug!(?object, "something changed meanwhile, deciding again");
            self.world.look_at(object);
        }
        if self.world.is_dirty() {
            self.due = Some(Instant::now() + self.term.options.settings.debounce);
        }
        // Own writes come back before the next decision.
        while self.world.revision < written.revision {
            match timeout(ECHO, self.watch.next()).await {
                Ok(Some(batch)) => {
                    let batch = batch?;
                    self.take(&batch);
                }
                Ok(None) => return Err(Error::Stopped.into()),
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn wants_balance(&self) -> bool {
        match self.world.nodes.cluster.rebalance {
            Rebalance::Off => false,
            Rebalance::OnJoin => !self.world.fresh.is_empty(),
            Rebalance::Continuous => true,
        }
    }

    /// Moves one replica to even out the load.
    async fn balance(&mut self) -> Result<(), Failure> {
        let per_minute = self.world.nodes.cluster.moves_per_minute.max(1);
        self.next_move = Instant::now() + Duration::from_secs(60) / per_minute;
        let batch = self.world.balance(&self.term, Timestamp::now()).await?;
        self.write(batch).await
    }
}
