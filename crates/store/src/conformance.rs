//! The conformance suite of openraft, run on the log and the state machine as they are used.

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};
use tokio::sync::{Notify, watch};

use crate::{
    Options,
    batch::{StorageError, TypeConfig},
    housekeeping::Housekeeping,
    hub::Hub,
    log_storage::LogStorage,
    open::{Disk, open_disk},
    state_machine::StateMachine,
};

struct Builder;

impl StoreBuilder<TypeConfig, LogStorage, StateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStorage, StateMachine), StorageError> {
        let temporary = tempfile::tempdir().unwrap();
        let mut options = Options::new(temporary.path());
        options.segment_bytes = 64 * 1024;
        let Disk { dir, wal, snapshots, applied } = open_disk(&options).unwrap();
        let state_machine = StateMachine {
            house: Arc::new(Housekeeping::new(&options, &wal, &snapshots)),
            wal: Arc::clone(&wal),
            applied,
            snapshots,
            hub: Arc::new(Hub::default()),
            leases: Arc::new(Notify::new()),
            dir: Arc::clone(&dir),
            progress: watch::Sender::new(0),
        };
        Ok((temporary, LogStorage { node_id: options.node_id, wal, _dir: dir }, state_machine))
    }
}

#[test]
fn log_and_state_machine_pass_the_suite_of_openraft() {
    Suite::test_all(Builder).unwrap();
}
