//! The write-ahead log as openraft wants to see it.

use std::{fmt::Debug, io, ops::RangeBounds, sync::Arc};

use openraft::{
    EntryPayload, LogState, OptionalSend, RaftLogReader, StorageIOError,
    storage::{LogFlushed, RaftLogStorage},
};
use tokio::sync::oneshot;

use crate::{
    NodeId,
    batch::{Entry, LogId, StorageError, TypeConfig, Vote},
    dir::DataDir,
    wal::Wal,
};

/// Cheap handle; openraft holds one for writing and hands others to its readers.
#[derive(Debug, Clone)]
pub(crate) struct LogStorage {
    pub(crate) node_id: NodeId,
    pub(crate) wal: Arc<Wal>,
    /// Keeps the directory locked for as long as anything may be written to it.
    pub(crate) _dir: Arc<DataDir>,
}

impl LogStorage {
    /// Runs a log operation and waits until it is durable.
    async fn durable(
        &self,
        start: impl FnOnce(&Wal, Box<dyn FnOnce(io::Result<()>) + Send>),
    ) -> io::Result<()> {
        let (answer, durable) = oneshot::channel();
        start(
            &self.wal,
            Box::new(move |result| {
                let _ = answer.send(result);
            }),
        );
        durable.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed")))
    }
}

impl RaftLogReader<TypeConfig> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.wal.entries(range).map_err(|error| StorageIOError::read_logs(&error).into())
    }
}

impl RaftLogStorage<TypeConfig> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let (last_purged_log_id, last_log_id) = self.wal.ends();
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let result = self.durable(|wal, done| wal.save_vote(*vote, done)).await;
        result.map_err(|error| StorageIOError::write_vote(&error).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.wal.vote())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.wal.set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.wal.committed())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // What this node proposes as the leader is synced while it is on its way to the others. Until
        // it is durable here, nobody is told that it is committed and nothing is applied (`wal`,
        // `transport`, `state_machine`), so that the early answer shows nowhere.
        let leader = self.wal.vote().filter(Vote::is_committed).map(|vote| *vote.leader_id());
        let mut proposed = leader.is_some();
        let entries = entries.into_iter().inspect(|entry| {
            proposed &= leader == Some(entry.log_id.leader_id);
            if let EntryPayload::Normal(batch) = &entry.payload {
                batch.appending();
            }
        });
        let (answer, durable) = oneshot::channel();
        self.wal.append(
            entries,
            Box::new(move |result| {
                let _ = answer.send(result);
            }),
        );
        let proposed = proposed && leader.is_some_and(|leader| leader.node_id == self.node_id);
        let result = match self.wal.failure() {
            Some(failure) => Err(failure),
            None if proposed => Ok(()),
            None => durable.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed"))),
        };
        callback.log_io_completed(result);
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let result = self.durable(|wal, done| wal.truncate(log_id.index, done)).await;
        result.map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let result = self.durable(|wal, done| wal.purge(log_id, done)).await;
        result.map_err(|error| StorageIOError::write_logs(&error).into())
    }
}
