//! Settings of the server.

use std::{net::SocketAddr, time::Duration};

use smr_pki::RevocationList;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of the server; [`ServerConfig::new`] has sane ones.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Addresses to listen on. IPv6 addresses take no IPv4 connections, so `[::]` and `0.0.0.0`
    /// go together on one port.
    pub listen: Vec<SocketAddr>,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// Longest time from request to the beginning of its answer; streams may last longer.
    pub request_timeout: Duration,
    /// Longest time for a TLS handshake, and for the headers of a request.
    pub handshake_timeout: Duration,
    /// How long requests may go on after [`crate::Server::shutdown`].
    pub drain_timeout: Duration,
    /// Most connections at a time; further ones wait.
    pub connections: usize,
    /// Most unfinished handshakes at a time; further ones wait.
    pub handshakes: usize,
    /// Most of these from one address, or one /64 network of IPv6 addresses; of further ones some
    /// wait, and the rest is closed.
    pub handshakes_per_address: usize,
    /// Certificates that are refused before their end, on open connections too.
    pub revoked: RevocationList,
    /// Life of the certificates of nodes that join or ask for a new one.
    pub node_lifetime: Duration,
    /// How long certificates of users are valid, unless they ask for another time.
    pub user_lifetime: Duration,
    /// Life of the authority a rotation begins with.
    pub authority_lifetime: Duration,
}

impl ServerConfig {
    /// Defaults, on these addresses.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            body_limit: 16 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            connections: 4096,
            handshakes: 256,
            handshakes_per_address: 32,
            revoked: RevocationList::new(),
            node_lifetime: 90 * DAY,
            user_lifetime: 365 * DAY,
            authority_lifetime: 3650 * DAY,
        }
    }
}
