//! Containers from creation to removal.

use std::{sync::Arc, time::Duration};

use smr_model::{ContainerSpec, EngineState, MountKind};

use super::{MemoryEngine, Program, source, world::Cell};
use crate::{
    error::{Conflict, Error},
    ownership::Ownership,
    types::{Container, EngineEventKind},
};

fn what(id_or_name: &str) -> String {
    format!("container `{id_or_name}`")
}

impl MemoryEngine {
    pub(super) fn not_found(id_or_name: &str) -> Error {
        Error::NotFound { what: what(id_or_name), source: None }
    }

    /// The id of the container if it is there; an error when it is somebody else's.
    pub(super) fn our_id(&self, id_or_name: &str) -> Result<Option<String>, Error> {
        match self.container(id_or_name) {
            None => Ok(None),
            Some(container) if self.owner.owns(&container.labels) => Ok(Some(container.id)),
            Some(_) => Err(Error::NotOurs { what: what(id_or_name) }),
        }
    }

    pub(super) fn create_container(
        &self,
        spec: &ContainerSpec,
        own: &Ownership,
    ) -> Result<String, Error> {
        let operation = format!("create {}", what(&spec.name));
        if own.owner() != self.owner {
            return Err(Error::NotOurs { what: what(&spec.name) });
        }
        if spec.files.iter().any(|f| !f.path.starts_with('/') || f.path.contains("/../")) {
            return Err(Error::Refused { operation, source: source("bad path of a file") });
        }
        let mut world = self.world();
        if !world.images.contains(&spec.image) {
            return Err(Error::ImageMissing { image: spec.image.clone(), source: None });
        }
        if world.resolve(&spec.name).is_some() {
            let conflict = Conflict::Name(spec.name.clone());
            return Err(Error::Conflict { operation, conflict, source: None });
        }
        let networks = joined(spec);
        if let Some(missing) = networks.iter().find(|name| !world.networks.contains_key(*name)) {
            return Err(Error::NotFound { what: format!("network `{missing}`"), source: None });
        }
        for mount in spec.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
            world.volumes.entry(mount.source.clone()).or_default().name = mount.source.clone();
        }
        let id = world.next_id();
        let now = world.now();
        let mut labels = spec.labels.clone();
        labels.extend(own.labels(now));
        let container = Container {
            id: id.clone(),
            name: spec.name.clone(),
            state: EngineState::Created,
            created_at: Some(now),
            image: spec.image.clone(),
            ownership: Some(own.clone()),
            labels,
            ..Default::default()
        };
        let arranged = world.programs.get(&spec.name).or_else(|| world.programs.get(&spec.image));
        let command: Vec<String> = spec.entrypoint.iter().chain(&spec.command).cloned().collect();
        let program = arranged.cloned();
        let program = program.or_else(|| Program::from_command(&command, &spec.files));
        let cell = Cell {
            container,
            spec: spec.clone(),
            program: program.unwrap_or_else(Program::forever),
            logs: Vec::new(),
            run: 0,
            networks,
            spoiled: false,
        };
        world.containers.insert(id.clone(), cell);
        world.emit(&id, EngineEventKind::Created);
        Ok(id)
    }

    pub(super) fn start_container(&self, id_or_name: &str) -> Result<(), Error> {
        let mut world = self.world();
        let id = world.resolve(id_or_name).ok_or_else(|| Self::not_found(id_or_name))?;
        if world.containers[&id].container.is_running() {
            return Ok(());
        }
        let spoils = world.spoil > 0;
        if let Some(cell) = world.containers.get_mut(&id)
            && (spoils || cell.spoiled)
        {
            if !std::mem::replace(&mut cell.spoiled, true) {
                world.spoil -= 1;
            }
            let operation = format!("start {}", what(id_or_name));
            return Err(Error::Other { operation, source: source("task already exists") });
        }
        if let Some(port) = world.taken_port(&id) {
            return Err(Error::Conflict {
                operation: format!("start {}", what(id_or_name)),
                conflict: Conflict::Port(port),
                source: None,
            });
        }
        let Some((run, program)) = world.begin(&id) else { return Ok(()) };
        match program.lasts {
            None => {}
            Some(Duration::ZERO) => world.end(&id, Some(run), program.exit_code),
            Some(lasts) => {
                let shared = Arc::clone(&self.world);
                tokio::spawn(async move {
                    tokio::time::sleep(lasts).await;
                    let mut world =
                        shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    world.end(&id, Some(run), program.exit_code);
                });
            }
        }
        Ok(())
    }

    pub(super) async fn stop_container(
        &self,
        id_or_name: &str,
        signal: Option<&str>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let Some(id) = self.our_id(id_or_name)? else { return Ok(()) };
        let (run, obeys) = {
            let world = self.world();
            match world.containers.get(&id) {
                Some(cell) if cell.container.is_running() => (cell.run, cell.program.obeys),
                _ => return Ok(()),
            }
        };
        let kills = matches!(signal, Some("SIGKILL" | "KILL" | "9"));
        if obeys && !kills {
            self.world().end(&id, Some(run), 143);
            return Ok(());
        }
        if !kills {
            // It may yet end by itself.
            let _ = tokio::time::timeout(timeout, self.wait_for(&id)).await;
        }
        self.world().end(&id, Some(run), 137);
        Ok(())
    }

    pub(super) fn rename_container(&self, id_or_name: &str, name: &str) -> Result<(), Error> {
        let Some(id) = self.our_id(id_or_name)? else { return Err(Self::not_found(id_or_name)) };
        let mut world = self.world();
        match world.resolve(name) {
            Some(holder) if holder == id => return Ok(()),
            Some(_) => {
                let operation = format!("rename {}", what(id_or_name));
                let conflict = Conflict::Name(name.to_owned());
                return Err(Error::Conflict { operation, conflict, source: None });
            }
            None => {}
        }
        if let Some(cell) = world.containers.get_mut(&id) {
            name.clone_into(&mut cell.container.name);
        }
        world.touch();
        Ok(())
    }

    pub(super) async fn wait_for(&self, id_or_name: &str) -> Result<i64, Error> {
        let mut changes = self.world().version.subscribe();
        loop {
            let container =
                self.container(id_or_name).ok_or_else(|| Self::not_found(id_or_name))?;
            if !container.is_running() {
                return Ok(container.exit_code.unwrap_or(0));
            }
            // The sender lives as long as the world this borrows.
            let _ = changes.changed().await;
        }
    }
}

/// Networks with an address for the container.
fn joined(spec: &ContainerSpec) -> Vec<String> {
    let first = match spec.network_mode.as_str() {
        "host" | "none" => return Vec::new(),
        "" | "default" => "bridge",
        name => name,
    };
    let mut networks = vec![first.to_owned()];
    for attachment in &spec.networks {
        if !networks.contains(&attachment.network) {
            networks.push(attachment.network.clone());
        }
    }
    networks
}
