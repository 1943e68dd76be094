//! The typed specification of every kind (spec section 2, with the additions of this product).
//!
//! Field names are those of the YAML. Doc comments are shown by `smrctl explain` and in the JSON
//! Schemas, so they are written for users.

mod containers;
mod data;
mod other;
mod placement;

pub use containers::{
    ContainersSpec, Dependency, DeviceSpec, FileInfo, Healthcheck, HttpMethod, Logging, NetworkRef,
    ObjectNameRef, Permissions, Port, Probe, PullPolicy, ResourceMount, RestartPolicy, Spread,
    SpreadKind, Volume, VolumeType,
};
pub use data::DataSpec;
pub use other::{CertkeySpec, CredentialRef, GitopsSpec, HttpauthSpec, NetworkSpec, VolumeSpec};
pub use placement::{FailureAction, Placement, Reschedule, Strategy, UpdateOrder, UpdatePolicy};
