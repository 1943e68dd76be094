//! Gathers concurrent commands into one log entry, so that they share one append and one sync.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use openraft::error::{ClientWriteError, ForwardToLeader};
use smr_state::{Command, Response};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error,
    batch::{Batch, Raft},
    wal::Wal,
};

/// Most commands in one log entry.
const BATCH_COMMANDS: usize = 512;
/// Commands are not gathered beyond this many bytes.
const BATCH_BYTES: usize = 1024 * 1024;
/// Entries under way: while one is synced the next one is gathered.
const IN_FLIGHT: usize = 2;
/// Log bytes an entry may need beyond its commands.
const ENTRY_OVERHEAD: u64 = 4096;

/// A command and whom to answer.
pub(crate) struct Proposal {
    pub(crate) command: Command,
    pub(crate) answer: oneshot::Sender<Result<Response, Error>>,
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
    async fn check(&self, bytes: u64) -> Result<(), Error> {
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

/// Runs until every sender is gone or `raft` stopped.
pub(crate) async fn run(raft: Raft, space: Space, mut inbox: mpsc::Receiver<Proposal>) {
    let mut waiting: VecDeque<Proposal> = VecDeque::new();
    let mut arrived = Vec::with_capacity(BATCH_COMMANDS);
    let mut in_flight = FuturesUnordered::new();
    let mut bytes_in_flight = 0;
    let mut open = true;
    while open || !waiting.is_empty() || !in_flight.is_empty() {
        while !waiting.is_empty() && in_flight.len() < IN_FLIGHT {
            let group = take_group(&mut waiting);
            if let Some((bytes, answered)) = propose(&raft, &space, group, bytes_in_flight).await {
                bytes_in_flight += bytes;
                in_flight.push(async move {
                    answered.await;
                    bytes
                });
            }
        }
        tokio::select! {
            biased;
            Some(bytes) = in_flight.next() => bytes_in_flight -= bytes,
            count = inbox.recv_many(&mut arrived, BATCH_COMMANDS), if open && waiting.len() < BATCH_COMMANDS => {
                open = count > 0;
                waiting.extend(arrived.drain(..));
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
    let mut bytes = 0;
    while group.len() < BATCH_COMMANDS
        && let Some(next) = waiting.front()
    {
        bytes += size(&next.command);
        if bytes > BATCH_BYTES && !group.is_empty() {
            break;
        }
        group.extend(waiting.pop_front());
    }
    group
}

/// Hands a group to openraft; returns its bytes of log, and a future that answers the writers.
async fn propose(
    raft: &Raft,
    space: &Space,
    group: Vec<Proposal>,
    bytes_in_flight: u64,
) -> Option<(u64, impl Future<Output = ()> + use<>)> {
    let (commands, answers): (Vec<_>, Vec<_>) =
        group.into_iter().map(|proposal| (proposal.command, proposal.answer)).unzip();
    let batch = Batch::new(&commands);
    let bytes = batch.len() as u64 + ENTRY_OVERHEAD;
    // What is on its way will take the same room.
    if let Err(error) = space.check(bytes_in_flight + bytes).await {
        refuse(answers, &error);
        return None;
    }
    match raft.client_write_ff(batch).await {
        Ok(result) => Some((bytes, async move {
            match result.await {
                Ok(Ok(written)) => {
                    for (answer, result) in answers.into_iter().zip(written.data.0) {
                        // A writer that went away does not want its answer.
                        let _ = answer.send(result.map_err(Error::from));
                    }
                }
                Ok(Err(ClientWriteError::ForwardToLeader(ForwardToLeader {
                    leader_id, ..
                }))) => {
                    refuse(answers, &Error::NotLeader { leader: leader_id });
                }
                Ok(Err(ClientWriteError::ChangeMembershipError(_))) | Err(_) => {
                    refuse(answers, &Error::Stopped);
                }
            }
        })),
        Err(_) => {
            refuse(answers, &Error::Stopped);
            None
        }
    }
}

fn refuse(answers: Vec<oneshot::Sender<Result<Response, Error>>>, error: &Error) {
    for answer in answers {
        let _ = answer.send(Err(error.clone()));
    }
}

fn size(command: &Command) -> usize {
    match command {
        Command::Txn(txn) => txn.size_bytes(),
        _ => 16,
    }
}
