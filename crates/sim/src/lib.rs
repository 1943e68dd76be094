//! Whole clusters in one thread, on simulated time: real planners and the real state machine, with simulated
//! consensus, networks, disks, engines, users and bad luck.
//!
//! Start reading at [`run`], then `world.rs` (events), `node.rs` (what a node consists of), `faults.rs` and
//! `user.rs` (what happens to it), `invariants.rs` and `checks.rs` (what must hold). What is real: `smr-state`,
//! `smr-scheduler`, `smr-reconcile`, `smr-membership`, and where things lie in the keyspace. `agent.rs` and
//! `leader.rs` repeat the steps of the product's drivers around those functions. `raft.rs` is an exact model that
//! stands in for openraft.
//!
//! The same seed gives the same story, event for event.

mod agent;
mod bug;
mod check;
mod checks;
mod context;
mod directed;
mod disk;
mod engine;
mod faults;
mod invariants;
// The product's own file, without the store that its crate is made for.
#[path = "../../control/src/keyspace.rs"]
pub mod keyspace;
mod leader;
pub mod linear;
mod log;
mod mirror;
mod network;
mod node;
mod raft;
mod random;
mod replica;
mod story;
mod user;
mod world;

pub use bug::Bug;
pub use check::{Check, Failure};
pub use directed::{power_cut, stale_read};

use world::World;

/// Milliseconds of simulated time.
pub(crate) type Ms = u64;

/// What to simulate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Everything that looks like chance comes from it.
    pub seed: u64,
    /// Steps of users and bad luck before everything is repaired.
    pub steps: u64,
    /// Number of nodes; the seed chooses when absent.
    pub nodes: Option<u64>,
    /// Keep the whole story.
    pub trace: bool,
    /// Nothing goes wrong by itself.
    pub calm: bool,
    /// A deliberate mistake.
    pub bug: Option<Bug>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// Events that happened.
    pub events: u64,
    /// Simulated time in milliseconds.
    pub millis: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Reads and writes that were checked for an order.
    pub operations: usize,
    /// Digest of everything that happened, in order.
    pub digest: u64,
    /// What is wrong, if something is.
    pub failure: Option<Failure>,
    /// The last lines of the story, or all of it.
    pub story: String,
}

/// Simulates one seed.
pub fn run(options: Options) -> Report {
    let mut world = World::new(options);
    while world.steps > 0 && world.advance() {}
    report(world)
}

/// Has everything settle, and says what came of it.
fn report(mut world: World) -> Report {
    if world.judge.failure().is_none() {
        world.settle();
    }
    let story = world.story.text();
    Report {
        seed: world.options.seed,
        steps: world.taken,
        events: world.events,
        millis: world.now,
        acknowledged: world.judge.acknowledged,
        operations: world.users.history.len(),
        digest: random::fnv(world.events ^ world.judge.length(), story.as_bytes()),
        failure: world.judge.failure().cloned(),
        story,
    }
}
