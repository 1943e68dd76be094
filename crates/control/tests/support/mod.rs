//! A control over a real store in a directory of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test file uses its part")]

pub(crate) mod cluster;

use smr_control::{Actor, Control, Options};
use smr_model::{ReplicaKey, ReplicaState, ReplicaStatus};
use smr_pki::{DataKey, Role};
use smr_store::Store;
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) control: Control,
    pub(crate) dir: TempDir,
}

impl std::ops::Deref for Fixture {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

pub(crate) async fn control() -> Fixture {
    let dir = TempDir::new().unwrap();
    let control = open(&dir).await;
    Fixture { control, dir }
}

pub(crate) async fn open(dir: &TempDir) -> Control {
    let store = Store::open(smr_store::Options::new(dir.path())).await.unwrap();
    let options = Options { node_id: 1, node_name: "node-1".to_owned() };
    Control::new(store, DataKey::from_bytes(&[7; 32]), options)
}

pub(crate) fn kim() -> Actor {
    Actor { name: "kim".to_owned(), role: Role::Admin }
}

pub(crate) fn configuration(name: &str, value: &str) -> String {
    format!(
        "kind: configuration\nmeta: {{group: g, name: {name}}}\nspec: {{data: {{k: {value}}}}}\n---\n"
    )
}

pub(crate) fn secret(value: &str) -> String {
    format!(
        "kind: secret\nmeta: {{group: g, name: s}}\nspec: {{data: {{password: {value}, user: root}}}}\n"
    )
}

pub(crate) fn containers(group: &str, name: &str) -> String {
    format!(
        "kind: containers\nmeta: {{group: {group}, name: {name}}}\nspec: {{image: web, tag: \"1\", replicas: 2}}\n---\n"
    )
}

pub(crate) fn status(name: &str, index: u32) -> ReplicaStatus {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    ReplicaStatus {
        state: ReplicaState::Running,
        ready: true,
        generation: 1,
        image: "web:1".to_owned(),
        ..ReplicaStatus::new(ReplicaKey::new("g", name, index), "node-1", 1, now)
    }
}
