//! What this member knows about the others: who answered when, who leads, what is applied.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openraft::ServerState;
use tokio::{sync::watch, time::Instant};

use crate::{
    Leadership, Member, NodeId, Options, Rpc, RpcKind, SnapshotProgress, Transport, TransportError,
    batch::{Raft, StoredMembership},
};

/// Shared by the tasks of one store.
pub(crate) struct Cluster {
    pub(crate) node_id: NodeId,
    pub(crate) heartbeat: Duration,
    /// Shortest silence of a leader after which a voter stands for election.
    pub(crate) election: Duration,
    pub(crate) propose_timeout: Duration,
    transport: Arc<dyn Transport>,
    contacts: Mutex<BTreeMap<NodeId, Contact>>,
    heard: Mutex<Heard>,
    /// The term in which this node leads, and since when.
    since: Mutex<Option<(u64, Instant)>>,
    /// Set on a leader that lost its quorum: it makes no sign of life to those that do not answer, so
    /// that they can elect another one.
    pub(crate) suspended: AtomicBool,
    /// Index of the last entry applied here.
    pub(crate) applied: watch::Sender<u64>,
    pub(crate) leadership: watch::Sender<Leadership>,
    /// Set while leadership is handed over: proposals wait.
    pub(crate) paused: watch::Sender<bool>,
    /// Groups that are being written here.
    pub(crate) writing: watch::Sender<u64>,
}

/// What is known of one other member.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Contact {
    /// When the last message that it answered was sent.
    pub(crate) answered: Option<Instant>,
    pub(crate) snapshot: Option<SnapshotProgress>,
}

/// Signs of life of a leader.
#[derive(Debug, Clone, Copy)]
struct Heard {
    leader: Option<NodeId>,
    at: Instant,
}

/// Where a write goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// This node leads in this term, and a quorum answers.
    Here { term: u64 },
    /// This node leads but too few voters answer it.
    NoQuorum,
    /// Another node leads.
    To(Member),
    /// Nobody does, or the leader is silent.
    Nobody,
}

impl Cluster {
    pub(crate) fn new(options: &Options, applied: u64) -> Self {
        Self {
            node_id: options.node_id,
            heartbeat: options.heartbeat,
            election: options.election_timeout,
            propose_timeout: options.propose_timeout,
            transport: Arc::clone(&options.transport),
            contacts: Mutex::default(),
            heard: Mutex::new(Heard { leader: None, at: Instant::now() }),
            since: Mutex::default(),
            suspended: AtomicBool::new(false),
            applied: watch::Sender::new(applied),
            leadership: watch::Sender::new(Leadership::default()),
            paused: watch::Sender::new(false),
            writing: watch::Sender::new(0),
        }
    }

    /// Silence after which a leader, or the quorum of one, is given up.
    pub(crate) fn patience(&self) -> Duration {
        self.election * 2
    }

    /// Sends a message and remembers that it was answered.
    pub(crate) async fn call(
        &self,
        target: &Member,
        kind: RpcKind,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, TransportError> {
        let sent = Instant::now();
        let answer = self.transport.call(target.clone(), Rpc { kind, body }).await?;
        self.answered(target.id, sent);
        Ok(answer)
    }

    /// Whether `target` may get signs of life of this leader; may ask it whether it is there.
    pub(crate) async fn may_lead(&self, target: &Member) -> Result<(), TransportError> {
        let silent = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() > self.patience());
        if self.suspended.load(Ordering::Relaxed) && silent(self.contact(target.id).answered) {
            self.call(target, RpcKind::Probe, Vec::new()).await?;
        }
        Ok(())
    }

    fn answered(&self, id: NodeId, sent: Instant) {
        let mut contacts = lock(&self.contacts);
        let contact = contacts.entry(id).or_default();
        contact.answered = contact.answered.max(Some(sent));
    }

    pub(crate) fn contact(&self, id: NodeId) -> Contact {
        lock(&self.contacts).get(&id).copied().unwrap_or_default()
    }

    pub(crate) fn snapshot_progress(&self, id: NodeId, progress: Option<SnapshotProgress>) {
        lock(&self.contacts).entry(id).or_default().snapshot = progress;
    }

    /// Forgets a member that was removed.
    pub(crate) fn forget(&self, id: NodeId) {
        lock(&self.contacts).remove(&id);
    }

    /// A leader was heard.
    pub(crate) fn heard(&self, leader: NodeId) {
        *lock(&self.heard) = Heard { leader: Some(leader), at: Instant::now() };
    }

    /// Last sign of life of a leader and whose it was.
    pub(crate) fn last_heard(&self) -> (Option<NodeId>, Instant) {
        let heard = lock(&self.heard);
        (heard.leader, heard.at)
    }

    /// The last moment at which every quorum still had answered; this node always answers itself.
    /// `None` when some quorum never did.
    pub(crate) fn quorum_contact(&self, membership: &StoredMembership) -> Option<Instant> {
        let now = Instant::now();
        let contacts = lock(&self.contacts);
        let mut oldest = Some(now);
        for voters in membership.membership().get_joint_config() {
            let mut answers: Vec<Option<Instant>> = voters
                .iter()
                .map(|id| match contacts.get(id) {
                    _ if *id == self.node_id => Some(now),
                    Some(contact) => contact.answered,
                    None => None,
                })
                .collect();
            answers.sort_unstable();
            // With the newest at the end, a majority has answered at this one or later.
            let majority = answers.len() / 2 + 1;
            let at = answers.len().checked_sub(majority).and_then(|index| answers[index]);
            oldest = oldest.min(at);
        }
        oldest
    }

    /// Whether a leader that has led since `since` may believe that it still does.
    pub(crate) fn has_quorum(&self, membership: &StoredMembership, since: Instant) -> bool {
        let last = self.quorum_contact(membership).unwrap_or(since).max(since);
        last.elapsed() <= self.patience()
    }

    /// Where a write goes as of this moment.
    pub(crate) fn route(&self, raft: &Raft) -> Route {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow();
        if metrics.state == ServerState::Leader {
            let term = metrics.vote.leader_id().term;
            return if self.has_quorum(&metrics.membership_config, self.leading_since(term)) {
                Route::Here { term }
            } else {
                Route::NoQuorum
            };
        }
        let (_, at) = self.last_heard();
        match metrics.current_leader {
            Some(id) if id != self.node_id && at.elapsed() <= self.patience() => {
                let node = metrics.membership_config.membership().get_node(&id);
                let address = node.map(|node| node.addr.clone()).unwrap_or_default();
                Route::To(Member { id, address })
            }
            _ => Route::Nobody,
        }
    }

    /// When this node was first seen leading in `term`; now, when it was not before.
    pub(crate) fn leading_since(&self, term: u64) -> Instant {
        let mut since = lock(&self.since);
        match *since {
            Some((known, at)) if known == term => at,
            _ => {
                let now = Instant::now();
                *since = Some((term, now));
                now
            }
        }
    }

    /// Waits until entry `index` is applied here; `None` when the store stops.
    pub(crate) async fn wait_applied(&self, index: u64) -> Option<()> {
        let mut applied = self.applied.subscribe();
        applied.wait_for(|applied| *applied >= index).await.ok().map(|_| ())
    }
}

/// Whether these members are a majority of every configuration.
pub(crate) fn is_majority(membership: &StoredMembership, granted: &[NodeId]) -> bool {
    membership
        .membership()
        .get_joint_config()
        .iter()
        .all(|voters| voters.iter().filter(|id| granted.contains(id)).count() > voters.len() / 2)
}

/// Voters of all configurations with their addresses.
pub(crate) fn voters(membership: &StoredMembership) -> Vec<Member> {
    let membership = membership.membership();
    membership
        .voter_ids()
        .map(|id| Member {
            id,
            address: membership.get_node(&id).map(|node| node.addr.clone()).unwrap_or_default(),
        })
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
