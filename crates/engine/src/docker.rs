//! The engine behind a Docker API, by socket file or TCP.
//!
//! One file per duty; here are only the state they share and the trait. Nothing is assumed about
//! the engine between two calls: it may have been restarted, upgraded or replaced.

mod client;
mod containers;
mod convert;
mod events;
mod exec;
mod failure;
mod files;
mod images;
mod networks;
mod volumes;

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{errors::Error as ApiError, query_parameters::LogsOptionsBuilder};
use futures_util::{StreamExt, stream::BoxStream};
use jiff::Timestamp;
use smr_model::{ContainerSpec, RegistryAuth};

use self::{
    client::{Connection, Endpoint, Limits},
    containers::Known,
    failure::{Task, classify},
};
use crate::{
    engine::{ContainerEngine, ExecSession},
    error::Error,
    ownership::{Owner, Ownership},
    types::{
        Chunk, Container, EngineEvent, EngineInfo, ExecOutcome, ExecRequest, Image, LogRequest,
        Network, NetworkOutcome, NetworkRequest, Progress, Volume, VolumeOutcome, VolumeRequest,
    },
};

/// A Docker engine. Making one does not connect: calls do, and do so again whenever needed.
#[derive(Debug)]
pub struct DockerEngine {
    connection: Connection,
    owner: Owner,
    /// What inspection told about running containers, by id.
    known: Mutex<HashMap<String, Known>>,
    /// Ids of containers whose labels are ours.
    owned: Mutex<HashSet<String>>,
    /// The engine would make two networks of one name when asked twice at once.
    networks: tokio::sync::Mutex<()>,
}

impl DockerEngine {
    /// An engine at a socket path (`/var/run/docker.sock`, `unix://...`) or an address
    /// (`tcp://host:2375`, without encryption), working for `owner`.
    pub fn new(endpoint: &str, owner: Owner) -> Self {
        Self {
            connection: Connection::new(Endpoint::parse(endpoint)),
            owner,
            known: Mutex::default(),
            owned: Mutex::default(),
            networks: tokio::sync::Mutex::default(),
        }
    }

    /// Changes how long calls may take: those that only look, and those that change something
    /// (beside the waiting they are asked for).
    pub fn with_limits(mut self, read: Duration, change: Duration) -> Self {
        self.connection.limits = Limits { read, change, ..self.connection.limits };
        self
    }

    fn classify(&self, task: &Task, error: ApiError) -> Error {
        classify(&self.connection.endpoint, task, error)
    }

    /// A stream that ends in the middle says only that much.
    fn broke_off(&self) -> Error {
        let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Error::Unavailable {
            endpoint: self.connection.endpoint.to_string(),
            source: Box::new(source),
        }
    }

    fn owner_filter(&self) -> HashMap<&'static str, Vec<String>> {
        let labels = self.owner.labels();
        HashMap::from([("label", labels.iter().map(|(k, v)| format!("{k}={v}")).collect())])
    }

    fn with_known<T>(&self, act: impl FnOnce(&mut HashMap<String, Known>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_owned<T>(&self, act: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        act(&mut self.owned.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ContainerEngine for DockerEngine {
    fn owner(&self) -> &Owner {
        &self.owner
    }

    async fn info(&self) -> Result<EngineInfo, Error> {
        let task = Task::engine("tell about itself");
        let (info, api) = self
            .connection
            .call(&task, self.connection.limits.read, |api| async move {
                Ok((api.docker.info().await?, api.version))
            })
            .await?;
        let count = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
        Ok(EngineInfo {
            name: "docker".to_owned(),
            version: info.server_version.unwrap_or_default(),
            api: api.to_string(),
            os: info.operating_system.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            arch: info.architecture.unwrap_or_default(),
            cpus: count(info.ncpu),
            memory: count(info.mem_total),
            host: info.name.unwrap_or_default(),
            data_root: info.docker_root_dir.unwrap_or_default(),
        })
    }

    async fn list(&self) -> Result<Vec<Container>, Error> {
        self.list_containers().await
    }

    async fn inspect(&self, id_or_name: &str) -> Result<Option<Container>, Error> {
        self.inspect_container(id_or_name).await
    }

    async fn images(&self) -> Result<Vec<Image>, Error> {
        self.list_images().await
    }

    async fn image_present(&self, reference: &str) -> Result<bool, Error> {
        self.has_image(reference).await
    }

    async fn pull(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        self.pull_image(reference, auth, progress).await
    }

    async fn create(&self, spec: &ContainerSpec, own: &Ownership) -> Result<String, Error> {
        self.create_container(spec, own).await
    }

    async fn start(&self, id: &str) -> Result<(), Error> {
        self.start_container(id).await
    }

    async fn stop(&self, id: &str, signal: Option<&str>, timeout: Duration) -> Result<(), Error> {
        self.stop_container(id, signal, timeout).await
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        self.rename_container(id, name).await
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        self.remove_container(id).await
    }

    async fn exec_check(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutcome, Error> {
        self.run_check(id, command, timeout).await
    }

    async fn exec(&self, id: &str, request: ExecRequest) -> Result<ExecSession, Error> {
        self.run_interactively(id, request).await
    }

    async fn logs(
        &self,
        id: &str,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<Chunk, Error>>, Error> {
        let task = Task::container("read the logs of", id);
        // The call itself answers only with the first line.
        let Some(container) = self.inspect_container(id).await? else {
            return Err(task.not_found());
        };
        let tail = request.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let mut options = LogsOptionsBuilder::new()
            .follow(request.follow)
            .stdout(true)
            .stderr(true)
            .timestamps(request.timestamps)
            .tail(&tail);
        if let Some(since) = request.since {
            options = options.since(i32::try_from(since.as_second()).unwrap_or(i32::MAX));
        }
        let api = self.connection.api().await?;
        let chunks = api.docker.logs(&container.id, Some(options.build()));
        let endpoint = self.connection.endpoint.clone();
        let chunks = chunks
            .map(move |item| item.map(exec::chunk).map_err(|e| classify(&endpoint, &task, e)));
        Ok(chunks.boxed())
    }

    async fn wait(&self, id: &str) -> Result<i64, Error> {
        self.wait_for(id, "not-running").await
    }

    async fn ensure_network(&self, request: &NetworkRequest) -> Result<NetworkOutcome, Error> {
        self.make_network(request).await
    }

    async fn network_exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.find_network(name).await?.is_some())
    }

    async fn remove_network(&self, name: &str) -> Result<(), Error> {
        self.delete_network(name).await
    }

    async fn list_networks(&self) -> Result<Vec<Network>, Error> {
        self.our_networks().await
    }

    async fn ensure_volume(&self, request: &VolumeRequest) -> Result<VolumeOutcome, Error> {
        self.make_volume(request).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.delete_volume(name).await
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>, Error> {
        self.our_volumes().await
    }

    async fn events(
        &self,
        since: Option<Timestamp>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, Error>>, Error> {
        self.open_events(since).await
    }
}
