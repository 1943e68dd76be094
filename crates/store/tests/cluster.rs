//! Several members in one process, with faults of the network between them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cluster/barrier.rs"]
mod barrier;
#[path = "cluster/election.rs"]
mod election;
#[path = "cluster/forwarding.rs"]
mod forwarding;
#[path = "cluster/loss.rs"]
mod loss;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/recovery.rs"]
mod recovery;
#[path = "cluster/reverted.rs"]
mod reverted;
#[path = "cluster/support.rs"]
mod support;
#[path = "cluster/transfer.rs"]
mod transfer;
