//! What a node does about the objects in the keyspace: looks at full state, plans, acts on the
//! engine, reports.
//!
//! Start reading at [`Agent`], then `world.rs` (everything the agent knows) and `driver.rs` (the one
//! loop that changes it). Decisions are made by `smr-reconcile`; this crate fetches what they need
//! and carries them out. Every wake-up leads to the same look at full state, so a lost notification
//! costs time and nothing else.

mod actions;
mod agent;
mod debug_log;
mod driver;
mod infrastructure;
mod monitor;
mod probes;
mod reporter;
mod seen;
mod world;

pub use agent::{Agent, EngineStatus, Options};
pub use debug_log::DebugLog;
