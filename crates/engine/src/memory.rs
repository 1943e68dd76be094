//! An engine without containers: same rules, no processes. For tests and simulation.
//!
//! Everything it does follows from the calls made; ids count up, and the clock is the caller's.
//! Time passes by tokio's clock, which tests may pause.

mod containers;
mod control;
mod program;
mod sessions;
mod world;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use smr_model::{ContainerSpec, RegistryAuth};

pub use self::program::Program;
use self::world::World;
use crate::{
    engine::{ContainerEngine, ExecSession},
    error::{Conflict, Error, ErrorClass, PullFailure},
    network::{differences, volume_differences},
    ownership::{Owner, Ownership},
    types::{
        Chunk, Container, EngineEvent, EngineInfo, Ensured, ExecOutcome, ExecRequest, Image,
        LogRequest, Network, NetworkOutcome, NetworkRequest, Progress, PullProgress, Volume,
        VolumeOutcome, VolumeRequest,
    },
};

/// How long a call may take here, as with a real engine.
const LIMIT: Duration = Duration::from_mins(2);

/// A call that can be recorded, delayed or made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // named like the trait's methods
pub enum Operation {
    Info,
    List,
    Inspect,
    Images,
    ImagePresent,
    Pull,
    Create,
    Start,
    Stop,
    Rename,
    Remove,
    ExecCheck,
    Exec,
    Logs,
    Wait,
    EnsureNetwork,
    NetworkExists,
    RemoveNetwork,
    ListNetworks,
    EnsureVolume,
    RemoveVolume,
    ListVolumes,
    Events,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub operation: Operation,
    /// On what: container id or name, image, network, volume; empty where there is none.
    pub target: String,
}

/// An engine in memory. Clones share one world.
#[derive(Clone)]
pub struct MemoryEngine {
    owner: Owner,
    world: Arc<Mutex<World>>,
}

impl std::fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryEngine").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl MemoryEngine {
    /// An engine without images and containers, working for `owner`.
    pub fn new(owner: Owner) -> Self {
        Self { owner, world: Arc::new(Mutex::new(World::new())) }
    }

    /// The same engine as another node or cluster sees it.
    pub fn as_owner(&self, owner: Owner) -> Self {
        Self { owner, world: Arc::clone(&self.world) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the call, lets its time pass, fails it if that was asked for.
    async fn enter(&self, operation: Operation, target: &str) -> Result<(), Error> {
        let what = format!("{operation:?} `{target}`");
        let latency = {
            let mut world = self.world();
            world.calls.push(Call { operation, target: target.to_owned() });
            world.latency.get(&operation).copied()
        };
        if let Some(latency) = latency {
            tokio::time::sleep(latency.min(LIMIT)).await;
            if latency > LIMIT {
                return Err(Error::Timeout { operation: what, limit: LIMIT });
            }
        }
        let mut world = self.world();
        if !world.reachable {
            return Err(unreachable_error());
        }
        let failure = world.failures.get_mut(&operation).and_then(|queue| queue.pop_front());
        failure.map_or(Ok(()), |class| Err(injected(class, what, target)))
    }
}

fn source(text: &str) -> Box<dyn std::error::Error + Send + Sync> {
    text.into()
}

fn unreachable_error() -> Error {
    Error::Unavailable { endpoint: "memory".to_owned(), source: source("connection refused") }
}

fn injected(class: ErrorClass, operation: String, target: &str) -> Error {
    let reason = || source("injected failure");
    let name = target.to_owned();
    match class {
        ErrorClass::Unavailable => unreachable_error(),
        ErrorClass::NotFound => Error::NotFound { what: operation, source: Some(reason()) },
        ErrorClass::Conflict => {
            let conflict = Conflict::Name(name);
            Error::Conflict { operation, conflict, source: Some(reason()) }
        }
        ErrorClass::ImageMissing => Error::ImageMissing { image: name, source: Some(reason()) },
        ErrorClass::PullFailed => {
            let failure = PullFailure::Network;
            Error::PullFailed { image: name, failure, source: reason() }
        }
        ErrorClass::Refused => Error::Refused { operation, source: reason() },
        ErrorClass::NotOurs => Error::NotOurs { what: operation },
        ErrorClass::Other => Error::Other { operation, source: reason() },
    }
}

#[async_trait]
impl ContainerEngine for MemoryEngine {
    fn owner(&self) -> &Owner {
        &self.owner
    }

    async fn info(&self) -> Result<EngineInfo, Error> {
        self.enter(Operation::Info, "").await?;
        Ok(EngineInfo {
            name: "memory".into(),
            version: "1.0.0".into(),
            api: "1.0".into(),
            os: "memory".into(),
            kernel: "6.1.0".into(),
            arch: "x86_64".into(),
            cpus: 4,
            memory: 8 << 30,
            host: self.owner.node.clone(),
            data_root: "/var/lib/memory".into(),
        })
    }

    async fn list(&self) -> Result<Vec<Container>, Error> {
        self.enter(Operation::List, "").await?;
        let world = self.world();
        let ours = world.containers.values().map(|cell| &cell.container);
        let mut ours: Vec<Container> =
            ours.filter(|container| self.owner.owns(&container.labels)).cloned().collect();
        ours.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(ours)
    }

    async fn inspect(&self, id_or_name: &str) -> Result<Option<Container>, Error> {
        self.enter(Operation::Inspect, id_or_name).await?;
        Ok(self.container(id_or_name))
    }

    async fn images(&self) -> Result<Vec<Image>, Error> {
        self.enter(Operation::Images, "").await?;
        let image = |reference: &String| Image {
            id: format!("memory:{reference}"),
            references: vec![reference.clone()],
            ..Default::default()
        };
        Ok(self.world().images.iter().map(image).collect())
    }

    async fn image_present(&self, reference: &str) -> Result<bool, Error> {
        self.enter(Operation::ImagePresent, reference).await?;
        Ok(self.world().images.contains(reference))
    }

    async fn pull(
        &self,
        reference: &str,
        _auth: Option<&RegistryAuth>,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        let half = PullProgress { layers_done: 0, layers_total: 1, bytes_done: 1, bytes_total: 2 };
        progress(half);
        self.enter(Operation::Pull, reference).await?;
        let answer = self.world().registry.get(reference).copied();
        match answer.unwrap_or(Err(PullFailure::NotFound)) {
            Ok(()) => {
                self.world().images.insert(reference.to_owned());
                progress(PullProgress {
                    layers_done: 1,
                    layers_total: 1,
                    bytes_done: 2,
                    bytes_total: 2,
                });
                Ok(())
            }
            Err(failure) => Err(Error::PullFailed {
                image: reference.to_owned(),
                failure,
                source: source("as arranged"),
            }),
        }
    }

    async fn create(&self, spec: &ContainerSpec, own: &Ownership) -> Result<String, Error> {
        self.enter(Operation::Create, &spec.name).await?;
        self.create_container(spec, own)
    }

    async fn start(&self, id: &str) -> Result<(), Error> {
        self.enter(Operation::Start, id).await?;
        self.start_container(id)
    }

    async fn stop(&self, id: &str, signal: Option<&str>, timeout: Duration) -> Result<(), Error> {
        self.enter(Operation::Stop, id).await?;
        self.stop_container(id, signal, timeout).await
    }

    async fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        self.enter(Operation::Rename, id).await?;
        self.rename_container(id, name)
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        self.enter(Operation::Remove, id).await?;
        let Some(id) = self.our_id(id)? else { return Ok(()) };
        self.world().discard(&id);
        Ok(())
    }

    async fn exec_check(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutcome, Error> {
        self.enter(Operation::ExecCheck, id).await?;
        self.run_check(id, command, timeout).await
    }

    async fn exec(&self, id: &str, request: ExecRequest) -> Result<ExecSession, Error> {
        self.enter(Operation::Exec, id).await?;
        self.run_interactively(id, request)
    }

    async fn logs(
        &self,
        id: &str,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<Chunk, Error>>, Error> {
        self.enter(Operation::Logs, id).await?;
        self.read_logs(id, request)
    }

    async fn wait(&self, id: &str) -> Result<i64, Error> {
        self.enter(Operation::Wait, id).await?;
        self.wait_for(id).await
    }

    async fn ensure_network(&self, request: &NetworkRequest) -> Result<NetworkOutcome, Error> {
        self.enter(Operation::EnsureNetwork, &request.name).await?;
        let mut world = self.world();
        if let Some(network) = world.networks.get(&request.name) {
            return Ok(NetworkOutcome {
                id: network.id.clone(),
                ensured: existing(differences(request, network)),
                ours: self.owner.owns(&network.labels),
            });
        }
        let id = world.next_id();
        let mut labels = request.labels.clone();
        labels.extend(self.owner.labels());
        let driver = if request.driver.is_empty() { "bridge" } else { &request.driver };
        let subnet = if request.subnet.is_empty() { "172.18.0.0/16" } else { &request.subnet };
        let network = Network {
            id: id.clone(),
            name: request.name.clone(),
            driver: driver.to_owned(),
            subnets: vec![subnet.to_owned()],
            options: request.options.clone(),
            internal: request.internal,
            labels,
        };
        world.networks.insert(request.name.clone(), network);
        Ok(NetworkOutcome { id, ensured: Ensured::Created, ours: true })
    }

    async fn network_exists(&self, name: &str) -> Result<bool, Error> {
        self.enter(Operation::NetworkExists, name).await?;
        Ok(self.world().networks.contains_key(name))
    }

    async fn remove_network(&self, name: &str) -> Result<(), Error> {
        self.enter(Operation::RemoveNetwork, name).await?;
        let mut world = self.world();
        let Some(network) = world.networks.get(name) else { return Ok(()) };
        let what = format!("network `{name}`");
        if !self.owner.owns(&network.labels) {
            return Err(Error::NotOurs { what });
        }
        if world.containers.values().any(|cell| cell.container.addresses.contains_key(name)) {
            return Err(Error::Conflict {
                operation: format!("remove {what}"),
                conflict: Conflict::InUse(what),
                source: None,
            });
        }
        world.networks.remove(name);
        Ok(())
    }

    async fn list_networks(&self) -> Result<Vec<Network>, Error> {
        self.enter(Operation::ListNetworks, "").await?;
        let world = self.world();
        let ours = world.networks.values().filter(|network| self.owner.owns(&network.labels));
        Ok(ours.cloned().collect())
    }

    async fn ensure_volume(&self, request: &VolumeRequest) -> Result<VolumeOutcome, Error> {
        self.enter(Operation::EnsureVolume, &request.name).await?;
        let mut world = self.world();
        if let Some(volume) = world.volumes.get(&request.name) {
            return Ok(VolumeOutcome {
                ensured: existing(volume_differences(request, volume)),
                ours: self.owner.owns(&volume.labels),
            });
        }
        let mut labels = request.labels.clone();
        labels.extend(self.owner.labels());
        let driver = if request.driver.is_empty() { "local" } else { &request.driver };
        let volume = Volume {
            name: request.name.clone(),
            driver: driver.to_owned(),
            options: request.options.clone(),
            mount_point: format!("/var/lib/memory/volumes/{}", request.name),
            labels,
        };
        world.volumes.insert(request.name.clone(), volume);
        Ok(VolumeOutcome { ensured: Ensured::Created, ours: true })
    }

    async fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.enter(Operation::RemoveVolume, name).await?;
        let mut world = self.world();
        let Some(volume) = world.volumes.get(name) else { return Ok(()) };
        let what = format!("volume `{name}`");
        if !self.owner.owns(&volume.labels) {
            return Err(Error::NotOurs { what });
        }
        let mut mounts = world.containers.values().flat_map(|cell| &cell.spec.mounts);
        if mounts.any(|m| m.kind == smr_model::MountKind::Volume && m.source == name) {
            return Err(Error::Conflict {
                operation: format!("remove {what}"),
                conflict: Conflict::InUse(what),
                source: None,
            });
        }
        world.volumes.remove(name);
        Ok(())
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>, Error> {
        self.enter(Operation::ListVolumes, "").await?;
        let world = self.world();
        let ours = world.volumes.values().filter(|volume| self.owner.owns(&volume.labels));
        Ok(ours.cloned().collect())
    }

    async fn events(
        &self,
        _since: Option<Timestamp>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, Error>>, Error> {
        self.enter(Operation::Events, "").await?;
        Ok(self.subscribe())
    }
}

fn existing(differences: Vec<String>) -> Ensured {
    if differences.is_empty() { Ensured::Existed } else { Ensured::Differs(differences) }
}
