//! Members: who is one, who votes, how far each of them is. Changes are made by the leader only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{
    BasicNode, ChangeMembers,
    error::{ClientWriteError, ForwardToLeader, RaftError},
};
use tokio::time::{Instant, timeout};

use crate::{Error, Member, MemberStatus, NodeId, Store};

/// Entries a member may lack and still count as up to date.
const CAUGHT_UP: u64 = 1000;
/// How much longer a member that answers may go without progress than one that does not.
const INSTALL_PATIENCE: u32 = 6;

impl Store {
    /// All members with their addresses, in order of identity, as this node knows them.
    pub fn members(&self) -> Vec<Member> {
        let membership = self.inner().raft.server_metrics().borrow().membership_config.clone();
        let nodes = membership.membership().nodes();
        nodes.map(|(id, node)| Member { id: *id, address: node.addr.clone() }).collect()
    }

    /// All members and how far each is. Progress is known to the leader only; the time of the last
    /// contact is what this node itself saw.
    pub fn members_status(&self) -> Vec<MemberStatus> {
        let inner = self.inner();
        let metrics = inner.raft.metrics().borrow().clone();
        let last = metrics.last_log_index;
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let status = |(id, node): (&NodeId, &BasicNode)| {
            let me = *id == inner.cluster.node_id;
            let contact = inner.cluster.contact(*id);
            let progress = metrics.replication.as_ref();
            let matched = progress.and_then(|all| *all.get(id)?).map(|id| id.index);
            let matched = if me { last } else { matched };
            MemberStatus {
                id: *id,
                address: node.addr.clone(),
                voter: voters.contains(id),
                matched,
                lag: progress.map(|_| {
                    let entries = |index: Option<u64>| index.map_or(0, |index| index + 1);
                    entries(last).saturating_sub(entries(matched))
                }),
                last_contact: match contact.answered {
                    _ if me => Some(Duration::ZERO),
                    at => at.map(|at| at.elapsed()),
                },
                snapshot: contact.snapshot,
            }
        };
        membership.nodes().map(status).collect()
    }

    /// Adds a member without a vote and waits until it is nearly up to date. A member that is known
    /// already gets the address given here. Repeating it is harmless.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeader`], [`Error::NoQuorum`], [`Error::Membership`] while another change is under
    /// way, [`Error::Unknown`] when the change itself took too long, and [`Error::Unreachable`] when
    /// the member stays silent for [`Options::propose_timeout`](crate::Options): it is a member then,
    /// and gets what it lacks once it answers.
    pub async fn add_learner(&self, member: Member) -> Result<(), Error> {
        let id = member.id;
        self.begin_learner(member).await?;
        if id == self.inner().cluster.node_id {
            return Ok(());
        }
        let inner = self.inner();
        let mut silent_since = Instant::now();
        let mut best = None;
        loop {
            self.leads()?;
            let all = self.members_status();
            let Some(status) = all.into_iter().find(|status| status.id == id) else {
                return Err(Error::Membership);
            };
            if status.matched.is_some() && status.lag.is_some_and(|lag| lag <= CAUGHT_UP) {
                return Ok(());
            }
            let progress = (status.matched, status.snapshot.map(|snapshot| snapshot.sent));
            let alive = status.last_contact.is_some_and(|age| age <= inner.cluster.patience());
            if best != Some(progress) {
                best = Some(progress);
                silent_since = Instant::now();
            }
            // Loading a snapshot takes its time and shows no progress.
            let limit = inner.cluster.propose_timeout * if alive { INSTALL_PATIENCE } else { 1 };
            if silent_since.elapsed() > limit {
                return Err(Error::Unreachable { id });
            }
            let mut metrics = inner.raft.data_metrics();
            metrics.mark_unchanged();
            let _ = timeout(inner.cluster.heartbeat, metrics.changed()).await;
        }
    }

    /// Adds a member without a vote and returns once that is agreed on, not when it is up to date;
    /// [`members_status`](Self::members_status) says how far it is. Errors as for
    /// [`add_learner`](Self::add_learner).
    pub async fn begin_learner(&self, member: Member) -> Result<(), Error> {
        let _alone = self.inner().changing.lock().await;
        self.leads()?;
        let known = self.members().into_iter().find(|known| known.id == member.id);
        let nodes = BTreeMap::from([(member.id, BasicNode { addr: member.address.clone() })]);
        match known {
            Some(known) if known.address == member.address => Ok(()),
            Some(_) => self.change(ChangeMembers::SetNodes(nodes)).await,
            None => self.change(ChangeMembers::AddNodes(nodes)).await,
        }
    }

    /// Changes the address of a member. The leader reaches it there from now on.
    ///
    /// # Errors
    ///
    /// As for [`begin_learner`](Self::begin_learner); [`Error::Membership`] when there is no such member.
    pub async fn set_address(&self, member: Member) -> Result<(), Error> {
        self.leads()?;
        if self.members().iter().all(|known| known.id != member.id) {
            return Err(Error::Membership);
        }
        self.begin_learner(member).await
    }

    /// Makes exactly these members voters; they must be members already. Former voters that are not
    /// named stay as learners. Also completes a change that an earlier leader left half done.
    ///
    /// # Errors
    ///
    /// As for [`begin_learner`](Self::begin_learner); [`Error::Membership`] when one is no member.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Error> {
        let _alone = self.inner().changing.lock().await;
        self.leads()?;
        self.change_voters(voters).await
    }

    /// Takes a member out, with or without a vote, running or not. Repeating it is harmless. A leader
    /// that is to be removed hands over first and answers [`Error::NotLeader`]: ask the new one.
    ///
    /// # Errors
    ///
    /// As for [`begin_learner`](Self::begin_learner); [`Error::Membership`] for the last voter.
    pub async fn remove_member(&self, id: NodeId) -> Result<(), Error> {
        self.leads()?;
        if id == self.inner().cluster.node_id {
            self.step_down().await?;
            self.leads()?;
            return Err(Error::Membership);
        }
        let _alone = self.inner().changing.lock().await;
        self.leads()?;
        let membership = self.inner().raft.server_metrics().borrow().membership_config.clone();
        let membership = membership.membership();
        let mut voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        if voters.remove(&id) {
            if voters.is_empty() {
                return Err(Error::Membership);
            }
            self.change_voters(voters).await?;
        }
        if membership.get_node(&id).is_none() {
            return Ok(());
        }
        self.change(ChangeMembers::RemoveNodes([id].into())).await?;
        self.inner().cluster.forget(id);
        Ok(())
    }

    async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Error> {
        let membership = self.inner().raft.server_metrics().borrow().membership_config.clone();
        let configs = membership.membership().get_joint_config();
        if configs.len() == 1 && configs[0] == voters {
            return Ok(());
        }
        self.change(ChangeMembers::ReplaceAllVoters(voters)).await
    }

    async fn change(&self, changes: ChangeMembers<NodeId, BasicNode>) -> Result<(), Error> {
        let inner = self.inner();
        let after = inner.cluster.propose_timeout;
        let changed = async {
            let changed = inner.raft.change_membership(changes, true).await;
            let log_id = Some(changed.map_err(|error| write_error(&error))?.log_id);
            // What is asked next is answered with this change in it.
            let mut metrics = inner.raft.metrics();
            let seen = metrics.wait_for(|metrics| *metrics.membership_config.log_id() >= log_id);
            seen.await.map(|_| ()).map_err(|_| Error::Stopped)
        };
        timeout(after, changed).await.unwrap_or(Err(Error::Unknown { after }))
    }
}

fn write_error(error: &RaftError<u64, ClientWriteError<u64, BasicNode>>) -> Error {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader {
            leader_id,
            ..
        })) => Error::NotLeader { leader: *leader_id },
        RaftError::APIError(ClientWriteError::ChangeMembershipError(_)) => Error::Membership,
        RaftError::Fatal(_) => Error::Stopped,
    }
}
