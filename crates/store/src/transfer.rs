//! Hands leadership over to another voter: proposals wait, the target catches up and is told to stand.

use std::{collections::BTreeMap, time::Duration};

use openraft::ServerState;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Error, NodeId, RpcKind, Store,
    batch::Raft,
    cluster::{Cluster, Route, voters},
    transport::encode,
};

/// Longest time a target waits for votes before it asks again; doubled each time.
const FIRST_TRY: Duration = Duration::from_millis(150);

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
        let mut metrics = raft.metrics();
        let caught_up = metrics.wait_for(|metrics| {
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&to)?);
            metrics.replication.is_none() || matched.map(|id| id.index) >= metrics.last_log_index
        });
        match timeout_at(deadline, caught_up).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Error::Stopped),
            Err(_) => return Err(Error::Unreachable { id: to }),
        }
        let order = cluster.call(&target, RpcKind::TimeoutNow, encode(&term));
        match timeout_at(deadline, order).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Error::Unreachable { id: to }),
            Err(_) => return Err(Error::NotTransferred),
        }
        let mut server = raft.server_metrics();
        let followed = server.wait_for(|metrics| metrics.current_leader == Some(to));
        let followed = timeout_at(deadline, followed).await;
        drop(paused);
        match followed {
            Ok(Ok(_)) => Ok(()),
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
        let mut tried = BTreeMap::new();
        while self.leads().is_ok() {
            let candidates = self.members_status().into_iter().filter(|member| {
                let fresh = member.last_contact.is_some_and(|age| age < inner.cluster.patience());
                let other = member.id != inner.cluster.node_id;
                other && fresh && member.voter && !tried.contains_key(&member.id)
            });
            let Some(best) = candidates.max_by_key(|member| member.matched) else { break };
            tried.insert(best.id, ());
            result = self.transfer(best.id).await;
        }
        if self.leads().is_ok() { result } else { Ok(()) }
    }

    /// The term this node leads in.
    pub(crate) fn leads(&self) -> Result<u64, Error> {
        match self.inner().cluster.route(&self.inner().raft) {
            Route::Here { term } => Ok(term),
            Route::NoQuorum => Err(Error::NoQuorum),
            Route::To(leader) => Err(Error::NotLeader { leader: Some(leader.id) }),
            Route::Nobody => Err(Error::NotLeader { leader: None }),
        }
    }
}

/// Stands for election at once, as the leader says; answers whether this node leads.
pub(crate) async fn handle(cluster: &Cluster, raft: &Raft) -> Result<Vec<u8>, Error> {
    let deadline = Instant::now() + cluster.patience();
    let mut server = raft.server_metrics();
    let mut patience = FIRST_TRY;
    while Instant::now() < deadline {
        raft.trigger().elect().await.map_err(|_| Error::Stopped)?;
        let won = server.wait_for(|metrics| metrics.state == ServerState::Leader);
        match timeout(patience, won).await {
            Ok(Ok(_)) => return Ok(encode(&true)),
            Ok(Err(_)) => return Err(Error::Stopped),
            Err(_) => patience *= 2,
        }
    }
    Ok(encode(&false))
}
