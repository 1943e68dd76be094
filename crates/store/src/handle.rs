//! Answers messages of other members.

use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest};

use crate::{
    Error, Rpc, RpcKind, Store,
    batch::{TypeConfig, Vote},
    election, forward, read_index, transfer,
    transport::{decode, encode},
};

impl Store {
    /// Answers a message that the transport of another member brought. The transport has made sure
    /// that it comes from a member.
    ///
    /// # Errors
    ///
    /// [`Error::BadMessage`] and [`Error::Stopped`]; everything else travels inside the answer.
    pub async fn handle(&self, rpc: Rpc) -> Result<Vec<u8>, Error> {
        match self.running() {
            // Said so, the other one takes it to the next leader; an error would leave it in doubt.
            Err(_) if rpc.kind == RpcKind::Propose => return Ok(forward::decline()),
            running => running?,
        }
        let inner = self.inner();
        let raft = &inner.raft;
        match rpc.kind {
            RpcKind::AppendEntries => {
                let request: AppendEntriesRequest<TypeConfig> = decode(&rpc.body)?;
                let vote = request.vote;
                self.heard(&vote);
                let answer = raft.append_entries(request).await;
                // A former leader may still be syncing entries of its own that count as received.
                let last = inner.wal.ends().1.map_or(0, |id| id.index);
                inner.wal.wait_durable(last).await.map_err(|_| Error::Stopped)?;
                // Writing may have taken long, and the leader lived all the while.
                self.heard(&vote);
                Ok(encode(&answer))
            }
            RpcKind::Vote => Ok(encode(&raft.vote(decode(&rpc.body)?).await)),
            RpcKind::InstallSnapshot => {
                let request: InstallSnapshotRequest<TypeConfig> = decode(&rpc.body)?;
                self.heard(&request.vote);
                Ok(encode(&raft.install_snapshot(request).await))
            }
            RpcKind::Propose => {
                let patience = inner.cluster.propose_timeout;
                forward::handle(&inner.proposals, patience, &rpc.body).await
            }
            RpcKind::ReadIndex => read_index::handle(&inner.forwarder, &inner.questions).await,
            RpcKind::PreVote => election::handle(&inner.cluster, raft, &inner.wal, &rpc.body),
            RpcKind::TimeoutNow => {
                transfer::handle(&inner.cluster, raft, &inner.wal, &rpc.body).await
            }
            RpcKind::Probe => Ok(Vec::new()),
        }
    }

    /// Notes a sign of life of a leader, unless it is one of the past.
    fn heard(&self, vote: &Vote) {
        if vote.is_committed() && self.inner().wal.vote().is_none_or(|known| *vote >= known) {
            self.inner().cluster.heard(vote.leader_id().node_id);
        }
    }
}
