//! The container engine: one trait, [`DockerEngine`] over the engine's HTTP API, [`MemoryEngine`]
//! for tests and simulation.
//!
//! Start reading at [`ContainerEngine`]. This crate decides nothing: it does what it is told, once,
//! within a limit, and sorts what went wrong by what the caller can do about it ([`ErrorClass`]).
//! It guards one rule itself: what this node did not make is neither stopped nor removed
//! ([`Ownership`] is written into labels and read back).

mod docker;
mod engine;
mod error;
mod memory;
mod network;
mod ownership;
mod reference;
mod types;

pub use docker::DockerEngine;
pub use engine::{ContainerEngine, ExecControl, ExecSession};
pub use error::{Conflict, Error, ErrorClass, PullFailure};
pub use memory::{Call, MemoryEngine, Operation, Program};
pub use ownership::{Owner, Ownership, Role};
pub use types::{
    Channel, Chunk, Container, EXEC_OUTPUT_LIMIT, EngineEvent, EngineEventKind, EngineInfo,
    Ensured, ExecOutcome, ExecRequest, Health, Image, LogRequest, Network, NetworkOutcome,
    NetworkRequest, Progress, PullProgress, TerminalSize, Volume, VolumeOutcome, VolumeRequest,
    no_progress,
};
