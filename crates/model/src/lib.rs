//! Identities, kinds, definitions and statuses of `smr`, as plain data.
//!
//! Start reading at [`Definition`] (what a user applies), [`ContainerSpec`] (what one container is
//! created from) and [`ReplicaStatus`] (what became of it). This crate never does I/O, never reads
//! a clock and knows nothing about Docker, HTTP or storage.

mod definition;
mod digest;
mod key;
mod kind;
mod quantity;
mod run;
pub mod spec;
mod status;

pub use definition::{Definition, InitContainer, Meta, Owner, Spec};
pub use digest::canonical_json;
pub use key::{DEFAULT_PREFIX, KeyError, ObjectKey, ObjectRef, ReplicaKey};
pub use kind::{Kind, UnknownKind};
pub use quantity::{Bytes, Cpus, GoDuration, QuantityError};
pub use run::{
    ContainerFile, ContainerSpec, Device, HealthCommand, LogConfig, Mount, MountKind,
    NetworkAttachment, PortBinding, Protocol, RegistryAuth, Ulimit,
};
pub use status::{
    EngineState, Event, ImageState, NodeStatus, PortMapping, Reason, ReplicaState, ReplicaStatus,
};
