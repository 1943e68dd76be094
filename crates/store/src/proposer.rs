//! Gathers concurrent commands into one log entry, or into one message to the leader.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use smr_state::{Command, CommandResult};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{Error, forward::Forwarder, wal::Wal};

/// Most commands in one log entry.
const BATCH_COMMANDS: usize = 512;
/// Commands are not gathered beyond this many bytes.
const BATCH_BYTES: usize = 1024 * 1024;
/// Entries under way: while one is synced the next one is gathered.
const IN_FLIGHT: usize = 2;

/// What became of commands: index of their log entry, and a result for each.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) index: u64,
    pub(crate) results: Vec<CommandResult>,
}

/// Whom to answer.
pub(crate) type Answer = oneshot::Sender<Result<Done, Error>>;

/// Where commands may be proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Anywhere: they are forwarded when another member leads.
    Cluster,
    /// Here, if this node leads.
    Here,
    /// Here, if this node leads in this term.
    Term(u64),
}

/// Commands and whom to answer.
pub(crate) struct Proposal {
    pub(crate) commands: Vec<Command>,
    pub(crate) scope: Scope,
    pub(crate) arrived: Instant,
    pub(crate) answer: Answer,
}

impl Proposal {
    pub(crate) fn new(
        commands: Vec<Command>,
        scope: Scope,
    ) -> (Self, oneshot::Receiver<Result<Done, Error>>) {
        let (answer, answered) = oneshot::channel();
        (Self { commands, scope, arrived: Instant::now(), answer }, answered)
    }

    /// A writer that went away before anything was done does not want it done.
    pub(crate) fn is_given_up(&self) -> bool {
        self.scope != Scope::Here && self.answer.is_closed()
    }

    /// A proposal of this node's own tasks, which only a leader makes.
    pub(crate) fn here(command: Command) -> (Self, oneshot::Receiver<Result<Done, Error>>) {
        Self::new(vec![command], Scope::Here)
    }
}

/// Tells what space there is.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    pub(crate) dir: PathBuf,
    pub(crate) min_free_bytes: u64,
    pub(crate) wal: Arc<Wal>,
}

impl Space {
    /// Refuses when the log has no allocated room for `bytes`, or the disk is nearly full.
    pub(crate) async fn check(&self, bytes: u64) -> Result<(), Error> {
        let full = || Error::DiskFull { dir: self.dir.clone() };
        if fs2::available_space(&self.dir).is_ok_and(|free| free < self.min_free_bytes + bytes) {
            return Err(full());
        }
        if self.wal.has_room(bytes) {
            return Ok(());
        }
        let wal = Arc::clone(&self.wal);
        let made = tokio::task::spawn_blocking(move || wal.make_room()).await;
        if matches!(made, Ok(Ok(()))) { Ok(()) } else { Err(full()) }
    }
}

/// Runs until every sender is gone or consensus stopped.
pub(crate) async fn run(forwarder: Arc<Forwarder>, mut inbox: mpsc::Receiver<Proposal>) {
    let mut waiting: VecDeque<Proposal> = VecDeque::new();
    let mut arrived = Vec::with_capacity(BATCH_COMMANDS);
    let mut in_flight = FuturesUnordered::new();
    let mut paused = forwarder.cluster.paused.subscribe();
    let mut look = tokio::time::interval(forwarder.cluster.heartbeat);
    let mut open = true;
    while open || !waiting.is_empty() || !in_flight.is_empty() {
        while !waiting.is_empty() && in_flight.len() < IN_FLIGHT && !*paused.borrow_and_update() {
            let group = take_group(&mut waiting);
            in_flight.push(Arc::clone(&forwarder).deliver(group));
        }
        tokio::select! {
            biased;
            Some(()) = in_flight.next() => {}
            count = inbox.recv_many(&mut arrived, BATCH_COMMANDS), if open && waiting.len() < BATCH_COMMANDS => {
                open = count > 0;
                waiting.extend(arrived.drain(..));
            }
            _ = paused.changed(), if !waiting.is_empty() => {}
            // Those under way may wait for a quorum that is gone: the others are told so at once.
            _ = look.tick(), if !waiting.is_empty() => {
                forwarder.refuse_hopeless(&mut waiting);
            }
        }
        // Whatever arrived meanwhile joins the next entry.
        while waiting.len() < BATCH_COMMANDS
            && let Ok(proposal) = inbox.try_recv()
        {
            waiting.push_back(proposal);
        }
    }
}

fn take_group(waiting: &mut VecDeque<Proposal>) -> Vec<Proposal> {
    let mut group = Vec::with_capacity(waiting.len().min(BATCH_COMMANDS));
    let (mut bytes, mut count) = (0, 0);
    while let Some(next) = waiting.front() {
        bytes += next.commands.iter().map(size).sum::<usize>();
        count += next.commands.len();
        if (bytes > BATCH_BYTES || count > BATCH_COMMANDS) && !group.is_empty() {
            break;
        }
        group.extend(waiting.pop_front().filter(|proposal| !proposal.is_given_up()));
    }
    group
}

/// Answers all of them with the same error.
pub(crate) fn refuse(group: impl IntoIterator<Item = Proposal>, error: &Error) {
    for proposal in group {
        let _ = proposal.answer.send(Err(error.clone()));
    }
}

fn size(command: &Command) -> usize {
    match command {
        Command::Txn(txn) => txn.size_bytes(),
        _ => 16,
    }
}
