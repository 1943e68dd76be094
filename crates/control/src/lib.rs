//! The object API over the keyspace: one place that validates, seals, proposes, lists and streams,
//! whatever the front in front of it.
//!
//! Start reading at [`Control`]. What users change goes through one proposer (`propose.rs`): it
//! compares with what is stored, checks the owner, seals confidential values and writes objects
//! and their events in one transaction guarded by the revisions it looked at. Agents read
//! [`StoredObject`]s and hand in [`Report`]s.
//!
//! What several nodes share is in here too: every generation of a `containers` object
//! (`history.rs`), the leader's decisions ([`AssignmentBatch`], written under its term only), rollouts
//! as people steer them, placement explained and planned ([`ClusterView`]). Whoever shows replicas uses
//! [`ReplicaView`], one per replica, whatever nodes it is on its way between.
//! [`Control::reading`] makes a handle whose reads are answered from the local copy at once.
//!
//! The cluster is described here too: members, join tokens, certificates, authorities, settings. Each
//! change to it is one transaction that compares what was decided on and writes an event; whoever
//! passes the time in decides what has expired.
//!
//! Not here: HTTP and roles (`smr-server`), what containers become (`smr-agent`), storage
//! (`smr-store`).
//!
//! Invariants: a request with a mistake in any document changes nothing; what is the same already
//! is not written; a confidential value reaches the store only sealed, and leaves only masked
//! unless it is asked for by name (`reveal`); a network or volume goes only together with the
//! containers that use it.

mod apply;
mod authorities;
mod certificates;
mod cluster;
mod control;
mod diff;
mod documents;
mod error;
mod events;
mod explain;
mod history;
pub mod keyspace;
mod members;
mod nodes;
mod objects;
mod placement;
mod propose;
mod record;
mod refound;
mod replicas;
mod report;
mod rollouts;
mod selector;
mod settings;
mod stream;
mod templates;
mod tokens;
mod users;
mod watch;

pub use control::{Actor, Control, Loaded, Options};
pub use error::{ClusterError, Error, TokenProblem};
pub use explain::ClusterView;
pub use history::GENERATIONS;
pub use members::{MemberFacts, Registration, RegistrationRefused, RemovedMember};
pub use placement::{AssignmentBatch, Assignments, Written, decode_assignment};
pub use record::StoredObject;
pub use replicas::ReplicaView;
pub use report::Report;
pub use rollouts::{GroupName, Rollouts, decode_rollout};
pub use selector::Selector;
