//! Which node runs which replica: a pure function of nodes, definitions and where things are now.
//!
//! Start reading at [`schedule`]: it takes a [`Cluster`] and says for every replica where it goes,
//! or why it cannot go anywhere. [`explain`] shows each node with each filter that refused it. Both
//! are built on [`Scheduler`], which keeps what it counted, so that one change among 100,000
//! replicas costs little.
//!
//! The rules, in short:
//!
//! * A replica that has a node stays there. It leaves when its node is lost or drained, when its
//!   definition changed and the node no longer fits, or when its policy lets it ([`Scheduler`]).
//! * Neither `spread` nor `placement`: the home node, where the object was applied. `spread`:
//!   contiguous chunks ([`chunks`]). `placement`: filters, then a strategy.
//! * Among nodes that fit, the fewest broken preferences win, then the evenest spread over
//!   `spreadOver`, then the strategy, then the lowest id.
//! * Reservations count, limits do not. Replicas under their old definition count with the old
//!   reservations.
//!
//! Nothing here reads a clock or draws a random number, and the order of the input does not matter.

mod chunks;
mod decision;
mod explanation;
mod matcher;
mod node;
mod reason;
mod rules;
mod scheduler;
mod workload;

pub use chunks::{chunk_of, chunks};
pub use decision::{Change, Decision, Move, Placement};
pub use explanation::{Explanation, NodeVerdict, Refused};
pub use node::Node;
pub use rules::{HostPort, Request};
pub use scheduler::Scheduler;
pub use workload::{Replica, Workload};

use jiff::Timestamp;
use smr_model::ReplicaKey;

/// Code of the reason of a replica that fits on no node.
pub const UNSCHEDULABLE: &str = "Unschedulable";

/// Code of the reason of a replica that waits for its own node.
pub const NODE_UNAVAILABLE: &str = "NodeUnavailable";

/// Everything placement depends on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The time, for grace periods.
    pub now: Timestamp,
    /// All members.
    pub nodes: Vec<Node>,
    /// All `containers` objects.
    pub workloads: Vec<Workload>,
}

/// Where every replica goes. Replicas that are not in the result are not wanted any more.
pub fn schedule(cluster: &Cluster) -> Placement {
    let mut scheduler = Scheduler::from_cluster(cluster);
    let changes = scheduler.settle(cluster.now);
    let decisions =
        changes.into_iter().filter_map(|change| Some((change.key, change.decision?))).collect();
    Placement { decisions, recheck: scheduler.recheck() }
}

/// Why a replica is, or would be, where it is: every node with every filter that refuses it. `None`
/// for a replica nobody asked for.
pub fn explain(cluster: &Cluster, key: &ReplicaKey) -> Option<Explanation> {
    let mut scheduler = Scheduler::from_cluster(cluster);
    scheduler.settle(cluster.now);
    scheduler.explain(key)
}
