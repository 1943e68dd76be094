//! When to stand for election, and who is said to lead.
//!
//! openraft's own timer is off. A voter that hears no leader asks all voters first whether they would
//! vote for it; only with a majority does it raise its term. A node that was cut off, or flaps, thus
//! never disturbs a leader that the others hear.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use openraft::ServerState;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::{
    Error, Leadership, NodeId, RpcKind,
    batch::{LogId, Raft, StoredMembership},
    cluster::{Cluster, is_majority, voters},
    transport::{decode, encode},
    wal::Wal,
};

/// Would you vote for me?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PreVote {
    pub(crate) candidate: NodeId,
    pub(crate) term: u64,
    pub(crate) last_log_id: Option<LogId>,
}

/// What the election task works with.
pub(crate) struct Election {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) raft: Raft,
    pub(crate) wal: Arc<Wal>,
}

/// Where this node is in its term as a leader.
#[derive(Debug, Clone, Copy)]
struct Term {
    term: u64,
    /// Last entry of the log when the term began.
    begin: u64,
}

impl Election {
    /// Runs until consensus stops.
    pub(crate) async fn run(self) {
        self.watch().await;
        let term = self.cluster.leadership.borrow().term;
        self.cluster.leadership.send_replace(Leadership { term, ..Leadership::default() });
    }

    async fn watch(&self) {
        let mut server = self.raft.server_metrics();
        let mut applied = self.cluster.applied.subscribe();
        let mut leading: Option<Term> = None;
        let mut wait = self.random_wait(self.cluster.election);
        let mut tried = Instant::now();
        loop {
            self.observe(&mut leading);
            let (_, heard) = self.cluster.last_heard();
            let (electable, alone) = {
                let metrics = server.borrow_and_update();
                let voters = &metrics.membership_config;
                let mut ids = voters.membership().voter_ids();
                let voter = voters.membership().voter_ids().any(|id| id == self.cluster.node_id);
                let alone = voter && ids.next().is_some() && ids.next().is_none();
                (voter && metrics.state != ServerState::Leader, alone)
            };
            if !electable {
                // Who leads hears nobody; a leader that lost its term waits like all the others.
                tried = Instant::now();
            } else if alone || heard.max(tried).elapsed() >= wait {
                let stood = self.stand().await;
                // Whoever lost looks again soon, but not when all the others do.
                wait = self.random_wait(self.cluster.election / if stood { 2 } else { 4 });
                tried = Instant::now();
            } else if heard > tried {
                wait = self.random_wait(self.cluster.election);
                tried = heard;
            }
            let ready = leading.is_none_or(|term| *applied.borrow_and_update() >= term.begin);
            // Nobody can be silent to a sole voter.
            let look = if alone { self.cluster.propose_timeout } else { self.cluster.heartbeat };
            let due = (heard.max(tried) + wait).saturating_duration_since(Instant::now());
            let pause = if electable { look.min(due) } else { look };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = server.changed() => if changed.is_err() { return },
                changed = applied.changed(), if !ready => if changed.is_err() { return },
            }
        }
    }

    /// Publishes who leads.
    fn observe(&self, leading: &mut Option<Term>) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let is_leader = metrics.state == ServerState::Leader;
        let term = metrics.current_term;
        let me = self.cluster.node_id;
        let mut now = Leadership { leader: None, term, is_me: false, ready: false };
        if is_leader {
            if leading.is_none_or(|known| known.term != term) {
                *leading = Some(Term { term, begin: metrics.last_log_index.unwrap_or(0) });
            }
            let since = self.cluster.leading_since(term);
            let quorum = self.cluster.has_quorum(&metrics.membership_config, since);
            self.cluster.suspended.store(!quorum, Ordering::Relaxed);
            if quorum {
                let begin = leading.map_or(u64::MAX, |term| term.begin);
                let ready = *self.cluster.applied.borrow() >= begin;
                now = Leadership { leader: Some(me), term, is_me: true, ready };
            }
        } else {
            *leading = None;
            self.cluster.suspended.store(false, Ordering::Relaxed);
            let (_, heard) = self.cluster.last_heard();
            let known = metrics.current_leader.filter(|id| *id != me);
            now.leader = known.filter(|_| heard.elapsed() <= self.cluster.patience());
        }
        drop(metrics);
        self.cluster.leadership.send_if_modified(|published| {
            let changed = *published != now;
            *published = now;
            changed
        });
    }

    /// Stands for election if a majority would vote for this node; whether it did.
    async fn stand(&self) -> bool {
        let membership = self.raft.server_metrics().borrow().membership_config.clone();
        if !self.would_win(&membership).await {
            return false;
        }
        if self.raft.trigger().elect().await.is_err() {
            return false;
        }
        let cluster = &self.cluster;
        let mut metrics = self.raft.server_metrics();
        let decided = metrics.wait_for(|metrics| metrics.current_leader.is_some());
        let _ = timeout(cluster.election / 2, decided).await;
        true
    }

    async fn would_win(&self, membership: &StoredMembership) -> bool {
        let cluster = &self.cluster;
        let mut granted = vec![cluster.node_id];
        let question = PreVote {
            candidate: cluster.node_id,
            term: self.wal.vote().map_or(0, |vote| vote.leader_id().term),
            last_log_id: self.wal.ends().1,
        };
        let mut answers: FuturesUnordered<_> = voters(membership)
            .into_iter()
            .filter(|voter| voter.id != cluster.node_id)
            .map(|voter| {
                let body = encode(&question);
                async move {
                    let answer = cluster.call(&voter, RpcKind::PreVote, body);
                    let answer = timeout(cluster.election / 2, answer).await.ok()?.ok()?;
                    decode::<bool>(&answer).ok()?.then_some(voter.id)
                }
            })
            .collect();
        while !is_majority(membership, &granted) {
            match answers.next().await {
                Some(voter) => granted.extend(voter),
                None => return false,
            }
        }
        true
    }

    /// Between `least` and twice that.
    fn random_wait(&self, least: Duration) -> Duration {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(self.cluster.node_id);
        least + least.mul_f64((hasher.finish() % 1000) as f64 / 1000.0)
    }
}

/// Answers the question of another voter. Changes nothing here.
pub(crate) fn handle(
    cluster: &Cluster,
    raft: &Raft,
    wal: &Wal,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let question: PreVote = decode(body)?;
    Ok(encode(&would_vote(cluster, raft, wal, &question)))
}

fn would_vote(cluster: &Cluster, raft: &Raft, wal: &Wal, question: &PreVote) -> bool {
    if question.last_log_id < wal.ends().1 {
        return false;
    }
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow();
    if metrics.state == ServerState::Leader {
        let since = cluster.leading_since(metrics.vote.leader_id().term);
        return !cluster.has_quorum(&metrics.membership_config, since);
    }
    let (leader, at) = cluster.last_heard();
    // A leader that asks does not lead any more.
    leader == Some(question.candidate) || at.elapsed() >= cluster.election
}
