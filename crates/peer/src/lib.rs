//! What nodes say to each other: HTTP/2 over mutual TLS with the nodes' own certificates.
//!
//! [`Peers`] is the calling side: messages of the store ([`smr_store::Transport`]), pings, probes,
//! renewal of certificates, and requests of users that another node answers. [`Listener`] is the
//! answering side, which hands everything to a [`Service`]. Start reading at `peers.rs` and
//! `listener.rs`.
//!
//! Three connections are kept per target, so that none waits for another: for consensus and
//! pings, for snapshots, for users' requests. A target that is down fails at once; it is tried
//! again after a short pause, or as soon as it was heard of.
//!
//! Nothing here decides anything about the cluster: who is a member says [`Service::membership`],
//! who is down says the leader.

mod alert;
mod body;
mod caller;
mod dial;
mod error;
mod lane;
mod listener;
mod message;
mod peers;
mod protocol;
mod service;
mod stats;
mod tls;

pub use body::{Body, BoxError, full};
pub use caller::Caller;
pub use error::{Alert, PeerError, Refusal};
pub use listener::{Api, Limits, ListenError, Listener, ListenerConfig, ServerTls};
pub use message::{EnrolAnswer, EnrolRequest, OnBehalfOf, Ping, Pong, ProbeResult};
pub use peers::{ClientTls, Deadlines, Peers, PeersConfig, Removal};
pub use protocol::PROTOCOL;
pub use service::{Membership, Service, ServiceError};
pub use stats::PeerStats;
pub use tls::tls;
