//! Volumes of the engine.

use std::collections::HashMap;

use bollard::{
    models::{Volume as ApiVolume, VolumeCreateRequest},
    query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions},
};

use super::{
    DockerEngine,
    failure::{Task, is_status},
};
use crate::{
    error::Error,
    network::volume_differences,
    reference::is_name,
    types::{Ensured, Volume, VolumeOutcome, VolumeRequest},
};

impl DockerEngine {
    pub(super) async fn our_volumes(&self) -> Result<Vec<Volume>, Error> {
        let task = Task::engine("list volumes");
        let options = ListVolumesOptionsBuilder::new().filters(&self.owner_filter()).build();
        let found = self
            .connection
            .call(&task, self.connection.limits.read, |api| {
                let options = options.clone();
                async move { api.docker.list_volumes(Some(options)).await }
            })
            .await?;
        let mut volumes: Vec<Volume> =
            found.volumes.unwrap_or_default().into_iter().map(convert).collect();
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    async fn find_volume(&self, name: &str) -> Result<Option<Volume>, Error> {
        let task = Task::volume("look for", name);
        if !is_name(name) {
            return Err(task.refused("letters, digits, `.`, `_` and `-` make a volume name"));
        }
        let result = self
            .connection
            .try_call(&task, self.connection.limits.read, |api| async move {
                api.docker.inspect_volume(name).await
            })
            .await?;
        match result {
            Ok(volume) => Ok(Some(convert(volume))),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(self.classify(&task, error)),
        }
    }

    pub(super) async fn make_volume(
        &self,
        request: &VolumeRequest,
    ) -> Result<VolumeOutcome, Error> {
        if let Some(volume) = self.find_volume(&request.name).await? {
            let differences = volume_differences(request, &volume);
            return Ok(VolumeOutcome {
                ours: self.owner.owns(&volume.labels),
                ensured: if differences.is_empty() {
                    Ensured::Existed
                } else {
                    Ensured::Differs(differences)
                },
            });
        }
        let task = Task::volume("create", &request.name);
        let mut labels: HashMap<String, String> = request.labels.clone().into_iter().collect();
        labels.extend(self.owner.labels());
        let body = VolumeCreateRequest {
            name: Some(request.name.clone()),
            driver: (!request.driver.is_empty()).then(|| request.driver.clone()),
            driver_opts: Some(request.options.clone().into_iter().collect()),
            labels: Some(labels),
            ..Default::default()
        };
        self.connection
            .call(&task, self.connection.limits.change, |api| {
                let body = body.clone();
                async move { api.docker.create_volume(body).await }
            })
            .await?;
        Ok(VolumeOutcome { ensured: Ensured::Created, ours: true })
    }

    pub(super) async fn delete_volume(&self, name: &str) -> Result<(), Error> {
        let task = Task::volume("remove", name);
        let Some(volume) = self.find_volume(name).await? else { return Ok(()) };
        if !self.owner.owns(&volume.labels) {
            return Err(task.not_ours());
        }
        let result = self
            .connection
            .try_call(&task, self.connection.limits.change, |api| async move {
                api.docker.remove_volume(name, None::<RemoveVolumeOptions>).await
            })
            .await?;
        match result {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) => Ok(()),
            Err(error) => Err(self.classify(&task, error)),
        }
    }
}

fn convert(volume: ApiVolume) -> Volume {
    Volume {
        name: volume.name,
        driver: volume.driver,
        options: volume.options.into_iter().collect(),
        mount_point: volume.mountpoint,
        labels: volume.labels.into_iter().collect(),
    }
}
