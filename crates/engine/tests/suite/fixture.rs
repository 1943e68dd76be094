//! What the cases of the suite share.

use std::{sync::Arc, time::Duration};

use smr_engine::{ContainerEngine, Error, ErrorClass, Ownership, Role};
use smr_model::{ContainerSpec, ReplicaKey};

/// A small image with the usual commands, present in every engine under test.
pub(crate) const IMAGE: &str = "busybox:latest";

/// An engine under test, and the same one as another node sees it.
pub(crate) struct Fixture {
    pub(crate) engine: Arc<dyn ContainerEngine>,
    pub(crate) other: Arc<dyn ContainerEngine>,
    /// Keeps runs apart in an engine that outlives them.
    pub(crate) run: String,
}

impl Fixture {
    pub(crate) fn key(&self, name: &str) -> ReplicaKey {
        ReplicaKey::new(format!("t{}", self.run), name, 1)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("t{}-{name}", self.run)
    }

    /// A container that sleeps for an hour and obeys signals.
    pub(crate) fn spec(&self, name: &str) -> ContainerSpec {
        ContainerSpec {
            name: self.key(name).generated_name(),
            image: IMAGE.into(),
            command: words("sleep 3600"),
            init: true,
            ..Default::default()
        }
    }

    pub(crate) fn script(&self, name: &str, script: &str) -> ContainerSpec {
        ContainerSpec { command: vec!["sh".into(), "-c".into(), script.into()], ..self.spec(name) }
    }

    pub(crate) fn own(&self, name: &str) -> Ownership {
        ownership(&*self.engine, self.key(name))
    }

    pub(crate) async fn create(&self, spec: &ContainerSpec, name: &str) -> String {
        self.engine.create(spec, &self.own(name)).await.expect("created")
    }

    pub(crate) async fn run(&self, spec: &ContainerSpec, name: &str) -> String {
        let id = self.create(spec, name).await;
        self.engine.start(&id).await.expect("started");
        id
    }

    pub(crate) async fn discard(&self, id: &str) {
        self.engine.remove(id).await.expect("removed");
    }
}

pub(crate) fn ownership(engine: &dyn ContainerEngine, replica: ReplicaKey) -> Ownership {
    Ownership {
        cluster: engine.owner().cluster.clone(),
        node: engine.owner().node.clone(),
        replica,
        role: Role::Main,
        spec_hash: "5ec".into(),
        generation: 3,
    }
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

pub(crate) fn class<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorClass {
    result.expect_err("an error").class()
}

pub(crate) const SOON: Duration = Duration::from_secs(20);
