//! What tests do to the engine behind the caller's back.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use smr_model::{ContainerSpec, EngineState};

use super::{Call, MemoryEngine, Operation, Program, world::Cell};
use crate::{
    error::{ErrorClass, PullFailure},
    types::{Container, EngineEventKind, Health},
};

impl MemoryEngine {
    /// Replaces the clock; the wall clock otherwise.
    pub fn set_clock(&self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) {
        self.world().clock = Arc::new(clock);
    }

    /// Puts an image on the node.
    pub fn add_image(&self, reference: &str) {
        self.world().images.insert(reference.to_owned());
    }

    /// Takes an image off the node.
    pub fn remove_image(&self, reference: &str) {
        self.world().images.remove(reference);
    }

    /// Arranges what pulling an image gives; images nobody arranged are not found.
    pub fn set_pull(&self, reference: &str, answer: Result<(), PullFailure>) {
        self.world().registry.insert(reference.to_owned(), answer);
    }

    /// Arranges what containers of this name or image do from their next creation on, and what
    /// commands with this first word do. By default containers run the few commands of
    /// [`Program`] or, for others, until they are stopped; unknown commands in a container
    /// end with code 127.
    pub fn set_program(&self, name_or_image: &str, program: Program) {
        self.world().programs.insert(name_or_image.to_owned(), program);
    }

    /// Makes the next `times` calls fail.
    pub fn fail(&self, operation: Operation, times: usize, class: ErrorClass) {
        let mut world = self.world();
        let queue = world.failures.entry(operation).or_default();
        queue.extend(std::iter::repeat_n(class, times));
    }

    /// Spoils the next `containers` that are started: this start and every later one of the same
    /// container fails, as when the engine was ended in the middle and something keeps half of it.
    pub fn spoil_starts(&self, containers: usize) {
        self.world().spoil = containers;
    }

    /// Lets calls take time; zero ends that. Beyond two minutes they fail with a timeout.
    pub fn set_latency(&self, operation: Operation, latency: Duration) {
        self.world().latency.insert(operation, latency);
    }

    /// Takes the engine away or brings it back. Containers go on, streams of events end.
    pub fn set_reachable(&self, reachable: bool) {
        let mut world = self.world();
        world.reachable = reachable;
        if !reachable {
            world.subscribers.clear();
        }
    }

    /// Breaks all streams of events, as a restart of the engine does.
    pub fn break_events(&self) {
        self.world().subscribers.clear();
    }

    /// Ends the main process of a container. One that does not run stays as it is.
    pub fn kill(&self, id_or_name: &str, exit_code: i64) {
        let mut world = self.world();
        if let Some(id) = world.resolve(id_or_name) {
            world.end(&id, None, exit_code);
        }
    }

    /// Ends the main process as the kernel does when memory runs out.
    pub fn kill_for_memory(&self, id_or_name: &str) {
        let mut world = self.world();
        let Some(id) = world.resolve(id_or_name) else { return };
        world.emit(&id, EngineEventKind::OutOfMemory);
        world.end(&id, None, 137);
        if let Some(cell) = world.containers.get_mut(&id) {
            cell.container.oom_killed = true;
        }
    }

    /// Removes a container as somebody at the engine's command line would.
    pub fn vanish(&self, id_or_name: &str) {
        let mut world = self.world();
        if let Some(id) = world.resolve(id_or_name) {
            world.discard(&id);
        }
    }

    /// Sets the result of a container's health check.
    pub fn set_health(&self, id_or_name: &str, health: Health) {
        let mut world = self.world();
        let Some(id) = world.resolve(id_or_name) else { return };
        if let Some(cell) = world.containers.get_mut(&id) {
            cell.container.health = health;
        }
        world.emit(&id, EngineEventKind::Health(health));
    }

    /// Adds a running container smr did not make.
    pub fn add_foreign(&self, name: &str, image: &str) -> String {
        let mut world = self.world();
        let (id, now) = (world.next_id(), world.now());
        let container = Container {
            id: id.clone(),
            name: name.to_owned(),
            image: image.to_owned(),
            state: EngineState::Running,
            created_at: Some(now),
            started_at: Some(now),
            ..Default::default()
        };
        let cell = Cell {
            container,
            spec: ContainerSpec::default(),
            program: Program::forever(),
            logs: Vec::new(),
            run: 1,
            networks: Vec::new(),
            spoiled: false,
        };
        world.containers.insert(id.clone(), cell);
        id
    }

    /// A container of whatever owner, without a call being recorded.
    pub fn container(&self, id_or_name: &str) -> Option<Container> {
        let world = self.world();
        let id = world.resolve(id_or_name)?;
        world.containers.get(&id).map(|cell| cell.container.clone())
    }

    /// What a container was made from.
    pub fn spec(&self, id_or_name: &str) -> Option<ContainerSpec> {
        let world = self.world();
        let id = world.resolve(id_or_name)?;
        world.containers.get(&id).map(|cell| cell.spec.clone())
    }

    /// Names of all containers of whatever owner, sorted.
    pub fn names(&self) -> Vec<String> {
        let world = self.world();
        let mut names: Vec<String> =
            world.containers.values().map(|cell| cell.container.name.clone()).collect();
        names.sort();
        names
    }

    /// The calls made since this was last asked.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.world().calls)
    }

    /// Waits until the world is as wanted; looks again after every change.
    pub async fn until(&self, wanted: impl Fn(&Self) -> bool) {
        let mut changes = self.world().version.subscribe();
        while !wanted(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
