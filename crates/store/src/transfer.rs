//! Hands leadership over to another voter: proposals wait, the target catches up and is told to stand.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream::FuturesUnordered};
use openraft::{BasicNode, RaftMetrics, ServerState, raft::AppendEntriesRequest};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Error, NodeId, RpcKind, Store,
    batch::{LogId, Raft, StoredMembership, TypeConfig, Vote},
    cluster::{Cluster, Route, is_majority, voters},
    transport::{decode, encode},
    wal::Wal,
};

/// Keeps proposals waiting, and this leader silent, for as long as it lives.
struct Pause<'a> {
    paused: &'a watch::Sender<bool>,
    raft: &'a Raft,
}

impl<'a> Pause<'a> {
    fn begin(cluster: &'a Cluster, raft: &'a Raft) -> Self {
        cluster.paused.send_replace(true);
        // Signs of life would renew the promise of the voters not to vote for somebody else.
        raft.runtime_config().heartbeat(false);
        Self { paused: &cluster.paused, raft }
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.raft.runtime_config().heartbeat(true);
        self.paused.send_replace(false);
    }
}

impl Store {
    /// Hands leadership to voter `to`. Writes wait meanwhile and then go to it; usually for a few
    /// milliseconds. Returns once this node knows that `to` leads.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeader`] when this node does not lead, [`Error::Membership`] when `to` has no vote,
    /// [`Error::Unreachable`] when it does not answer or lags too far behind, and
    /// [`Error::NotTransferred`] when it did not win; this node may lead on.
    pub async fn transfer(&self, to: NodeId) -> Result<(), Error> {
        let inner = self.inner();
        let (cluster, raft) = (&*inner.cluster, &inner.raft);
        let _alone = inner.changing.lock().await;
        let term = self.leads()?;
        if to == cluster.node_id {
            return Ok(());
        }
        let membership = raft.server_metrics().borrow().membership_config.clone();
        let target = voters(&membership).into_iter().find(|voter| voter.id == to);
        let target = target.ok_or(Error::Membership)?;

        let deadline = Instant::now() + cluster.patience();
        let paused = Pause::begin(cluster, raft);
        let mut writing = cluster.writing.subscribe();
        let mut metrics = raft.metrics();
        let caught_up = async {
            writing.wait_for(|count| *count == 0).await?;
            let last = inner.wal.ends().1;
            let caught_up = |metrics: &RaftMetrics<NodeId, BasicNode>| match &metrics.replication {
                Some(all) => all.get(&to).copied().flatten() >= last,
                None => true,
            };
            metrics.wait_for(caught_up).await.map(|_| ())
        };
        match timeout_at(deadline, caught_up).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::Stopped),
            Err(_) => return Err(Error::Unreachable { id: to }),
        }
        let order = cluster.call(&target, RpcKind::TimeoutNow, encode(&term));
        match timeout_at(deadline, order).await {
            Ok(Ok(answer)) if decode::<bool>(&answer)? => {}
            Ok(Err(_)) => return Err(Error::Unreachable { id: to }),
            Ok(Ok(_)) | Err(_) => return Err(Error::NotTransferred),
        }
        let mut server = raft.server_metrics();
        let followed = server.wait_for(|metrics| metrics.current_leader == Some(to));
        // Without the guard it comes with, which may not be held while waiting.
        let followed = timeout_at(deadline, followed).await.map(|seen| seen.map(drop));
        drop(paused);
        // Whoever asks who leads after this is told so.
        let mut told = cluster.leadership.subscribe();
        let _ = timeout_at(deadline, told.wait_for(|seen| !seen.is_me)).await;
        match followed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => Err(Error::NotTransferred),
        }
    }

    /// Hands leadership to whichever other voter is most up to date, before this node stops. Does
    /// nothing when this node does not lead, or when there is no other voter that answers.
    ///
    /// # Errors
    ///
    /// Those of [`transfer`](Self::transfer), for the last voter tried.
    pub async fn step_down(&self) -> Result<(), Error> {
        let inner = self.inner();
        let mut result = Ok(());
        let mut tried = BTreeSet::new();
        while self.leads().is_ok() {
            let candidates = self.members_status().into_iter().filter(|member| {
                let fresh = member.last_contact.is_some_and(|age| age < inner.cluster.patience());
                let other = member.id != inner.cluster.node_id;
                other && fresh && member.voter && !tried.contains(&member.id)
            });
            let Some(best) = candidates.max_by_key(|member| member.matched) else { break };
            tried.insert(best.id);
            result = self.transfer(best.id).await;
        }
        if self.leads().is_ok() { result } else { Ok(()) }
    }

    /// The term this node leads in.
    pub(crate) fn leads(&self) -> Result<u64, Error> {
        self.running()?;
        match self.inner().cluster.route(&self.inner().raft) {
            Route::Here { term } => Ok(term),
            Route::NoQuorum => Err(Error::NoQuorum),
            Route::To(leader) => Err(Error::NotLeader { leader: Some(leader.id) }),
            Route::Nobody => Err(Error::NotLeader { leader: None }),
        }
    }
}

/// Stands for election at once, as the leader says; answers whether this node leads.
pub(crate) async fn handle(
    cluster: &Cluster,
    raft: &Raft,
    wal: &Wal,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let term: u64 = decode(body)?;
    if wal.vote().is_some_and(|vote| vote.leader_id().term != term) {
        return Ok(encode(&false));
    }
    let deadline = Instant::now() + cluster.patience();
    let membership = raft.server_metrics().borrow().membership_config.clone();
    announce(cluster, &membership, Vote::new(term + 1, cluster.node_id)).await;
    let mut server = raft.server_metrics();
    while Instant::now() < deadline {
        raft.trigger().elect().await.map_err(|_| Error::Stopped)?;
        let won = server.wait_for(|metrics| metrics.state == ServerState::Leader);
        match timeout(cluster.election, won).await {
            Ok(Ok(_)) => return Ok(encode(&true)),
            Ok(Err(_)) => return Err(Error::Stopped),
            Err(_) => {}
        }
    }
    Ok(encode(&false))
}

/// Tells the voters of the term to come. They give no vote for a while after a sign of life of their
/// leader, unless they know of a later term; whether they then vote still depends on their logs.
///
/// openraft looks at the term of a message first and at the entry it continues next. That one exists
/// nowhere, so that the message does nothing else: it is answered as a conflict beyond the log.
async fn announce(cluster: &Cluster, membership: &StoredMembership, vote: Vote) {
    let others = voters(membership).into_iter().filter(|voter| voter.id != cluster.node_id);
    let told = others.map(|voter| {
        let message = AppendEntriesRequest::<TypeConfig> {
            vote,
            prev_log_id: Some(LogId::new(*vote.leader_id(), u64::MAX - 1)),
            entries: Vec::new(),
            leader_commit: None,
        };
        async move {
            let sent = cluster.call(&voter, RpcKind::AppendEntries, encode(&message));
            timeout(cluster.heartbeat, sent)
                .await
                .is_ok_and(|answer| answer.is_ok())
                .then_some(voter.id)
        }
    });
    let mut told: FuturesUnordered<_> = told.collect();
    let mut reached = vec![cluster.node_id];
    while !is_majority(membership, &reached)
        && let Some(voter) = told.next().await
    {
        reached.extend(voter);
    }
}
