//! How members reach each other: the store encodes and decodes, the caller carries bytes.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use openraft::{
    BasicNode, RaftNetwork, RaftNetworkFactory,
    error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest,
        InstallSnapshotResponse, VoteRequest, VoteResponse,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, NodeId, SnapshotProgress, batch::TypeConfig, cluster::Cluster,
    snapshots::SharedSnapshots, wal::Wal,
};

/// Version of the messages between members; the first byte of each.
const RPC_VERSION: u8 = 1;

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity.
    pub id: NodeId,
    /// Where it is reached, as it said of itself.
    pub address: String,
}

/// What a message is about; a transport may give each kind its own path and deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RpcKind {
    /// Entries of the log, or a sign of life.
    AppendEntries,
    /// A request for a vote.
    Vote,
    /// A piece of a snapshot.
    InstallSnapshot,
    /// Commands for the leader; the answer may take as long as a write takes.
    Propose,
    /// A question to the leader how far a linearizable read has to wait.
    ReadIndex,
    /// A question whether a vote would be given; changes nothing.
    PreVote,
    /// The leader hands over: stand for election at once. Answered when that is decided.
    TimeoutNow,
    /// Are you there; changes nothing.
    Probe,
}

impl RpcKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::AppendEntries,
        Self::Vote,
        Self::InstallSnapshot,
        Self::Propose,
        Self::ReadIndex,
        Self::PreVote,
        Self::TimeoutNow,
        Self::Probe,
    ];

    /// A name fit for a path: lower case letters and dashes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppendEntries => "append-entries",
            Self::Vote => "vote",
            Self::InstallSnapshot => "install-snapshot",
            Self::Propose => "propose",
            Self::ReadIndex => "read-index",
            Self::PreVote => "pre-vote",
            Self::TimeoutNow => "timeout-now",
            Self::Probe => "probe",
        }
    }
}

/// A message to another member. The body is opaque to the transport.
#[derive(Clone, PartialEq, Eq)]
pub struct Rpc {
    /// What it is about.
    pub kind: RpcKind,
    /// Encoded message.
    pub body: Vec<u8>,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("kind", &self.kind).field("bytes", &self.body.len()).finish()
    }
}

/// The other member could not be reached, or refused to talk.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach node `{target}`")]
pub struct TransportError {
    /// The member.
    pub target: NodeId,
    /// What the network said.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Wraps the source of a [`TransportError`] when the message certainly did not leave this node, for
/// example because no connection could be made. The store then repeats a write by itself.
#[derive(Debug, thiserror::Error)]
#[error("the message was not sent")]
pub struct NotSent(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Carries messages to other members and brings back their answers, made by
/// [`Store::handle`](crate::Store::handle) over there.
pub trait Transport: Send + Sync + 'static {
    /// Sends one message and waits for the answer.
    fn call(&self, target: Member, rpc: Rpc)
    -> BoxFuture<'static, Result<Vec<u8>, TransportError>>;
}

/// The transport of a node that is alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

impl Transport for NoPeers {
    fn call(&self, target: Member, _: Rpc) -> BoxFuture<'static, Result<Vec<u8>, TransportError>> {
        let source = "this node runs without peers".into();
        Box::pin(std::future::ready(Err(TransportError { target: target.id, source })))
    }
}

/// Makes connections for openraft.
pub(crate) struct Network {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) snapshots: SharedSnapshots,
    pub(crate) wal: Arc<Wal>,
}

/// One connection of openraft's.
pub(crate) struct Connection {
    cluster: Arc<Cluster>,
    snapshots: SharedSnapshots,
    wal: Arc<Wal>,
    target: Member,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        let target = Member { id: target, address: node.addr.clone() };
        let (cluster, snapshots) = (Arc::clone(&self.cluster), Arc::clone(&self.snapshots));
        Connection { cluster, snapshots, wal: Arc::clone(&self.wal), target }
    }
}

type RpcResult<T, E> = Result<T, RPCError<u64, BasicNode, E>>;

impl Connection {
    async fn call<Req, Resp, E>(&self, kind: RpcKind, request: &Req) -> RpcResult<Resp, E>
    where
        Req: Serialize,
        Resp: DeserializeOwned,
        E: DeserializeOwned + std::error::Error,
    {
        let answer = self.cluster.call(&self.target, kind, encode(request)).await;
        let answer = answer.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        let result: Result<Resp, E> =
            decode(&answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        result.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target.id, error)))
    }

    /// Size of the snapshot that is being sent, if it is still the newest.
    fn snapshot_bytes(&self, id: &str) -> Option<u64> {
        let (meta, path) = self.snapshots.current()?;
        (meta.snapshot_id == id).then(|| std::fs::metadata(path).ok()).flatten().map(|m| m.len())
    }
}

impl RaftNetwork<TypeConfig> for Connection {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<u64>, RaftError<u64>> {
        if let Err(error) = self.cluster.may_lead(&self.target).await {
            return Err(RPCError::Unreachable(Unreachable::new(&error)));
        }
        if let Some(committed) = rpc.leader_commit {
            // A quorum has it, but nobody may act on it before it is durable here too: it counts this
            // node in, which writes its own entries while they are on their way.
            let durable = self.wal.wait_durable(committed.index).await;
            durable.map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        }
        self.call(RpcKind::AppendEntries, &rpc).await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        _: RPCOption,
    ) -> RpcResult<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        let sent = rpc.offset + rpc.data.len() as u64;
        let (done, id) = (rpc.done, rpc.meta.snapshot_id.clone());
        let answer = self.call(RpcKind::InstallSnapshot, &rpc).await?;
        let progress = || SnapshotProgress { sent, total: self.snapshot_bytes(&id) };
        self.cluster.snapshot_progress(self.target.id, (!done).then(progress));
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> RpcResult<VoteResponse<u64>, RaftError<u64>> {
        self.call(RpcKind::Vote, &rpc).await
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![RPC_VERSION])
        .expect("encoding into memory fails for no message")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&RPC_VERSION, body)) => postcard::from_bytes(body).map_err(|_| Error::BadMessage),
        _ => Err(Error::BadMessage),
    }
}
