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
    Error, NodeId,
    batch::{Raft, TypeConfig},
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
pub(crate) struct Network(pub(crate) Arc<dyn Transport>);

/// One connection of openraft's.
pub(crate) struct Connection {
    transport: Arc<dyn Transport>,
    target: Member,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        let target = Member { id: target, address: node.addr.clone() };
        Connection { transport: Arc::clone(&self.0), target }
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
        let rpc = Rpc { kind, body: encode(request) };
        let answer = self.transport.call(self.target.clone(), rpc).await;
        let answer = answer.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        let result: Result<Resp, E> =
            decode(&answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        result.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target.id, error)))
    }
}

impl RaftNetwork<TypeConfig> for Connection {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<u64>, RaftError<u64>> {
        self.call(RpcKind::AppendEntries, &rpc).await
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        _: RPCOption,
    ) -> RpcResult<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        self.call(RpcKind::InstallSnapshot, &rpc).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> RpcResult<VoteResponse<u64>, RaftError<u64>> {
        self.call(RpcKind::Vote, &rpc).await
    }
}

/// Answers a message of another member.
pub(crate) async fn handle(raft: &Raft, rpc: Rpc) -> Result<Vec<u8>, Error> {
    Ok(match rpc.kind {
        RpcKind::AppendEntries => encode(&raft.append_entries(decode(&rpc.body)?).await),
        RpcKind::Vote => encode(&raft.vote(decode(&rpc.body)?).await),
        RpcKind::InstallSnapshot => encode(&raft.install_snapshot(decode(&rpc.body)?).await),
    })
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![RPC_VERSION])
        .expect("encoding into memory fails for no message")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&RPC_VERSION, body)) => postcard::from_bytes(body).map_err(|_| Error::BadMessage),
        _ => Err(Error::BadMessage),
    }
}
