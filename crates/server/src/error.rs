//! Why a server could not be started.

use std::{io, net::SocketAddr};

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else listens there.
    #[error(
        "address `{address}` is in use{}",
        holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The process that listens there, if it can be seen.
        holder: Option<String>,
        /// What the system said.
        source: io::Error,
    },
    /// The port is for privileged processes.
    #[error("not allowed to listen on `{address}`")]
    NotAllowed {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// This machine does not have the address, or the system refused otherwise.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing to listen on.
    #[error("no address to listen on")]
    NoAddress,
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "stop that process, or choose another port in `smr.toml`",
            Self::NotAllowed { .. } => {
                "choose a port above 1023, or give the process the capability CAP_NET_BIND_SERVICE"
            }
            Self::Listen { .. } => "choose an address this machine has, or `[::]` and `0.0.0.0`",
            Self::NoAddress => "name at least one address in `smr.toml`",
        }
    }
}
