//! Identities, kinds, definitions and statuses of `smr`, as plain data.
//!
//! Start reading at [`Definition`] (what a user applies), [`ContainerSpec`] (what one container is
//! created from) and [`ReplicaStatus`] (what became of it). [`parse`] reads what users write, with
//! every mistake placed; [`validate()`] is the one check for every way in. This crate never does
//! I/O, never reads a clock and knows nothing about Docker, HTTP or storage.

mod cluster;
pub mod constraint;
mod definition;
mod diff;
mod digest;
mod explain;
mod issue;
mod key;
mod kind;
mod natural;
mod parser;
mod ports;
mod quantity;
mod redact;
mod run;
mod schema;
mod shape;
pub mod spec;
mod spelling;
mod status;
mod suggest;
mod ulimit;
mod validate;
mod yaml;

pub use cluster::{
    Assignment, Availability, Health, Member, NodeHealth, NodeRole, NodeSettings, Rollout,
    RolloutState,
};
pub use definition::{Definition, InitContainer, Meta, Owner, Spec};
pub use diff::{Change, ChangeOp, diff, is_scale_only};
pub use digest::canonical_json;
pub use explain::{Explanation, FieldSummary, UnknownPath, explain, explainable_paths};
pub use issue::{Issue, Problem, Severity, SourceName};
pub use key::{DEFAULT_PREFIX, KeyError, ObjectKey, ObjectRef, ReplicaKey};
pub use kind::{Kind, UnknownKind};
pub use natural::natural_cmp;
pub use parser::{Document, Parsed, field_path, parse, parse_value};
pub use ports::{PortError, port_mappings, ports};
pub use quantity::{Bytes, Cpus, GoDuration, QuantityError};
pub use redact::MASK;
pub use run::{
    ContainerFile, ContainerSpec, Device, HealthCommand, LogConfig, Mount, MountKind,
    NetworkAttachment, PortBinding, Protocol, RegistryAuth, Ulimit,
};
pub use schema::json_schema;
pub use status::{
    EngineState, Event, ImageState, NodeStatus, PortMapping, Reason, ReplicaState, ReplicaStatus,
};
pub use ulimit::{UlimitError, ulimits};
pub use validate::validate;
pub use yaml::{to_yaml, value_to_yaml};
