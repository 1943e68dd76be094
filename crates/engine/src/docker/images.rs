//! Images: present, pull, list.

use std::collections::HashMap;

use bollard::{
    auth::DockerCredentials,
    models::CreateImageInfo,
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use smr_model::RegistryAuth;

use super::{
    DockerEngine,
    failure::{Task, is_connection_error, is_status, pull_error, pull_silence},
};
use crate::{
    error::Error,
    reference::{ImageReference, is_image_reference},
    types::{Image, Progress, PullProgress},
};

impl DockerEngine {
    pub(super) async fn list_images(&self) -> Result<Vec<Image>, Error> {
        let task = Task::engine("list images");
        let options = ListImagesOptionsBuilder::new().build();
        let summaries = self
            .connection
            .call(&task, self.connection.limits.read, |api| {
                let options = options.clone();
                async move { api.docker.list_images(Some(options)).await }
            })
            .await?;
        let mut images: Vec<Image> = summaries
            .into_iter()
            .map(|summary| Image {
                id: summary.id,
                references: named(summary.repo_tags),
                digests: named(summary.repo_digests),
                size: u64::try_from(summary.size).unwrap_or(0),
                created_at: Timestamp::from_second(summary.created).ok(),
            })
            .collect();
        images.sort_by(|a, b| (&a.references, &a.id).cmp(&(&b.references, &b.id)));
        Ok(images)
    }

    pub(super) async fn has_image(&self, reference: &str) -> Result<bool, Error> {
        let task = Task::image("look for", reference);
        if !is_image_reference(reference) {
            return Err(task.refused("not an image reference"));
        }
        let result = self
            .connection
            .try_call(&task, self.connection.limits.read, |api| async move {
                api.docker.inspect_image(reference).await
            })
            .await?;
        match result {
            Ok(_) => Ok(true),
            Err(error) if is_status(&error, 404) => Ok(false),
            Err(error) => Err(self.classify(&task, error)),
        }
    }

    pub(super) async fn pull_image(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        if !is_image_reference(reference) {
            return Err(Task::image("pull", reference).refused("not an image reference"));
        }
        let parsed = ImageReference::parse(reference);
        let credentials = auth.map(|auth| DockerCredentials {
            username: Some(auth.username.clone()),
            password: Some(auth.password.clone()),
            serveraddress: Some(parsed.registry().to_owned()),
            ..Default::default()
        });
        let options = CreateImageOptionsBuilder::new()
            .from_image(parsed.repository)
            .tag(parsed.version)
            .build();
        let api = self.connection.api().await?;
        let endpoint = &self.connection.endpoint;
        let silence = self.connection.limits.pull_silence;
        let mut steps = Box::pin(api.docker.create_image(Some(options), None, credentials));
        let mut layers = Layers::default();
        loop {
            match tokio::time::timeout(silence, steps.next()).await {
                Err(_) => return Err(pull_silence(reference, silence)),
                Ok(None) => return Ok(()),
                Ok(Some(Ok(step))) => {
                    if layers.note(step) {
                        progress(layers.progress());
                    }
                }
                Ok(Some(Err(error))) => {
                    if is_connection_error(&error) {
                        self.connection.forget(&api);
                    }
                    return Err(pull_error(endpoint, reference, error));
                }
            }
        }
    }
}

/// The engine writes `<none>` where there is nothing.
fn named(references: Vec<String>) -> Vec<String> {
    references.into_iter().filter(|reference| !reference.starts_with("<none>")).collect()
}

/// What a pull has told so far, by layer.
#[derive(Debug, Default)]
struct Layers(HashMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    done: bool,
    bytes_done: u64,
    bytes_total: u64,
}

impl Layers {
    /// Whether the step told something new about a layer.
    fn note(&mut self, step: CreateImageInfo) -> bool {
        let (Some(id), Some(status)) = (step.id, step.status) else { return false };
        let count = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok());
        let detail = step.progress_detail.unwrap_or_default();
        let finished = match status.as_str() {
            "Pulling fs layer" | "Waiting" | "Verifying Checksum" | "Extracting" => false,
            "Downloading" => {
                let layer = self.0.entry(id).or_default();
                layer.bytes_done = count(detail.current).unwrap_or(layer.bytes_done);
                layer.bytes_total = count(detail.total).unwrap_or(layer.bytes_total);
                return true;
            }
            "Download complete" => {
                let layer = self.0.entry(id).or_default();
                layer.bytes_done = layer.bytes_total;
                return true;
            }
            "Pull complete" | "Already exists" => true,
            // The first line has the tag where layers have their id.
            _ => return false,
        };
        self.0.entry(id).or_default().done |= finished;
        true
    }

    fn progress(&self) -> PullProgress {
        PullProgress {
            layers_done: self.0.values().filter(|layer| layer.done).count() as u32,
            layers_total: self.0.len() as u32,
            bytes_done: self.0.values().map(|layer| layer.bytes_done).sum(),
            bytes_total: self.0.values().map(|layer| layer.bytes_total).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn step(id: &str, status: &str, bytes: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: bytes.map(|(current, total)| ProgressDetail {
                current: Some(current),
                total: Some(total),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn progress_counts_layers_and_bytes_and_ignores_the_tag_line() {
        let mut layers = Layers::default();
        assert!(!layers.note(step("latest", "Pulling from app", None)));
        layers.note(step("a", "Already exists", None));
        layers.note(step("b", "Pulling fs layer", None));
        layers.note(step("b", "Downloading", Some((5, 10))));
        let half = PullProgress { layers_done: 1, layers_total: 2, bytes_done: 5, bytes_total: 10 };
        assert_eq!(layers.progress(), half);
        layers.note(step("b", "Download complete", None));
        layers.note(step("b", "Pull complete", None));
        assert_eq!((layers.progress().layers_done, layers.progress().bytes_done), (2, 10));
    }
}
