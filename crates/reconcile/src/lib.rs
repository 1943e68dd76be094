//! Decides what a node does next: pure functions of wanted, seen and now.
//!
//! Start reading at [`plan`]: it compares one replica's wanted and observed state and returns the
//! next status and the next action. [`render`] turns a definition into what a container is created
//! from, [`dependencies`] says whether a replica may start, [`handover`] which of the nodes
//! that know a replica runs it, [`rollout()`] how a change reaches the replicas. There is no clock, no engine, no store and no
//! randomness here: time is an argument, and planning twice without a change in the world gives no
//! second action.

mod backoff;
mod dependencies;
mod handover;
mod plan;
mod render;
mod rollout;
mod seen;
mod spread;
mod variables;

pub use backoff::{crash_delay, retry_delay};
pub use dependencies::{DependencyState, Peers, dependencies};
pub use handover::{
    Duty, OtherNode, Sighting, handover, handover_order, has_container, replacement_order,
};
pub use plan::{
    Action, ActionKind, Memory, Outcome, PREVIOUS, Plan, Problem, ProblemKind, Replica, Role,
    Target, Wanted, is_previous, plan, settle,
};
pub use render::{NodeFacts, Objects, Probe, ProbeCheck, Rendered, render};
pub use rollout::{
    RolloutInput, RolloutReplica, RolloutSeen, RolloutStep, generation_of_new, rollout,
};
pub use seen::Seen;
pub use spread::local_indexes;
