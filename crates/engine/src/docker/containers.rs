//! Containers: list, create, start, stop, remove, wait.

use std::{sync::Arc, time::Duration};

use bollard::{
    body_full,
    errors::Error as ApiError,
    models::{ContainerSummary, EndpointSettings, NetworkConnectRequest},
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder,
        ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
        StopContainerOptionsBuilder, UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use smr_model::{ContainerSpec, EngineState};

use super::{
    DockerEngine,
    client::{Api, ApiVersion},
    convert::{create_body, from_inspect, from_summary, network_plan, start_mark, user_networks},
    failure::{Task, is_status},
    files,
};
use crate::{
    error::Error,
    ownership::Ownership,
    reference::{is_image_reference, is_name},
    types::Container,
};

/// How many inspections run at once while listing.
const PARALLEL: usize = 16;

/// What is known of a container of ours.
#[derive(Debug, Clone)]
pub(super) struct Known {
    mark: Vec<String>,
    container: Container,
}

impl DockerEngine {
    pub(super) async fn summaries(&self) -> Result<Vec<ContainerSummary>, Error> {
        let task = Task::engine("list containers");
        let options =
            ListContainersOptionsBuilder::new().all(true).filters(&self.owner_filter()).build();
        self.connection
            .call(&task, self.connection.limits.read, |api| {
                let options = options.clone();
                async move { api.docker.list_containers(Some(options)).await }
            })
            .await
    }

    pub(super) async fn list_containers(&self) -> Result<Vec<Container>, Error> {
        let summaries = self.summaries().await?;
        // Collected first: the compiler cannot prove a lazy stream of these futures `Send`.
        let looks: Vec<_> = summaries.iter().map(|summary| self.complete(summary)).collect();
        let containers: Vec<Option<Container>> =
            stream::iter(looks).buffer_unordered(PARALLEL).try_collect().await?;
        let mut containers: Vec<Container> = containers.into_iter().flatten().collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        let present = |id: &String| summaries.iter().any(|s| s.id.as_ref() == Some(id));
        self.with_known(|known| known.retain(|id, _| present(id)));
        Ok(containers)
    }

    /// Adds what the list call does not tell. Only containers that were started since they were
    /// last looked at, or have ended, cost a call.
    async fn complete(&self, summary: &ContainerSummary) -> Result<Option<Container>, Error> {
        let brief = from_summary(summary);
        if brief.state == EngineState::Created {
            self.with_owned(|owned| owned.insert(brief.id.clone()));
            return Ok(Some(brief));
        }
        let mark = start_mark(summary);
        if brief.state == EngineState::Running && !mark.is_empty() {
            let known = self.with_known(|known| known.get(&brief.id).cloned());
            if let Some(known) = known.filter(|known| known.mark == mark) {
                let Container { name, health, .. } = brief;
                return Ok(Some(Container { name, health, ..known.container }));
            }
        }
        let Some(container) = self.inspect_container(&brief.id).await? else { return Ok(None) };
        if container.state == EngineState::Running {
            let entry = Known { mark, container: container.clone() };
            self.with_known(|known| known.insert(brief.id.clone(), entry));
        }
        Ok(Some(container))
    }

    pub(super) async fn inspect_container(&self, id: &str) -> Result<Option<Container>, Error> {
        let task = Task::container("inspect", id);
        if !is_name(id) {
            return Err(task.refused("not a container name"));
        }
        let result = self
            .connection
            .try_call(&task, self.connection.limits.read, |api| async move {
                api.docker.inspect_container(id, None::<InspectContainerOptions>).await
            })
            .await?;
        match result {
            Ok(response) => {
                let container = from_inspect(response);
                if self.owner.owns(&container.labels) {
                    self.with_owned(|owned| owned.insert(container.id.clone()));
                }
                Ok(Some(container))
            }
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(self.classify(&task, error)),
        }
    }

    /// The id of the container if it is there; an error when it is somebody else's. Labels never
    /// change, so an id once known to be ours is not asked about again.
    async fn our_id(&self, task: &Task, id: &str) -> Result<Option<String>, Error> {
        if self.with_owned(|owned| owned.contains(id)) {
            return Ok(Some(id.to_owned()));
        }
        match self.inspect_container(id).await? {
            None => Ok(None),
            Some(container) if self.owner.owns(&container.labels) => Ok(Some(container.id)),
            Some(_) => Err(task.not_ours()),
        }
    }

    pub(super) async fn create_container(
        &self,
        spec: &ContainerSpec,
        own: &Ownership,
    ) -> Result<String, Error> {
        let task = Task::container("create", &spec.name).with_image(&spec.image);
        if own.owner() != self.owner {
            return Err(task.not_ours());
        }
        if !is_name(&spec.name) {
            return Err(task.refused("letters, digits, `.`, `_` and `-` make a container name"));
        }
        if !is_image_reference(&spec.image) {
            return Err(task.refused(format!("`{}` is not an image reference", spec.image)));
        }
        if let Some(reason) = spec.files.iter().find_map(files::path_error) {
            return Err(task.refused(reason));
        }
        self.check_networks(&task, spec).await?;
        let labels = own.labels(Timestamp::now());
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let (id, afterwards) = self
            .connection
            .call(&task, self.connection.limits.change, |api| {
                let plan = network_plan(spec, api.version >= ApiVersion::MANY_NETWORKS);
                let body = create_body(spec, labels.clone(), plan.mode, plan.at_creation);
                let options = options.clone();
                async move {
                    let response = api.docker.create_container(Some(options), body).await?;
                    Ok((response.id, plan.afterwards))
                }
            })
            .await?;
        self.with_owned(|owned| owned.insert(id.clone()));
        let finished = self.finish_creation(&task, &id, spec, afterwards).await;
        if let Err(error) = finished {
            if let Err(left) = self.remove_container(&id).await {
                tracing::warn!(container = %spec.name, error = %left, "half-made container is left");
            }
            return Err(error);
        }
        Ok(id)
    }

    /// The engine itself would notice a missing network at the start only. Plain containers cost
    /// no call.
    async fn check_networks(&self, task: &Task, spec: &ContainerSpec) -> Result<(), Error> {
        let wanted = user_networks(spec);
        if let Some(bad) = wanted.iter().find(|name| !is_name(name)) {
            return Err(task.refused(format!("`{bad}` is not a network name")));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let there = self.networks_named(task, &wanted).await?;
        match wanted.iter().find(|name| !there.iter().any(|network| &network.name == *name)) {
            Some(missing) => Err(Task::network("join", missing).not_found()),
            None => Ok(()),
        }
    }

    async fn finish_creation(
        &self,
        task: &Task,
        id: &str,
        spec: &ContainerSpec,
        networks: Vec<(String, EndpointSettings)>,
    ) -> Result<(), Error> {
        let limit = self.connection.limits.change;
        for (network, settings) in networks {
            let network = network.as_str();
            let request =
                NetworkConnectRequest { container: id.to_owned(), endpoint_config: Some(settings) };
            let connect = |api: Arc<Api>| {
                let request = request.clone();
                async move { api.docker.connect_network(network, request).await }
            };
            match self.connection.try_call(task, limit, connect).await? {
                Ok(()) => {}
                Err(error) if is_status(&error, 404) => {
                    return Err(self.classify(&Task::network("join", network), error));
                }
                Err(error) => return Err(self.classify(task, error)),
            }
        }
        if spec.files.is_empty() {
            return Ok(());
        }
        let archive = files::archive(&spec.files).map_err(|e| task.refused(e.to_string()))?;
        let archive = bytes::Bytes::from(archive);
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let upload = |api: Arc<Api>| {
            let (options, body) = (options.clone(), body_full(archive.clone()));
            async move { api.docker.upload_to_container(id, Some(options), body).await }
        };
        self.connection.call(task, limit, upload).await
    }

    pub(super) async fn start_container(&self, id: &str) -> Result<(), Error> {
        let task = Task::container("start", id);
        if !is_name(id) {
            return Err(task.refused("not a container name"));
        }
        self.forget_start(id);
        self.connection
            .call(&task, self.connection.limits.change, |api| async move {
                api.docker.start_container(id, None).await
            })
            .await
    }

    pub(super) async fn stop_container(
        &self,
        id: &str,
        signal: Option<&str>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let task = Task::container("stop", id);
        let Some(id) = self.our_id(&task, id).await? else { return Ok(()) };
        let id = id.as_str();
        self.forget_start(id);
        let api = self.connection.api().await?;
        let native = signal.is_none() || api.version >= ApiVersion::STOP_SIGNAL;
        let mut seconds = timeout.as_secs_f64().ceil() as i32;
        if let (false, Some(signal)) = (native, signal) {
            if self.signal_and_wait(&task, id, signal, timeout).await? {
                return Ok(());
            }
            seconds = 0;
        }
        let mut options = StopContainerOptionsBuilder::new().t(seconds);
        if let (true, Some(signal)) = (native, signal) {
            options = options.signal(signal);
        }
        let options = options.build();
        let limit = timeout + self.connection.limits.change;
        let result = self
            .connection
            .try_call(&task, limit, |api| {
                let options = options.clone();
                async move { api.docker.stop_container(id, Some(options)).await }
            })
            .await?;
        match result {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) => Ok(()),
            Err(error) => Err(self.classify(&task, error)),
        }
    }

    /// For engines whose stop call takes no signal; tells whether the container has ended.
    async fn signal_and_wait(
        &self,
        task: &Task,
        id: &str,
        signal: &str,
        timeout: Duration,
    ) -> Result<bool, Error> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let result = self
            .connection
            .try_call(task, self.connection.limits.change, |api| {
                let options = options.clone();
                async move { api.docker.kill_container(id, Some(options)).await }
            })
            .await?;
        match result {
            Ok(()) => {}
            // Gone, or not running.
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => return Ok(true),
            Err(error) => return Err(self.classify(task, error)),
        }
        match tokio::time::timeout(timeout, self.wait_for(id, "not-running")).await {
            Ok(ended) => ended.map(|_| true),
            Err(_) => Ok(false),
        }
    }

    pub(super) async fn rename_container(&self, id: &str, name: &str) -> Result<(), Error> {
        let task = Task { name: name.to_owned(), ..Task::container("rename", id) };
        if !is_name(name) {
            return Err(task.refused(format!("`{name}` is not a container name")));
        }
        let Some(id) = self.our_id(&task, id).await? else { return Err(task.not_found()) };
        let id = id.as_str();
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        let result = self
            .connection
            .try_call(&task, self.connection.limits.change, |api| {
                let options = options.clone();
                async move { api.docker.rename_container(id, options).await }
            })
            .await?;
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.to_string().contains("same name as") => Ok(()),
            Err(error) => Err(self.classify(&task, error)),
        }
    }

    pub(super) async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let task = Task::container("remove", id);
        let Some(id) = self.our_id(&task, id).await? else { return Ok(()) };
        let id = id.as_str();
        let limit = self.connection.limits.change;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let result = self
            .connection
            .try_call(&task, limit, |api| {
                let options = options.clone();
                async move { api.docker.remove_container(id, Some(options)).await }
            })
            .await?;
        let gone = match result {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) => Ok(()),
            // Somebody is removing it already: it is gone when they are done.
            Err(error) if is_status(&error, 409) && error.to_string().contains("progress") => {
                let wait = self.wait_for(id, "removed");
                match tokio::time::timeout(limit, wait).await {
                    Ok(Ok(_) | Err(Error::NotFound { .. })) => Ok(()),
                    Ok(Err(error)) => Err(error),
                    Err(_) => Err(task.timeout(limit)),
                }
            }
            Err(error) => Err(self.classify(&task, error)),
        };
        if gone.is_ok() {
            self.with_owned(|owned| owned.remove(id));
            self.forget_start(id);
        }
        gone
    }

    /// Waits without limit; tells the exit code.
    pub(super) async fn wait_for(&self, id: &str, condition: &str) -> Result<i64, Error> {
        let task = Task::container("wait for", id);
        if !is_name(id) {
            return Err(task.refused("not a container name"));
        }
        let api = self.connection.api().await?;
        let options = WaitContainerOptionsBuilder::new().condition(condition).build();
        let mut answers = Box::pin(api.docker.wait_container(id, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            Some(Err(ApiError::DockerContainerWaitError { code, error })) if error.is_empty() => {
                Ok(code)
            }
            Some(Err(ApiError::DockerContainerWaitError { error, .. })) => Err(task.other(error)),
            Some(Err(error)) => {
                self.connection.forget(&api);
                Err(self.classify(&task, error))
            }
            None => Err(self.broke_off()),
        }
    }

    fn forget_start(&self, id: &str) {
        self.with_known(|known| known.remove(id));
    }
}
