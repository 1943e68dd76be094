//! What is said besides the messages of the store. JSON, so that a newer node may say more.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smr_pki::Role;

/// The leader's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Id of the leader.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// The cluster's time: the leader's clock.
    pub time: Timestamp,
}

/// How a node answers a ping.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pong {
    /// How often its data directory was opened.
    pub epoch: u64,
    /// Revision its copy of the keyspace is at.
    pub applied: u64,
    /// Whether its container engine answers.
    pub engine_ready: bool,
    /// Version of the program.
    pub version: String,
}

/// Whether one node can reach another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    /// Whether it answered.
    pub reachable: bool,
    /// Why not.
    #[serde(default)]
    pub message: String,
    /// Microseconds the answer took.
    #[serde(default)]
    pub micros: u64,
}

/// A node asks for a new certificate for the key that it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrolRequest {
    /// The signing request, PEM. It proves that the node has the key.
    pub request: String,
}

/// The new certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrolAnswer {
    /// Certificate, PEM.
    pub certificate: String,
    /// All authorities that are trusted, PEM.
    pub authorities: String,
}

/// The user for whom a node passes a request on. The node that has seen the user's certificate
/// vouches for this. The API finds it among the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnBehalfOf {
    /// Name of the user.
    pub user: String,
    /// What the user may do.
    pub role: Role,
}
