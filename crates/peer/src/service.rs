//! What a node does with what other nodes ask of it.

use async_trait::async_trait;
use smr_store::Rpc;

use crate::{Caller, EnrolAnswer, EnrolRequest, Ping, Pong, ProbeResult};

/// Whether a node is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// It is a member.
    Member,
    /// This node has not heard of it; it may try again.
    Unknown,
    /// It was removed; the text says when and what to do. It stops when it reads this.
    Removed(String),
    /// The certificate it uses was revoked; the text says what to do.
    Revoked(String),
}

/// Why a service could not do what it was asked for. The text goes to the other node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServiceError(pub String);

impl From<smr_store::Error> for ServiceError {
    fn from(error: smr_store::Error) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

/// The answering side of a node. Callers are nodes of this cluster, by certificate and by
/// [`Service::membership`].
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Whether the caller is talked to; asked before every request, so it must not wait. It gives
    /// the caller's certificate too, so that a revoked one is noticed on an open connection.
    ///
    /// A node that has no state yet (it is just joining) must take every node for a member,
    /// otherwise nobody could ever send it the state.
    fn membership(&self, caller: &Caller) -> Membership;

    /// A message of the store; the answer is [`smr_store::Store::handle`]'s.
    async fn raft(&self, from: u64, rpc: Rpc) -> Result<Vec<u8>, ServiceError>;

    /// The leader's sign of life.
    async fn ping(&self, from: u64, ping: Ping) -> Pong;

    /// Whether this node can reach `target`; [`crate::Peers::reach`] finds out.
    async fn probe(&self, from: u64, target: u64) -> ProbeResult;

    /// A new certificate for the key of a member, also when its present one has expired. The
    /// service checks that the request is made with the very key of the member's record
    /// ([`smr_pki::Identity::key_id`]).
    async fn enrol(
        &self,
        from: &Caller,
        request: EnrolRequest,
    ) -> Result<EnrolAnswer, ServiceError>;
}
