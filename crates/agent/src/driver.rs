//! The loop: takes what happened, plans the replicas it concerns, begins their actions, reports.

mod engine_events;

use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use smr_control::{Control, keyspace};
use smr_engine::{Container, ContainerEngine, EngineEvent, Error as EngineError, PullProgress};
use smr_model::{Event, Kind, ObjectKey, Reason, ReplicaKey, ReplicaState};
use smr_reconcile::{ActionKind, Outcome, Plan, Problem, ProblemKind, plan, settle};
use smr_store::{EventKind, Store, Watch, WatchBatch};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    actions::Executor,
    agent::EngineStatus,
    debug_log::DebugLog,
    infrastructure::{Desired, Ready},
    reporter::{Item, News},
    world::{
        World,
        cluster::{Change, followed, telling},
    },
};

/// Something happened.
pub(crate) enum Message {
    /// The engine answers; everything from here on comes as an event.
    EngineUp,
    /// The engine does not answer.
    EngineDown(String),
    /// The engine says something.
    Engine(Box<EngineEvent>),
    /// All containers of the node, listed when `touched` was the count of changes.
    Listed { touched: u64, containers: Result<Vec<Container>, EngineError> },
    /// What became of networks and volumes.
    Infrastructure(Ready),
    /// How far a pull is.
    Pulling { key: ReplicaKey, progress: String },
    /// An action ended.
    Done { key: ReplicaKey, kind: ActionKind, outcome: Outcome },
}

/// Addresses are read once for a burst of starts.
const REFRESH_DELAY: Duration = Duration::from_millis(200);
/// The safety net below the events.
const RESYNC: Duration = Duration::from_secs(300);
/// Pause before a failed reading of the keyspace or the engine is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long a node that starts waits for the present state of the cluster. Without quorum it goes on
/// with what it has.
const CATCH_UP: Duration = Duration::from_secs(3);

/// Code of the reason that tells how far a pull is.
const PULLING: &str = "Pulling";

/// The one owner of the [`World`].
pub(crate) struct Driver {
    world: World,
    control: Control,
    engine: Arc<dyn ContainerEngine>,
    executor: Arc<Executor>,
    messages: mpsc::UnboundedSender<Message>,
    reports: mpsc::UnboundedSender<Item>,
    /// Revision of the last news of objects.
    heard: u64,
    /// Revision the reporter was told to be taken in.
    taken_in: u64,
    desired: watch::Sender<Desired>,
    status: watch::Sender<EngineStatus>,
    debug: DebugLog,
    actions: JoinSet<()>,
    dirty: BTreeSet<ReplicaKey>,
    /// Counts changes by actions and events, so that a stale listing is recognised.
    touched: u64,
    /// Why the engine cannot be used. Nothing is planned before the first listing.
    engine_down: Option<String>,
    /// The engine went away since the last listing.
    was_down: bool,
    listing: bool,
    list_again: bool,
    refresh_at: Option<tokio::time::Instant>,
    /// When everything was read anew last.
    caught_up: Option<tokio::time::Instant>,
    /// The local copy may be older than what the cluster has agreed on since this node was last
    /// there: nothing is begun on its word.
    behind: bool,
}

impl Driver {
    #[expect(clippy::too_many_arguments, reason = "called once, by the agent that makes the parts")]
    pub(crate) fn new(
        world: World,
        control: Control,
        engine: Arc<dyn ContainerEngine>,
        parallelism: usize,
        messages: mpsc::UnboundedSender<Message>,
        reports: mpsc::UnboundedSender<Item>,
        desired: watch::Sender<Desired>,
        status: watch::Sender<EngineStatus>,
        debug: DebugLog,
    ) -> Self {
        let executor = Arc::new(Executor::new(Arc::clone(&engine), parallelism));
        // Those with a status have nothing to tell until the engine answers.
        let mut dirty = world.all_replicas();
        dirty.retain(|key| !world.slots.contains_key(key));
        Self {
            heard: world.loaded,
            world,
            control,
            engine,
            executor,
            messages,
            reports,
            taken_in: 0,
            desired,
            status,
            debug,
            actions: JoinSet::new(),
            dirty,
            touched: 0,
            engine_down: Some("the engine has not answered yet".to_owned()),
            was_down: false,
            listing: false,
            list_again: false,
            refresh_at: None,
            caught_up: None,
            behind: true,
        }
    }

    /// Runs until `stop`; then lets actions that must not be cut short finish.
    pub(crate) async fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Message>,
        stop: CancellationToken,
    ) {
        let mut changes = self.watch();
        let mut present = std::pin::pin!(present(self.control.store().clone()));
        let mut resync = tokio::time::interval_at(tokio::time::Instant::now() + RESYNC, RESYNC);
        loop {
            // Everything that has happened already is taken in before anything is planned.
            while let Ok(message) = inbox.try_recv() {
                self.take(message);
            }
            // A visit may make others worth one.
            while !self.behind && !self.dirty.is_empty() {
                for key in std::mem::take(&mut self.dirty) {
                    self.visit(&key);
                }
            }
            self.tell_taken_in();
            let wake = self.next_wake();
            let refresh = self.refresh_at;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(message) = inbox.recv() => self.take(message),
                batch = next(&mut changes) => match batch {
                    Some(batch) => self.changed(&batch),
                    None => tokio::select! {
                        () = stop.cancelled() => break,
                        watch = self.catch_up() => changes = watch,
                    },
                },
                revision = &mut present, if self.behind => tokio::select! {
                    () = stop.cancelled() => break,
                    watch = self.begin(revision, changes) => changes = watch,
                },
                () = sleep_until(wake) => self.wake_due(),
                () = sleep_until(refresh) => {
                    self.refresh_at = None;
                    self.list();
                }
                _ = resync.tick() => {
                    if let Err(error) = self.world.take_statuses(&self.control).await {
                        tracing::warn!(%error, "statuses cannot be read");
                    }
                    self.dirty.extend(self.world.all_replicas());
                    self.list();
                }
                Some(ended) = self.actions.join_next(), if !self.actions.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "an action panicked");
                    }
                }
            }
        }
        self.finish(inbox).await;
    }

    /// Cancels what may be cancelled, waits for the rest and records what came of it.
    async fn finish(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        self.executor.close();
        for slot in self.world.slots.values() {
            if let Some(cancel) = &slot.cancel
                && slot.replica.busy.as_ref().is_some_and(|(kind, _)| kind.is_cancellable())
            {
                cancel.cancel();
            }
        }
        while self.actions.join_next().await.is_some() {}
        while let Ok(message) = inbox.try_recv() {
            if let Message::Done { key, kind, outcome } = message
                && let Some(slot) = self.world.slots.get_mut(&key)
            {
                settle(Timestamp::now(), &mut slot.replica, kind, outcome);
            }
        }
        for (key, slot) in &self.world.slots {
            let status = &slot.replica.status;
            if slot.reported.as_ref().is_some_and(|reported| reported != status) {
                let status = Some(Box::new(status.clone()));
                self.report(News { key: key.clone(), status, events: Vec::new() });
            }
        }
    }

    /// One watch for all, so that changes come in the order in which they were made.
    fn watch(&self) -> Option<Watch> {
        let from = Some(self.world.loaded + 1);
        self.control
            .store()
            .watch(followed(), from)
            .inspect_err(|error| tracing::warn!(%error, "cannot watch, reading anew"))
            .ok()
    }

    /// The local copy is as new as `revision`, or nobody could tell: takes that in and begins to plan.
    async fn begin(&mut self, revision: Option<u64>, changes: Option<Watch>) -> Option<Watch> {
        let changes = match revision {
            Some(revision) if revision > self.world.loaded => self.catch_up().await,
            Some(_) => changes,
            None => {
                tracing::warn!("the cluster does not answer; this node goes on with what it knows");
                changes
            }
        };
        self.behind = false;
        self.publish_desired();
        changes
    }

    /// A watch ended (it fell behind, or the store is being replaced): read everything, watch on.
    async fn catch_up(&mut self) -> Option<Watch> {
        let last = self.caught_up.replace(tokio::time::Instant::now());
        // A store that is being stopped ends every watch at once.
        if last.is_some_and(|last| last.elapsed() < RETRY) {
            tokio::time::sleep(RETRY).await;
        }
        if let Err(error) = self.world.reload(&self.control).await {
            tracing::warn!(%error, "objects cannot be read, trying again");
            return None;
        }
        if !self.behind {
            self.publish_desired();
        }
        self.heard = self.world.loaded;
        self.dirty.extend(self.world.all_replicas());
        self.watch()
    }

    /// The keyspace changed.
    fn changed(&mut self, batch: &WatchBatch) {
        if batch.revision <= self.world.loaded {
            // Everything was read meanwhile: this tells of the past.
            return;
        }
        self.world.loaded = batch.revision;
        let (mut infrastructure, mut told) = (false, BTreeSet::new());
        for event in batch.events.iter() {
            let key = &event.kv.key;
            if let Some(object) = keyspace::parse_object(key) {
                self.heard = batch.revision;
                infrastructure |= self.object_changed(object, event);
            } else if let Some(replica) = keyspace::parse_restart(key) {
                self.heard = batch.revision;
                self.restart_asked(replica, event);
            } else {
                match self.world.cluster.take(event) {
                    Change::Nothing => {}
                    Change::Assigned(replica) => {
                        self.heard = batch.revision;
                        told.insert(replica.group.clone());
                        self.dirty.insert(replica);
                    }
                    Change::Sighted(replica, dependents) => {
                        if dependents {
                            told.insert(replica.group.clone());
                        }
                        self.dirty.insert(replica);
                    }
                    Change::Node(replicas) => self.dirty.extend(replicas),
                }
            }
        }
        if !told.is_empty() {
            self.world.waits.clear();
        }
        for group in told {
            self.dirty.extend(self.world.dependents_of(&group));
        }
        if infrastructure && !self.behind {
            self.publish_desired();
        }
    }

    /// Whether networks or volumes have to be looked at.
    fn object_changed(&mut self, key: ObjectKey, event: &smr_store::Event) -> bool {
        self.world.waits.clear();
        // Those that used the object before the change, and those that use it after.
        self.dirty.extend(self.world.affected_by(&key));
        match event.kind {
            EventKind::Delete => {
                self.world.objects.remove(&key);
                self.world.unreadable.remove(&key);
            }
            EventKind::Put => match self.control.decode(&event.kv) {
                Ok(object) => {
                    self.world.objects.insert(key.clone(), object);
                    self.world.unreadable.remove(&key);
                }
                Err(error) => {
                    tracing::error!(object = %key, %error, "object `{key}` cannot be read");
                    return false;
                }
            },
        }
        self.world.forget_former(&key);
        self.world.forget_renderings(&key);
        self.dirty.extend(self.world.affected_by(&key));
        matches!(key.kind, Kind::Network | Kind::Volume)
    }

    fn restart_asked(&mut self, key: ReplicaKey, event: &smr_store::Event) {
        match event.kind {
            EventKind::Delete => {
                self.world.tokens.remove(&key);
                // A token that is gone asks for nothing.
                if let Some(slot) = self.world.slots.get_mut(&key) {
                    slot.replica.status.restart_token.clear();
                }
            }
            EventKind::Put => {
                let token = String::from_utf8_lossy(&event.kv.value).into_owned();
                self.world.tokens.insert(key.clone(), token);
                self.dirty.insert(key);
            }
        }
    }

    fn publish_desired(&self) {
        let mut desired = self.world.desired_infrastructure();
        self.desired.send_if_modified(|present| {
            desired.engine_up = present.engine_up;
            desired.engine_epoch = present.engine_epoch;
            let changed = *present != desired;
            *present = desired;
            changed
        });
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Done { key, kind, outcome } => self.done(key, kind, outcome),
            Message::Pulling { key, progress } => self.pulling(&key, progress),
            Message::Infrastructure(ready) => {
                let wake = |object: &ObjectKey| self.world.affected_by(object);
                let changed: Vec<_> = ready
                    .iter()
                    .filter(|(object, outcome)| self.world.ready.get(*object) != Some(*outcome))
                    .flat_map(|(object, _)| wake(object))
                    .collect();
                self.dirty.extend(changed);
                self.world.ready = ready;
            }
            Message::EngineUp => self.engine_up(),
            Message::EngineDown(why) => self.engine_lost(why),
            Message::Engine(event) => self.engine_event(&event),
            Message::Listed { touched, containers } => self.listed(touched, containers),
        }
    }

    fn done(&mut self, key: ReplicaKey, kind: ActionKind, outcome: Outcome) {
        let now = Timestamp::now();
        self.touched += 1;
        let Some(slot) = self.world.slots.get_mut(&key) else { return };
        slot.cancel = None;
        slot.touched = self.touched;
        if let Outcome::Failed(problem) = &outcome {
            let text = format!("{kind:?} failed: {} ({})", problem.message, problem.code);
            self.debug.add(&key, now, &text);
            if !matches!(problem.kind, ProblemKind::Cancelled | ProblemKind::ImageMissing) {
                tracing::warn!(replica = %key, action = ?kind, error = %problem.message,
                    "{key}: {}", problem.message);
            }
        }
        let missing = matches!(&outcome, Outcome::Failed(p) if p.kind == ProblemKind::NotFound);
        if missing && matches!(kind, ActionKind::Create(_)) {
            // Perhaps a network of ours was removed behind our back: look at them again.
            self.desired.send_modify(|desired| desired.engine_epoch += 1);
        }
        let conflict = matches!(&outcome, Outcome::Failed(p) if p.code == "Conflict");
        let started = matches!(outcome, Outcome::Started);
        // Perhaps it has the other name in spite of the answer.
        let misnamed = matches!(kind, ActionKind::SetAside | ActionKind::TakeBack)
            && matches!(&outcome, Outcome::Failed(p) if p.kind != ProblemKind::ImageMissing);
        if slot.replica.status.reason.as_ref().is_some_and(|reason| reason.code == PULLING) {
            slot.replica.status.reason = None;
        }
        settle(now, &mut slot.replica, kind, outcome);
        if conflict || missing || misnamed {
            // Perhaps the name is held by a container of ours that no event told of, or none told
            // that this one is gone.
            self.list();
        }
        if started {
            self.refresh_soon();
        }
        self.dirty.insert(key);
    }

    fn refresh_soon(&mut self) {
        self.list_within(REFRESH_DELAY);
    }

    fn list_within(&mut self, delay: Duration) {
        self.refresh_at.get_or_insert_with(|| tokio::time::Instant::now() + delay);
    }

    fn next_wake(&self) -> Option<tokio::time::Instant> {
        let at = self.world.slots.values().filter_map(|slot| slot.wake_at).min()?;
        let left = at.duration_since(Timestamp::now());
        Some(tokio::time::Instant::now() + Duration::try_from(left).unwrap_or_default())
    }

    fn wake_due(&mut self) {
        let now = Timestamp::now();
        for (key, slot) in &mut self.world.slots {
            if slot.wake_at.is_some_and(|at| at <= now) {
                slot.wake_at = None;
                self.dirty.insert(key.clone());
            }
        }
    }

    /// Looks at one replica and does what its plan says.
    fn visit(&mut self, key: &ReplicaKey) {
        let now = Timestamp::now();
        let wanted = self.world.is_wanted(key);
        if !wanted && !self.world.slots.contains_key(key) {
            return;
        }
        tracing::trace!(target: "smr_agent::visit", replica = %key, "looks");
        let (_, fresh) = self.world.slot(key, now);
        self.world.refresh_wanted(&self.control, key);
        let slot = self.world.slots.get_mut(key).expect("made above if it was not there");
        let before = (slot.replica.status.ready, slot.replica.status.state);
        slot.replica.engine_down.clone_from(&self.engine_down);
        let Plan { action, cancel, passed, wake_at, gone } = plan(now, &mut slot.replica);
        slot.wake_at = wake_at;
        let mut events: Vec<Event> = Vec::new();
        if fresh {
            events.push(event(key, now, ReplicaState::Created.as_str(), ""));
        }
        for (state, reason) in passed {
            let message = reason.map(|reason| reason.message).unwrap_or_default();
            self.debug.add(key, now, format!("{state} {message}").trim_end());
            events.push(event(key, now, state.as_str(), &message));
        }
        if cancel && let Some(token) = &slot.cancel {
            token.cancel();
        }
        if gone {
            tracing::info!(replica = %key, "{key} is gone");
            self.debug.add(key, now, "deleted");
            events.push(event(key, now, "deleted", ""));
            self.world.slots.remove(key);
            self.tell_dependents(key);
            return self.report(News { key: key.clone(), status: None, events });
        }
        let status = slot.replica.status.clone();
        if let Some(action) = action {
            let cancel = CancellationToken::new();
            slot.cancel = Some(cancel.clone());
            slot.touched = self.touched;
            tracing::debug!(replica = %key, %action, "begins");
            self.debug.add(key, now, &action.to_string());
            let kind = action.kind();
            let (executor, messages, key) =
                (Arc::clone(&self.executor), self.messages.clone(), key.clone());
            self.actions.spawn(async move {
                // A replica whose action panicked would stay busy for ever.
                let tell = |progress: PullProgress| {
                    let (key, progress) = (key.clone(), progress.to_string());
                    let _ = messages.send(Message::Pulling { key, progress });
                };
                let run = AssertUnwindSafe(executor.run(&key, action, &tell)).catch_unwind();
                let outcome = tokio::select! {
                    outcome = run => outcome.unwrap_or_else(|_| Outcome::Failed(Problem {
                        kind: ProblemKind::Refused,
                        code: "Panicked".to_owned(),
                        message: format!("the action {kind:?} panicked; see the node's log"),
                    })),
                    () = cancel.cancelled() => Outcome::Failed(Problem {
                        kind: ProblemKind::Cancelled,
                        code: "Cancelled".to_owned(),
                        message: "no longer needed".to_owned(),
                    }),
                };
                let _ = messages.send(Message::Done { key, kind, outcome });
            });
        }
        let worth_a_line = status.state == ReplicaState::Running || status.state.is_trouble();
        if worth_a_line && (fresh || before != (status.ready, status.state)) {
            let reason = status.reason.as_ref().map_or("", |r| r.message.as_str());
            tracing::info!(replica = %key, state = %status.state, reason, "{key} is {}",
                status.state);
        }
        if fresh || telling(before) != telling((status.ready, status.state)) {
            self.tell_dependents(key);
        }
        let slot = self.world.slots.get_mut(key).expect("not removed since");
        if slot.reported.as_ref() != Some(&status) || !events.is_empty() {
            slot.reported = Some(status.clone());
            self.report(News { key: key.clone(), status: Some(Box::new(status)), events });
        }
    }

    /// Those that depend on something in the group of `key` have to be looked at.
    fn tell_dependents(&mut self, key: &ReplicaKey) {
        self.world.waits.clear();
        self.dirty.extend(self.world.dependents_of(&key.group));
    }

    /// Every replica was looked at since the last news of objects. One whose action was cancelled
    /// for the sake of the news is looked at again when the action has ended.
    fn tell_taken_in(&mut self) {
        let is_ending = |cancel: &CancellationToken| cancel.is_cancelled();
        let heard = self.heard;
        if self.taken_in < heard
            && !self.behind
            && !self.world.slots.values().any(|slot| slot.cancel.as_ref().is_some_and(is_ending))
        {
            self.taken_in = heard;
            // A reporter that is gone is told of with the next news.
            let _ = self.reports.send(Item::TakenIn(self.taken_in));
        }
    }

    /// Shows how far a pull is, as long as it is under way.
    fn pulling(&mut self, key: &ReplicaKey, progress: String) {
        let Some(slot) = self.world.slots.get_mut(key) else { return };
        if !slot.replica.busy.as_ref().is_some_and(|(kind, _)| matches!(kind, ActionKind::Pull(_)))
        {
            return;
        }
        slot.replica.status.reason = Some(Reason::new(PULLING, progress));
        let status = slot.replica.status.clone();
        slot.reported = Some(status.clone());
        let (key, status) = (key.clone(), Some(Box::new(status)));
        self.report(News { key, status, events: Vec::new() });
    }

    fn report(&self, news: News) {
        if self.reports.send(Item::News(news)).is_err() {
            tracing::error!("the reporter is gone; statuses are not stored any more");
        }
    }

    /// Asks the engine for all containers, in the background.
    fn list(&mut self) {
        if self.listing {
            self.list_again = true;
            return;
        }
        self.listing = true;
        let (engine, messages, touched) =
            (Arc::clone(&self.engine), self.messages.clone(), self.touched);
        tokio::spawn(async move {
            let containers = engine.list().await;
            let _ = messages.send(Message::Listed { touched, containers });
        });
    }
}

fn event(key: &ReplicaKey, time: Timestamp, kind: &str, message: &str) -> Event {
    Event {
        revision: 0,
        kind: kind.to_owned(),
        object: ObjectKey::new(Kind::Containers, &key.group, key.generated_name()),
        time,
        node: String::new(),
        message: message.to_owned(),
    }
}

/// The next batch; `None` when the watch has ended or there is none.
async fn next(watch: &mut Option<Watch>) -> Option<WatchBatch> {
    let batch = watch.as_mut()?.next().await?;
    batch.inspect_err(|error| tracing::warn!(%error, "a watch broke off, reading anew")).ok()
}

/// The revision up to which the local copy has everything that was committed; `None` when the cluster
/// does not tell in time.
async fn present(store: Store) -> Option<u64> {
    let ask = async {
        loop {
            match store.barrier().await {
                Ok(revision) => return revision,
                Err(error) => tracing::debug!(%error, "the cluster does not answer yet"),
            }
            tokio::time::sleep(RETRY / 5).await;
        }
    };
    tokio::time::timeout(CATCH_UP, ask).await.ok()
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
