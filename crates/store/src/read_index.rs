//! How far a linearizable read has to wait: one confirmation by a quorum for all who ask at once.

use std::sync::Arc;

use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use crate::{
    Error, Member, RpcKind,
    cluster::Route,
    forward::{Declined, Forwarder},
    transport::{decode, encode},
};

/// Whom to tell the index of the log entry to wait for.
pub(crate) type Asked = oneshot::Sender<Result<u64, Error>>;

/// Runs until every sender is gone. Those who ask during a round wait for the next one: a round that
/// began before they asked may not know of what they have to see.
pub(crate) async fn run(forwarder: Arc<Forwarder>, mut inbox: mpsc::Receiver<Asked>) {
    while let Some(first) = inbox.recv().await {
        let mut asked = vec![first];
        while let Ok(next) = inbox.try_recv() {
            asked.push(next);
        }
        asked.retain(|one| !one.is_closed());
        if asked.is_empty() {
            continue;
        }
        let answer = round(&forwarder).await;
        for one in asked {
            let _ = one.send(answer.clone());
        }
    }
}

async fn round(forwarder: &Forwarder) -> Result<u64, Error> {
    let cluster = &forwarder.cluster;
    let give_up = Instant::now() + cluster.patience() + cluster.election;
    loop {
        let found = match cluster.route(&forwarder.raft) {
            Route::Here { .. } => confirm(forwarder).await?,
            Route::To(leader) => ask(forwarder, &leader).await?,
            Route::NoQuorum => return Err(Error::NoQuorum),
            Route::Nobody => None,
        };
        if let Some(index) = found {
            return Ok(index);
        }
        if !forwarder.await_change(give_up).await {
            let leads = matches!(cluster.route(&forwarder.raft), Route::Here { .. });
            return Err(if leads { Error::NoQuorum } else { forwarder.no_leader() });
        }
    }
}

/// Asks the voters of this node; `None` when it is worth another try.
async fn confirm(forwarder: &Forwarder) -> Result<Option<u64>, Error> {
    let asking = forwarder.raft.get_read_log_id();
    match timeout(forwarder.cluster.election, asking).await {
        Ok(Ok((id, _))) => Ok(Some(id.map_or(0, |id| id.index))),
        Ok(Err(RaftError::Fatal(_))) => Err(Error::Stopped),
        Ok(Err(RaftError::APIError(
            CheckIsLeaderError::ForwardToLeader(_) | CheckIsLeaderError::QuorumNotEnough(_),
        )))
        | Err(_) => Ok(None),
    }
}

/// Asks the leader; `None` when it is worth another try.
async fn ask(forwarder: &Forwarder, leader: &Member) -> Result<Option<u64>, Error> {
    let cluster = &forwarder.cluster;
    let asking = cluster.call(leader, RpcKind::ReadIndex, encode(&()));
    let Ok(Ok(answer)) = timeout(cluster.election, asking).await else { return Ok(None) };
    match decode::<Result<u64, Declined>>(&answer)? {
        Ok(index) => Ok(Some(index)),
        Err(Declined::NoQuorum) => Err(Error::NoQuorum),
        Err(_) => Ok(None),
    }
}

/// Answers the question of another member, which takes this one for the leader.
pub(crate) async fn handle(
    forwarder: &Forwarder,
    questions: &mpsc::Sender<Asked>,
) -> Result<Vec<u8>, Error> {
    let declined = match forwarder.cluster.route(&forwarder.raft) {
        Route::Here { .. } => None,
        Route::NoQuorum => Some(Declined::NoQuorum),
        Route::To(leader) => Some(Declined::NotLeader(Some(leader.id))),
        Route::Nobody => Some(Declined::NotLeader(None)),
    };
    if let Some(declined) = declined {
        return Ok(encode(&Err::<u64, _>(declined)));
    }
    let (asked, answer) = oneshot::channel();
    questions.send(asked).await.map_err(|_| Error::Stopped)?;
    let answer = answer.await.unwrap_or(Err(Error::Stopped));
    Ok(encode(&answer.map_err(|error| Declined::new(&error))))
}
