//! The store: what the rest of the product sees.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::SystemTime,
};

use openraft::{BasicNode, ServerState, SnapshotPolicy};
use smr_state::{
    Command, KeyRange, KeyValue, Lease, LeaseId, Op, OpResponse, RangeOutcome, RangeQuery,
    Response, Revision, Txn, TxnOutcome,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    BackupError, BackupInfo, Error, Leadership, NodeId, OpenError, Options, StoreStatus, Watch,
    applied::Applied,
    backup,
    batch::Raft,
    cluster::{Cluster, Route},
    dir::{DataDir, is_full},
    election::Election,
    forward::Forwarder,
    housekeeping::{self, Housekeeping},
    hub::Hub,
    leases,
    log_storage::LogStorage,
    open::{Disk, open_disk},
    proposer::{self, Proposal, Scope, Space},
    read_index::{self, Asked},
    snapshots::SharedSnapshots,
    state_machine::StateMachine,
    transport::Network,
    wal::Wal,
};

/// Proposals that wait; further writers wait for room.
const WAITING_PROPOSALS: usize = 4096;
/// Bytes of a snapshot per message.
const SNAPSHOT_CHUNK_BYTES: u64 = 1024 * 1024;

/// The replicated keyspace. A cheap handle: clones share one store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) raft: Raft,
    pub(crate) cluster: Arc<Cluster>,
    /// Held while members are changed or leadership is handed over.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) wal: Arc<Wal>,
    pub(crate) proposals: mpsc::Sender<Proposal>,
    pub(crate) questions: mpsc::Sender<Asked>,
    dir: Arc<DataDir>,
    applied: Arc<Applied>,
    snapshots: SharedSnapshots,
    hub: Arc<Hub>,
    /// Ends its tasks when the last handle is dropped.
    tasks: Mutex<JoinSet<()>>,
}

impl Store {
    /// Opens the store in `options.dir`, creating it when missing. Returns once everything that was
    /// acknowledged before is readable; a sole voter leads by then.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let consensus_error = |dir: &Path| {
            let dir = dir.to_owned();
            move |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Consensus {
                dir,
                source,
            }
        };
        let failed = consensus_error(&options.dir);
        let on_disk = options.clone();
        let disk = match tokio::task::spawn_blocking(move || open_disk(&on_disk)).await {
            Ok(disk) => disk?,
            Err(join) => return Err(failed(join.into())),
        };
        let wal = Arc::clone(&disk.wal);
        let error = match Self::start(&options, disk).await {
            Ok(store) => match store.settle(&options).await {
                Ok(()) => return Ok(store),
                Err(source) => {
                    store.shutdown().await;
                    failed(source)
                }
            },
            Err(source) => failed(source),
        };
        // The log knows better than consensus what happened to it.
        Err(match wal.failure() {
            Some(source) if is_full(&source) => OpenError::DiskFull { dir: options.dir, source },
            Some(source) => OpenError::Io { file: options.dir.join("wal"), source },
            None => error,
        })
    }

    /// Runs a transaction, here or by way of the leader. Returns once it is durable on a quorum and
    /// applied here.
    ///
    /// # Errors
    ///
    /// With [`Error::Unknown`] and [`Error::Stopped`] it may or may not have happened; with all others
    /// nothing did.
    pub async fn txn(&self, txn: Txn) -> Result<TxnOutcome, Error> {
        self.scoped_txn(txn, Scope::Cluster).await
    }

    /// Runs a transaction only if this node leads in `term`, the one that
    /// [`leadership`](Self::leadership) told; never forwarded. For controllers that act as the leader.
    ///
    /// # Errors
    ///
    /// [`Error::NotLeader`] when this node does not lead (any more, or in another term), otherwise as
    /// for [`txn`](Self::txn).
    pub async fn txn_local(&self, term: u64, txn: Txn) -> Result<TxnOutcome, Error> {
        if self.leads()? != term {
            return Err(Error::NotLeader { leader: None });
        }
        self.scoped_txn(txn, Scope::Term(term)).await
    }

    /// Writes one key and returns the revision of the write.
    pub async fn put(
        &self,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
    ) -> Result<Revision, Error> {
        Ok(self.txn(Txn::new().then(Op::put(key, value))).await?.revision)
    }

    /// Removes one key; `None` when it did not exist.
    pub async fn delete(&self, key: &str) -> Result<Option<Revision>, Error> {
        let outcome = self.txn(Txn::new().then(Op::delete(key))).await?;
        let removed =
            matches!(outcome.responses.first(), Some(OpResponse::DeleteRange { deleted: 1.., .. }));
        Ok(removed.then_some(outcome.revision))
    }

    /// Reads one key of the local copy.
    pub fn get(&self, key: &str) -> Result<Option<KeyValue>, Error> {
        self.0.applied.read(|view| smr_state::get(view, key))
    }

    /// Reads a range of the local copy, at the current or an older revision.
    pub fn range(&self, query: &RangeQuery) -> Result<RangeOutcome, Error> {
        self.0.applied.read(|view| smr_state::range(view, query))
    }

    /// Reads every key of the local copy that starts with `prefix`.
    pub fn list(&self, prefix: &str) -> Result<RangeOutcome, Error> {
        self.range(&RangeQuery::prefix(prefix))
    }

    /// Waits until the local copy has everything that was acknowledged anywhere before this call;
    /// reads after it are linearizable. Many callers at once share one round with the voters.
    ///
    /// # Errors
    ///
    /// [`Error::NoLeader`], [`Error::NoQuorum`], or [`Error::Unknown`] when this node does not catch
    /// up in time.
    pub async fn barrier(&self) -> Result<Revision, Error> {
        self.running()?;
        let (asked, answer) = oneshot::channel();
        self.0.questions.send(asked).await.map_err(|_| Error::Stopped)?;
        let index = answer.await.unwrap_or(Err(Error::Stopped))?;
        let after = self.0.cluster.propose_timeout;
        match timeout(after, self.0.cluster.wait_applied(index)).await {
            Ok(Some(())) => Ok(self.revision()),
            Ok(None) => Err(Error::Stopped),
            Err(_) => Err(Error::Unknown { after }),
        }
    }

    /// Who leads; changes show at once, silence of a leader after twice the election timeout.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.cluster.leadership.subscribe()
    }

    /// Current revision of the local copy.
    pub fn revision(&self) -> Revision {
        self.0.applied.head().meta.revision
    }

    /// Watches a range. `from` is the first revision wanted, history is replayed from there; `None`
    /// wants only what happens after this call.
    pub fn watch(&self, range: KeyRange, from: Option<Revision>) -> Result<Watch, Error> {
        Watch::new(Arc::clone(&self.0.applied), Arc::clone(&self.0.hub), range, from)
    }

    /// Creates a lease that lives `ttl_seconds` unless renewed. Identity 0 lets the store choose.
    pub async fn grant_lease(&self, id: LeaseId, ttl_seconds: u64) -> Result<Lease, Error> {
        self.lease_command(Command::GrantLease { id, ttl_seconds }).await
    }

    /// Renews a lease: it lives its full time again from now.
    pub async fn keep_alive(&self, id: LeaseId) -> Result<Lease, Error> {
        self.lease_command(Command::KeepAlive { id }).await
    }

    /// Ends a lease and removes its keys; returns the revision afterwards.
    pub async fn revoke_lease(&self, id: LeaseId) -> Result<Revision, Error> {
        self.done_command(Command::RevokeLease { id }).await
    }

    /// One lease of the local copy, if it is alive.
    pub fn lease(&self, id: LeaseId) -> Result<Option<Lease>, Error> {
        self.0.applied.read(|view| smr_state::lease(view, id))
    }

    /// Every living lease of the local copy, by identity.
    pub fn leases(&self) -> Result<Vec<Lease>, Error> {
        self.0.applied.read(|view| smr_state::leases(view))
    }

    /// Drops history up to and including `revision`. Old history is also dropped automatically.
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.done_command(Command::Compact { revision }).await.map(|_| ())
    }

    /// Writes the keyspace as of one moment into one file while reads and writes go on.
    pub async fn backup(&self, to: &Path) -> Result<BackupInfo, BackupError> {
        backup::create(&self.0.applied, to, SystemTime::now()).await
    }

    /// Whether this node leads and believes that a quorum follows it.
    pub fn is_leader(&self) -> bool {
        self.leads().is_ok()
    }

    /// The leader as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        match self.0.cluster.route(&self.0.raft) {
            Route::Here { .. } => Some(self.0.cluster.node_id),
            Route::To(leader) => Some(leader.id),
            Route::NoQuorum | Route::Nobody => None,
        }
    }

    /// State and counters.
    pub fn status(&self) -> StoreStatus {
        let metrics = self.0.raft.metrics().borrow().clone();
        let head = self.0.applied.head();
        let (syncs, appended, _) = self.0.wal.counters();
        let membership = metrics.membership_config.membership();
        StoreStatus {
            node_id: self.0.cluster.node_id,
            leader: self.leader(),
            term: metrics.current_term,
            revision: head.meta.revision,
            compacted: head.meta.compacted,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            applied_index: head.marker.last_applied.map_or(0, |id| id.index),
            snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
            syncs,
            appended,
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            watches: self.0.hub.len(),
            fault: match self.0.wal.failure() {
                Some(failure) => Some(format!("cannot append to the log: {failure}")),
                None => metrics.running_state.err().map(|fault| fault.to_string()),
            },
        }
    }

    /// Makes a snapshot now and cuts the log behind it.
    pub async fn snapshot(&self) -> Result<(), Error> {
        self.0.raft.trigger().snapshot().await.map_err(|_| Error::Stopped)
    }

    /// Stops: finishes what is being written, ends watches, closes the files, frees the directory.
    /// Later calls on any handle answer [`Error::Stopped`].
    pub async fn shutdown(&self) {
        // Ends in error only when the core was stopped or panicked before: closing goes on anyway.
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(error = %error, "consensus was stopped already");
        }
        self.0.hub.close();
        let inner = Arc::clone(&self.0);
        let closed = tokio::task::spawn_blocking(move || {
            // A snapshot may be on its way in a thread of its own.
            inner.snapshots.close();
            inner.wal.close();
            inner.applied.close();
            inner.dir.unlock();
        });
        if closed.await.is_err() {
            tracing::warn!("closing the store panicked");
        }
    }

    async fn start(
        options: &Options,
        disk: Disk,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let Disk { dir, wal, snapshots, applied } = disk;
        let hub = Arc::new(Hub::new(applied.head().meta.revision));
        let lease_changes = Arc::new(Notify::new());
        let election = u64::try_from(options.election_timeout.as_millis())?;
        let heartbeat = u64::try_from(options.heartbeat.as_millis())?.max(1);
        let applied_index = applied.head().marker.last_applied.map_or(0, |id| id.index);
        let cluster = Arc::new(Cluster::new(options, applied_index));
        let config = openraft::Config {
            cluster_name: "smr".to_owned(),
            heartbeat_interval: heartbeat,
            // Elections are our own business (`election`); what these still decide is how long a vote
            // may take, and how long after a sign of life of a leader no vote is given.
            enable_elect: false,
            election_timeout_min: (election / 2).max(heartbeat + 1),
            election_timeout_max: (election / 2).max(heartbeat + 1) + 1,
            install_snapshot_timeout: 60_000,
            snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
            max_payload_entries: 64,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: options.keep_entries,
            ..openraft::Config::default()
        };
        let house = Arc::new(Housekeeping::new(options, &wal, &snapshots));
        let state_machine = StateMachine {
            wal: Arc::clone(&wal),
            applied: Arc::clone(&applied),
            snapshots: Arc::clone(&snapshots),
            hub: Arc::clone(&hub),
            leases: Arc::clone(&lease_changes),
            house: Arc::clone(&house),
            dir: Arc::clone(&dir),
            progress: cluster.applied.clone(),
        };
        wal.resign(options.node_id);
        let raft = Raft::new(
            options.node_id,
            Arc::new(config.validate()?),
            Network {
                cluster: Arc::clone(&cluster),
                snapshots: Arc::clone(&snapshots),
                wal: Arc::clone(&wal),
            },
            LogStorage { node_id: options.node_id, wal: Arc::clone(&wal), _dir: Arc::clone(&dir) },
            state_machine,
        )
        .await?;
        let (proposals, inbox) = mpsc::channel(WAITING_PROPOSALS);
        let space = Space {
            dir: options.dir.clone(),
            min_free_bytes: options.min_free_bytes,
            wal: Arc::clone(&wal),
        };
        let forwarder = Arc::new(Forwarder {
            cluster: Arc::clone(&cluster),
            raft: raft.clone(),
            space,
            bytes_in_flight: AtomicU64::new(0),
        });
        let (questions, asked) = mpsc::channel(WAITING_PROPOSALS);
        let mut tasks = JoinSet::new();
        tasks.spawn(proposer::run(Arc::clone(&forwarder), inbox));
        tasks.spawn(read_index::run(Arc::clone(&forwarder), asked));
        let election =
            Election { cluster: Arc::clone(&cluster), raft: raft.clone(), wal: Arc::clone(&wal) };
        tasks.spawn(election.run());
        tasks.spawn(leases::run(
            raft.server_metrics(),
            Arc::clone(&applied),
            lease_changes,
            proposals.downgrade(),
        ));
        tasks.spawn(housekeeping::run(
            raft.clone(),
            Arc::clone(&applied),
            house,
            proposals.downgrade(),
        ));
        let inner = Inner {
            raft,
            cluster,
            changing: tokio::sync::Mutex::default(),
            forwarder,
            wal,
            proposals,
            questions,
            dir,
            applied,
            snapshots,
            hub,
            tasks: Mutex::new(tasks),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Founds the cluster if there is none; a sole voter waits until it leads.
    async fn settle(
        &self,
        options: &Options,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let raft = &self.0.raft;
        if options.bootstrap && !raft.is_initialized().await? {
            let node = BasicNode { addr: options.address.clone() };
            raft.initialize(BTreeMap::from([(options.node_id, node)])).await?;
        }
        let mut metrics = raft.server_metrics();
        let node_id = options.node_id;
        let alone = raft
            .with_raft_state(move |state| {
                let mut voters = state.membership_state.effective().voter_ids();
                voters.next() == Some(node_id) && voters.next().is_none()
            })
            .await?;
        if !alone {
            return Ok(());
        }
        if metrics.borrow_and_update().state != ServerState::Leader {
            // Nobody else could win: no reason to wait for the election timeout.
            raft.trigger().elect().await?;
        }
        while metrics.borrow_and_update().state != ServerState::Leader {
            metrics.changed().await?;
        }
        self.barrier().await?;
        Ok(())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Whether consensus goes on here: it ends with a shutdown or a fault of the disk.
    pub(crate) fn running(&self) -> Result<(), Error> {
        let stopped = self.0.raft.server_metrics().has_changed().is_err();
        if stopped || self.0.wal.failure().is_some() { Err(Error::Stopped) } else { Ok(()) }
    }

    async fn scoped_txn(&self, txn: Txn, scope: Scope) -> Result<TxnOutcome, Error> {
        txn.validate()?;
        match self.propose(Command::Txn(txn), scope).await? {
            Response::Txn(outcome) => Ok(outcome),
            Response::Lease(_) | Response::Done { .. } => Err(Error::BadMessage),
        }
    }

    async fn propose(&self, command: Command, scope: Scope) -> Result<Response, Error> {
        self.running()?;
        let (proposal, answered) = Proposal::new(vec![command], scope);
        let after = self.0.cluster.propose_timeout;
        let proposed = async {
            self.0.proposals.send(proposal).await.map_err(|_| Error::Stopped)?;
            answered.await.unwrap_or(Err(Error::Stopped))
        };
        let done = timeout(after, proposed).await.unwrap_or(Err(Error::Unknown { after }))?;
        let result = done.results.into_iter().next().ok_or(Error::BadMessage)?;
        result.map_err(Error::from)
    }

    async fn lease_command(&self, command: Command) -> Result<Lease, Error> {
        match self.propose(command, Scope::Cluster).await? {
            Response::Lease(lease) => Ok(lease),
            Response::Txn(_) | Response::Done { .. } => Err(Error::BadMessage),
        }
    }

    async fn done_command(&self, command: Command) -> Result<Revision, Error> {
        match self.propose(command, Scope::Cluster).await? {
            Response::Done { revision } => Ok(revision),
            Response::Txn(_) | Response::Lease(_) => Err(Error::BadMessage),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("node_id", &self.0.cluster.node_id).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
