//! What the control API needs from the node besides the keyspace: logs, commands, health, backups.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;
use smr_agent::{DebugLog, EngineStatus};
use smr_control::Control;
use smr_engine::{Channel, ContainerEngine, EngineInfo, ExecRequest, LogRequest, TerminalSize};
use smr_model::ReplicaKey;
use smr_pki::KeyLock;
use smr_server::{ExecInput, ExecOutput, ExecSession, LogChunk, Runtime};
use smr_wire::{
    ApiError, Code, ExecQuery, Health, HealthCheck, LogQuery, StoreInfo, TransferRequest, Version,
};
use tokio::sync::{broadcast, mpsc, watch};

use crate::{backup, identity::Identity, remote};

/// The running node, as the control API sees it.
pub(crate) struct NodeRuntime {
    pub(crate) control: Control,
    pub(crate) identity: Arc<Identity>,
    pub(crate) engine: Arc<dyn ContainerEngine>,
    pub(crate) debug: DebugLog,
    pub(crate) engine_status: watch::Receiver<EngineStatus>,
    pub(crate) engine_info: watch::Receiver<EngineInfo>,
    pub(crate) settled: watch::Receiver<u64>,
    /// Backups are written here before they are sent.
    pub(crate) scratch: PathBuf,
}

fn engine_error(error: &smr_engine::Error) -> ApiError {
    use smr_engine::ErrorClass;
    let code = match error.class() {
        ErrorClass::Unavailable => Code::EngineUnavailable,
        ErrorClass::NotFound => Code::NotFound,
        ErrorClass::Conflict | ErrorClass::NotOurs => Code::Conflict,
        ErrorClass::Refused => Code::BadRequest,
        ErrorClass::ImageMissing | ErrorClass::PullFailed | ErrorClass::Other => Code::Internal,
    };
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    ApiError::new(code, message)
}

impl NodeRuntime {
    /// The id of a replica's container on this node.
    async fn container(&self, name: &str) -> Result<String, ApiError> {
        let found = self.engine.inspect(name).await.map_err(|e| engine_error(&e))?;
        let owner = self.engine.owner();
        let ours =
            |own: &smr_engine::Ownership| own.cluster == owner.cluster && own.node == owner.node;
        match found {
            Some(container) if container.ownership.as_ref().is_some_and(ours) => Ok(container.id),
            _ => Err(ApiError::new(Code::NotFound, format!("there is no container `{name}`"))
                .hint("`smrctl ps` shows in which state the replica is")),
        }
    }

    /// Hands the lead over, which this node has.
    async fn hand_over(&self, to: Option<u64>) -> Result<(), ApiError> {
        use smr_store::Error;
        let store = self.control.store();
        let handed = match to {
            Some(to) => store.transfer(to).await,
            None => store.step_down().await,
        };
        let refused = |code, message: String| {
            Err(ApiError::new(code, message).hint("`smrctl cluster status` shows the voters"))
        };
        let named = |id: u64| match self.control.member(id) {
            Ok(Some(member)) => format!("node `{}`", member.name),
            _ => format!("node `{id}`"),
        };
        match handed {
            Ok(()) => {}
            Err(Error::Membership) => {
                let message = format!("{} has no vote", named(to.unwrap_or_default()));
                return refused(Code::Conflict, message);
            }
            Err(Error::Unreachable { id }) => {
                let message = format!("{} does not answer, or lags too far behind", named(id));
                return refused(Code::Unavailable, message);
            }
            Err(Error::NotTransferred) => {
                let message = "the other node did not take the lead in time".to_owned();
                return refused(Code::Unavailable, message);
            }
            Err(error) => return Err(smr_control::Error::from(error).into()),
        }
        if to.is_none() && store.status().leader == Some(self.control.node_id()) {
            return refused(Code::Conflict, "no other voter could take the lead".to_owned());
        }
        Ok(())
    }

    /// Asks the leader to hand the lead over.
    async fn ask_to_hand_over(&self, leader: u64, to: Option<u64>) -> Result<(), ApiError> {
        let member = self.control.member(leader)?.filter(|member| !member.api.is_empty());
        let Some(member) = member else {
            let message = format!("node `{leader}` leads, and its address is not known");
            return Err(ApiError::new(Code::Unavailable, message));
        };
        // By name: a node may be called as another one is numbered.
        let to = match to {
            Some(to) => self.control.member(to)?.map(|to| to.name),
            None => None,
        };
        let options = smr_client::Options::default();
        let asked = async {
            let credentials = self.identity.credentials();
            let client = smr_client::Client::with_credentials(&member.api, &credentials, options)?;
            client.transfer(&TransferRequest { to }).await
        };
        match asked.await {
            Ok(_) => Ok(()),
            Err(smr_client::Error::Api(error)) => Err(*error),
            Err(error) => {
                let message = format!("the leader, `{}`, does not answer: {error}", member.name);
                Err(ApiError::new(Code::Unavailable, message)
                    .hint(format!("ask it at `{}`", member.api)))
            }
        }
    }
}

#[async_trait]
impl Runtime for NodeRuntime {
    async fn logs(
        &self,
        replica: &ReplicaKey,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogChunk, ApiError>>, ApiError> {
        let name = match query.container.as_deref() {
            None | Some("main") => replica.generated_name(),
            Some("init") => replica.init_name(),
            Some(other) => {
                let message = format!("`{other}` is not a container of a replica");
                let error = ApiError::new(Code::BadRequest, message);
                return Err(error.hint("container can be only `main` or `init`"));
            }
        };
        if let Some(node) = remote::node_of(&self.control, &self.identity, replica)? {
            return remote::logs(&node, replica, query).await;
        }
        let id = self.container(&name).await?;
        let request = LogRequest {
            follow: query.follow,
            tail: query.tail,
            since: query.since.and_then(|s| Timestamp::from_second(s).ok()),
            timestamps: query.timestamps,
        };
        let chunks = self.engine.logs(&id, request).await.map_err(|e| engine_error(&e))?;
        let chunk = |chunk: Result<smr_engine::Chunk, smr_engine::Error>| match chunk {
            Ok(chunk) => {
                Ok(LogChunk { stderr: chunk.channel == Channel::Stderr, data: chunk.bytes })
            }
            Err(error) => Err(engine_error(&error)),
        };
        Ok(chunks.map(chunk).boxed())
    }

    async fn debug_log(
        &self,
        replica: &ReplicaKey,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Bytes>, ApiError> {
        if let Some(node) = remote::node_of(&self.control, &self.identity, replica)? {
            return remote::debug_log(&node, replica, query).await;
        }
        let (mut past, feed) = self.debug.read(replica);
        if let Some(tail) = query.tail {
            past.drain(..past.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
        }
        let lines = stream::iter(past).map(|line| Bytes::from(line + "\n"));
        if !query.follow {
            return Ok(lines.boxed());
        }
        let replica = replica.clone();
        let more = stream::unfold((feed, replica), |(mut feed, replica)| async move {
            loop {
                match feed.recv().await {
                    Ok((key, line)) if key == replica => {
                        return Some((Bytes::from(line + "\n"), (feed, replica)));
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        let line = format!("({missed} lines were missed)\n");
                        return Some((Bytes::from(line), (feed, replica)));
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Ok(lines.chain(more).boxed())
    }

    async fn exec(&self, replica: &ReplicaKey, query: &ExecQuery) -> Result<ExecSession, ApiError> {
        if let Some(node) = remote::node_of(&self.control, &self.identity, replica)? {
            return remote::exec(&node, replica, query).await;
        }
        let command: Vec<String> = serde_json::from_str(&query.command).map_err(|_| {
            ApiError::new(Code::BadRequest, "`command` is not a JSON array of texts")
        })?;
        let id = self.container(&replica.generated_name()).await?;
        let size = query.width.zip(query.height);
        let request = ExecRequest {
            command,
            tty: query.tty,
            stdin: query.stdin,
            user: (!query.user.is_empty()).then(|| query.user.clone()),
            size: size.map(|(columns, rows)| TerminalSize { columns, rows }),
            ..ExecRequest::default()
        };
        let session = self.engine.exec(&id, request).await.map_err(|e| engine_error(&e))?;
        Ok(bridge(session))
    }

    async fn settled(&self, revision: u64) {
        // An agent that is gone settles nothing any more; the node is ending then.
        let _ = self.settled.clone().wait_for(|settled| *settled >= revision).await;
    }

    async fn transfer(&self, to: Option<u64>) -> Result<(), ApiError> {
        match self.control.store().status().leader {
            Some(leader) if leader == self.control.node_id() => self.hand_over(to).await,
            Some(leader) => self.ask_to_hand_over(leader, to).await,
            None => Err(ApiError::new(Code::NoLeader, "no node leads the cluster just now")
                .hint("`smrctl cluster status --stale` shows which voters answer")),
        }
    }

    async fn health(&self) -> Health {
        let status = self.control.store().status();
        let engine = match self.engine_status.borrow().clone() {
            EngineStatus::Ready => (true, String::new()),
            EngineStatus::Unknown => (false, "not asked yet".to_owned()),
            EngineStatus::Down(why) => (false, why),
        };
        let store = match self.control.store().barrier().await {
            Ok(_) => (true, String::new()),
            Err(error) => (false, error.to_string()),
        };
        let checks = [("store", store), ("engine", engine)]
            .map(|(name, (ok, message))| HealthCheck { name: name.to_owned(), ok, message });
        Health {
            ok: checks.iter().all(|check| check.ok),
            checks: checks.into(),
            store: StoreInfo {
                revision: status.revision,
                compacted: status.compacted,
                leader: status.leader,
                term: status.term,
                applied: status.applied_index,
            },
        }
    }

    fn version(&self) -> Version {
        let info = self.engine_info.borrow();
        Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.control.node_name().to_owned(),
            engine: format!("{} {}", info.name, info.version).trim().to_owned(),
        }
    }

    async fn backup(&self, lock: Option<&str>) -> Result<tokio::fs::File, ApiError> {
        let lock = lock.map(KeyLock::from_word).transpose().map_err(|error| {
            let header = smr_wire::routes::BACKUP_LOCK;
            ApiError::new(Code::BadRequest, format!("the header `{header}` is no lock: {error}"))
        })?;
        let internal = |what: String| ApiError::new(Code::Internal, what);
        let name = format!("backup-{}.smr", Timestamp::now().as_nanosecond());
        let path = self.scratch.join(name);
        self.control
            .store()
            .backup(&path)
            .await
            .map_err(|error| internal(format!("the backup cannot be written: {error}")))?;
        let completed = {
            let (path, identity) = (path.clone(), Arc::clone(&self.identity));
            let cluster = self.control.cluster_id().map_err(|error| internal(error.to_string()))?;
            let complete = move || {
                backup::complete(&path, &identity, cluster.unwrap_or_default(), lock.as_ref())
            };
            tokio::task::spawn_blocking(complete).await
        };
        let completed = completed.map_err(anyhow::Error::from).and_then(|completed| completed);
        if let Err(error) = completed {
            let _ = tokio::fs::remove_file(&path).await;
            return Err(internal(format!("the backup cannot be completed: {error:#}")));
        }
        let file = tokio::fs::File::open(&path).await;
        // Open files stay readable; the name is not needed any more, whatever happens next.
        let removed = tokio::fs::remove_file(&path).await;
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove a sent backup");
        }
        file.map_err(|error| internal(format!("the backup cannot be read: {error}")))
    }
}

/// Joins the engine's session to the channels the API works with.
fn bridge(session: smr_engine::ExecSession) -> ExecSession {
    let smr_engine::ExecSession { input, output, control } = session;
    let (sender, mut inbox) = mpsc::channel::<ExecInput>(16);
    let control = Arc::from(control);
    let resizer: Arc<dyn smr_engine::ExecControl> = Arc::clone(&control);
    tokio::spawn(async move {
        let mut input = Some(input);
        while let Some(message) = inbox.recv().await {
            match message {
                ExecInput::Data(bytes) => {
                    if let Some(open) = &input
                        && open.send(bytes).await.is_err()
                    {
                        input = None;
                    }
                }
                ExecInput::Eof => input = None,
                ExecInput::Resize(size) => {
                    let size = TerminalSize { columns: size.width, rows: size.height };
                    if let Err(error) = resizer.resize(size).await {
                        tracing::debug!(%error, "terminal cannot be resized");
                    }
                }
            }
        }
    });
    let chunks = output.map(|chunk| match chunk {
        Ok(chunk) if chunk.channel == Channel::Stderr => ExecOutput::Stderr(chunk.bytes),
        Ok(chunk) => ExecOutput::Stdout(chunk.bytes),
        Err(error) => ExecOutput::Error(engine_error(&error)),
    });
    let end = stream::once(async move {
        match control.exit_code().await {
            Ok(code) => ExecOutput::Exit(code),
            Err(error) => ExecOutput::Error(engine_error(&error)),
        }
    });
    ExecSession { input: sender, output: chunks.chain(end).boxed() }
}
