//! Brings commands into the log: here when this node leads, over the transport when another does.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use openraft::error::{ClientWriteError, ForwardToLeader};
use serde::{Deserialize, Serialize};
use smr_state::{Command, CommandResult, decode_commands, encode_commands};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Error, Member, NodeId, NotSent, RpcKind,
    batch::{Batch, Raft},
    cluster::{Cluster, Route, voters},
    proposer::{Done, Proposal, Scope, Space, refuse},
    transport::{decode, encode},
};

/// Log bytes an entry may need beyond its commands.
const ENTRY_OVERHEAD: u64 = 4096;

/// What delivering needs.
pub(crate) struct Forwarder {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) raft: Raft,
    pub(crate) space: Space,
    /// What is on its way will take the same room.
    pub(crate) bytes_in_flight: AtomicU64,
}

/// Commands for the leader.
#[derive(Serialize, Deserialize)]
struct ProposeRequest {
    #[serde(with = "serde_bytes")]
    commands: Vec<u8>,
}

/// The leader's answer.
#[derive(Serialize, Deserialize)]
struct ProposeAnswer {
    index: u64,
    results: Vec<CommandResult>,
}

/// Why another member did not do what it was asked; the part of [`Error`] that travels.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Declined {
    NotLeader(Option<NodeId>),
    NoQuorum,
    DiskFull(std::path::PathBuf),
    Unknown,
    Failed,
}

impl Declined {
    pub(crate) fn new(error: &Error) -> Self {
        match error {
            Error::NotLeader { leader } => Self::NotLeader(*leader),
            Error::NoLeader { .. } => Self::NotLeader(None),
            Error::NoQuorum => Self::NoQuorum,
            Error::DiskFull { dir } => Self::DiskFull(dir.clone()),
            Error::Unknown { .. } | Error::Stopped => Self::Unknown,
            _ => Self::Failed,
        }
    }
}

/// Why commands did not get through.
enum Failure {
    /// They certainly did not happen; another member may take them.
    Elsewhere,
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Forwarder {
    /// Delivers a group and answers its writers.
    pub(crate) async fn deliver(self: Arc<Self>, mut group: Vec<Proposal>) {
        let Some(arrived) = group.iter().map(|proposal| proposal.arrived).min() else { return };
        let began = Instant::now();
        let deadline = began + self.cluster.propose_timeout;
        let give_up = arrived + self.cluster.patience() + self.cluster.election;
        let unknown = || Error::Unknown { after: began.elapsed() };
        let done = loop {
            let route = self.cluster.route(&self.raft);
            group = refuse_misplaced(group, &route);
            if group.is_empty() {
                return;
            }
            let mut commands = Vec::with_capacity(group.len());
            let counts: Vec<usize> = group
                .iter_mut()
                .map(|proposal| {
                    let count = proposal.commands.len();
                    commands.append(&mut proposal.commands);
                    count
                })
                .collect();
            let attempt = match &route {
                Route::Here { .. } => timeout_at(deadline, self.write(&commands)).await,
                Route::To(leader) => timeout_at(deadline, self.send(leader, &commands)).await,
                Route::NoQuorum => Ok(Err(Error::NoQuorum.into())),
                Route::Nobody => Ok(Err(Failure::Elsewhere)),
            };
            match attempt.unwrap_or_else(|_| Err(unknown().into())) {
                Ok(done) => break Ok((done, counts)),
                Err(Failure::Final(Error::Unknown { .. })) => break Err(unknown()),
                Err(Failure::Final(error)) => break Err(error),
                Err(Failure::Elsewhere) => {}
            }
            if !self.await_change(give_up).await {
                break Err(self.no_leader());
            }
            let mut commands = commands.into_iter();
            for (proposal, count) in group.iter_mut().zip(counts) {
                proposal.commands.extend(commands.by_ref().take(count));
            }
        };
        match done {
            Ok((Done { index, results }, counts)) => {
                let mut results = results.into_iter();
                for (proposal, count) in group.into_iter().zip(counts) {
                    let results = results.by_ref().take(count).collect();
                    // A writer that went away does not want its answer.
                    let _ = proposal.answer.send(Ok(Done { index, results }));
                }
            }
            Err(error) => refuse(group, &error),
        }
    }

    /// Refuses what waits behind something that cannot go on either.
    pub(crate) fn refuse_hopeless(&self, waiting: &mut VecDeque<Proposal>) {
        waiting.retain(|proposal| !proposal.is_given_up());
        match self.cluster.route(&self.raft) {
            Route::NoQuorum => refuse(waiting.drain(..), &Error::NoQuorum),
            Route::Nobody => {
                let patience = self.cluster.patience() + self.cluster.election;
                let late = waiting.iter().take_while(|p| p.arrived.elapsed() >= patience).count();
                refuse(waiting.drain(..late), &self.no_leader());
            }
            Route::Here { .. } | Route::To(_) => {}
        }
    }

    /// Waits until somebody else may lead; `false` when it is time to give up.
    pub(crate) async fn await_change(&self, give_up: Instant) -> bool {
        if Instant::now() >= give_up {
            return false;
        }
        let mut metrics = self.raft.server_metrics();
        metrics.mark_unchanged();
        // Silence and contact change without a sign.
        let _ = timeout(self.cluster.heartbeat / 4, metrics.changed()).await;
        true
    }

    pub(crate) fn no_leader(&self) -> Error {
        let (_, at) = self.cluster.last_heard();
        let membership = self.raft.server_metrics().borrow().membership_config.clone();
        let voters = voters(&membership).into_iter().map(|member| member.id).collect();
        Error::NoLeader { silent: at.elapsed(), voters }
    }

    /// Puts commands into the log of this node, which leads.
    async fn write(&self, commands: &[Command]) -> Result<Done, Failure> {
        // Counted first, looked at second: whoever pauses and then waits for nobody to write misses none.
        let _writing = Writing::begin(&self.cluster);
        if *self.cluster.paused.borrow() {
            return Err(Failure::Elsewhere);
        }
        let (batch, appended) = Batch::new(commands);
        let bytes = batch.len() as u64 + ENTRY_OVERHEAD;
        let room = Room::take(&self.bytes_in_flight, bytes);
        self.space.check(room.total).await?;
        let Ok(result) = self.raft.client_write_ff(batch).await else {
            return Err(Error::Stopped.into());
        };
        match result.await {
            Ok(Ok(written)) => Ok(Done { index: written.log_id.index, results: written.data.0 }),
            Ok(Err(ClientWriteError::ForwardToLeader(ForwardToLeader { .. }))) => {
                if appended.load(Ordering::Acquire) {
                    // It was in the log and was cut off here; another member may still have it.
                    Err(Error::Unknown { after: std::time::Duration::ZERO }.into())
                } else {
                    Err(Failure::Elsewhere)
                }
            }
            Ok(Err(ClientWriteError::ChangeMembershipError(_))) | Err(_) => {
                Err(Error::Stopped.into())
            }
        }
    }

    /// Sends commands to the leader, and waits until the local copy has what they did.
    async fn send(&self, leader: &Member, commands: &[Command]) -> Result<Done, Failure> {
        let body = encode(&ProposeRequest { commands: encode_commands(commands) });
        let answer = tokio::select! {
            answer = self.cluster.call(leader, RpcKind::Propose, body) => answer,
            () = self.lost(leader.id) => return Err(unknown()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.source.is::<NotSent>() => return Err(Failure::Elsewhere),
            Err(_) => return Err(unknown()),
        };
        let ProposeAnswer { index, results } =
            match decode::<Result<ProposeAnswer, Declined>>(&answer)? {
                Ok(answer) if answer.results.len() == commands.len() => answer,
                Ok(_) | Err(Declined::Failed) => return Err(Error::BadMessage.into()),
                Err(Declined::NotLeader(_)) => return Err(Failure::Elsewhere),
                Err(Declined::NoQuorum) => return Err(Error::NoQuorum.into()),
                Err(Declined::DiskFull(dir)) => return Err(Error::DiskFull { dir }.into()),
                Err(Declined::Unknown) => return Err(unknown()),
            };
        // What happened has happened: a copy that cannot follow does not make it unknown.
        let _ = timeout(self.cluster.patience(), self.cluster.wait_applied(index)).await;
        Ok(Done { index, results })
    }

    /// Returns once `leader` does not seem to lead any more.
    async fn lost(&self, leader: NodeId) {
        let mut look = tokio::time::interval(self.cluster.heartbeat);
        let mut since = Instant::now();
        // One that hands over answers soon, although nobody leads for a moment.
        while since.elapsed() < self.cluster.patience() {
            look.tick().await;
            match self.cluster.route(&self.raft) {
                Route::To(member) if member.id == leader => since = Instant::now(),
                _ => {}
            }
        }
    }
}

fn unknown() -> Failure {
    Failure::Final(Error::Unknown { after: std::time::Duration::ZERO })
}

/// Refuses what may only happen under a leader that this node is not; the rest goes on.
fn refuse_misplaced(group: Vec<Proposal>, route: &Route) -> Vec<Proposal> {
    let leader = match route {
        Route::To(member) => Some(member.id),
        Route::Here { .. } | Route::NoQuorum | Route::Nobody => None,
    };
    let fits = |scope: Scope| match (scope, route) {
        (Scope::Cluster, _) | (_, Route::NoQuorum) | (Scope::Here, Route::Here { .. }) => true,
        (Scope::Term(wanted), Route::Here { term }) => wanted == *term,
        (Scope::Here | Scope::Term(_), _) => false,
    };
    let (fit, misplaced): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|proposal| fits(proposal.scope));
    refuse(misplaced, &Error::NotLeader { leader });
    fit
}

/// Answers a message with commands: they happen here or not at all.
pub(crate) async fn handle(
    proposals: &mpsc::Sender<Proposal>,
    patience: std::time::Duration,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let request: ProposeRequest = decode(body)?;
    let commands = decode_commands(&request.commands).map_err(|_| Error::BadMessage)?;
    let (proposal, answered) = Proposal::new(commands, Scope::Here);
    proposals.send(proposal).await.map_err(|_| Error::Stopped)?;
    let answer = match timeout(patience, answered).await {
        Ok(answer) => answer.unwrap_or(Err(Error::Stopped)),
        Err(_) => Err(Error::Unknown { after: patience }),
    };
    let answer = answer
        .map(|Done { index, results }| ProposeAnswer { index, results })
        .map_err(|error| Declined::new(&error));
    Ok(encode(&answer))
}

/// The answer of a member that took no notice of the commands.
pub(crate) fn decline() -> Vec<u8> {
    encode(&Err::<ProposeAnswer, _>(Declined::NotLeader(None)))
}

/// Counts as writing for as long as it lives.
struct Writing<'a>(&'a Cluster);

impl<'a> Writing<'a> {
    fn begin(cluster: &'a Cluster) -> Self {
        cluster.writing.send_modify(|count| *count += 1);
        Self(cluster)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.send_modify(|count| *count -= 1);
    }
}

/// Bytes of the log that are spoken for as long as this lives.
struct Room<'a> {
    counter: &'a AtomicU64,
    bytes: u64,
    total: u64,
}

impl<'a> Room<'a> {
    fn take(counter: &'a AtomicU64, bytes: u64) -> Self {
        let total = counter.fetch_add(bytes, Ordering::Relaxed) + bytes;
        Self { counter, bytes, total }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
