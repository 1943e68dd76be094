//! What the node that leads does for the cluster: who is down, who votes, where replicas go, how
//! changes reach them, and cleaning up.
//!
//! Start reading at [`Leader`], then `term.rs` (what runs while this node leads) and `placement.rs` (the
//! controller with the most to do). Decisions are made by `smr-membership`, `smr-scheduler` and
//! `smr-reconcile`; this crate feeds them and writes what they say.
//!
//! Not here: how nodes reach each other ([`PeerProbe`] is filled in by the node), elections (`smr-store`),
//! containers (`smr-agent`).
//!
//! Invariants: nothing runs unless this node leads and has applied everything earlier leaders wrote; every
//! write is compared with what it was decided on and ends with the term; everything is decided from full
//! state, so a new leader goes on where the old one stopped.

mod cleaning;
mod health;
mod leader;
mod members;
mod nodes;
mod placement;
mod probe;
mod settings;
mod term;

pub use leader::{Leader, Options};
pub use probe::{PeerProbe, ProbeError};
pub use settings::Settings;
