//! What the server needs from the node besides the keyspace.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use smr_model::ReplicaKey;
use smr_wire::{ApiError, ExecQuery, Health, LogQuery, Resize, Version};
use tokio::sync::mpsc;

/// The node, as far as it is not in the keyspace: containers, health, backups.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// The log of a replica's container. The stream ends at the end of the log, or, when
    /// following, with the container.
    async fn logs(
        &self,
        replica: &ReplicaKey,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogChunk, ApiError>>, ApiError>;

    /// The reconciler's own log about a replica, text lines.
    async fn debug_log(
        &self,
        replica: &ReplicaKey,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Bytes>, ApiError>;

    /// Runs a command in a replica's container. `query.command` is a JSON array of at least one
    /// text. The command is abandoned when the session is dropped.
    async fn exec(&self, replica: &ReplicaKey, query: &ExecQuery) -> Result<ExecSession, ApiError>;

    /// Waits until the node has taken in the objects of the keyspace up to `revision`, and
    /// statuses tell what follows from them. The caller bounds the time.
    async fn settled(&self, revision: u64);

    /// Hands the lead to the voter with the id `to`, or to the one that is most up to date; asks
    /// the leader to do so when this node does not lead.
    async fn transfer(&self, to: Option<u64>) -> Result<(), ApiError>;

    /// Whether the node and its parts work.
    async fn health(&self) -> Health;

    /// Versions of the node.
    fn version(&self) -> Version;

    /// An online backup: a complete file, opened for reading from its beginning. It is nobody
    /// else's business to remove it. `lock` is what the caller sent in
    /// [`smr_wire::routes::BACKUP_LOCK`].
    async fn backup(&self, lock: Option<&str>) -> Result<tokio::fs::File, ApiError>;
}

/// A piece of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// From the standard error stream.
    pub stderr: bool,
    /// What was written.
    pub data: Bytes,
}

/// A running command.
pub struct ExecSession {
    /// What goes in; dropped when the client is gone.
    pub input: mpsc::Sender<ExecInput>,
    /// What comes out, ended by [`ExecOutput::Exit`] or [`ExecOutput::Error`].
    pub output: BoxStream<'static, ExecOutput>,
}

/// What goes into a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes for its standard input.
    Data(Bytes),
    /// The end of its standard input.
    Eof,
    /// Its terminal has this size now.
    Resize(Resize),
}

/// What comes out of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Standard output, and everything with a terminal.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// It ended with this code; nothing follows.
    Exit(i64),
    /// It could not be run or was lost; nothing follows.
    Error(ApiError),
}
