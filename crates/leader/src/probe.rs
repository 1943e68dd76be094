//! How the leader finds out who answers.

use futures_util::future::BoxFuture;

/// A node could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("node `{node}` does not answer")]
pub struct ProbeError {
    /// The node that was asked.
    pub node: u64,
    /// What the network said.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Reaches other nodes. Filled in by the node; time limits are the caller's.
pub trait PeerProbe: Send + Sync + 'static {
    /// Asks a node whether it is there.
    fn ping(&self, node: u64) -> BoxFuture<'static, Result<(), ProbeError>>;

    /// Asks the node `via` whether it reaches `node`; an error says that `via` does not answer.
    fn probe(&self, via: u64, node: u64) -> BoxFuture<'static, Result<bool, ProbeError>>;
}
