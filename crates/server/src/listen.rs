//! Sockets to listen on.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::{Error, holder::holder};

/// Connections the kernel keeps ready to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on every address. On a machine without IPv6, `[::]` is left out if there is another
/// address.
pub(crate) fn listen_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut left_out = None;
    for address in addresses {
        match listen(*address) {
            Ok(listener) => listeners.push(listener),
            Err(source) if address.ip() == Ipv6Addr::UNSPECIFIED && is_no_ipv6(&source) => {
                tracing::info!(%address, "this machine has no IPv6, listening without it");
                left_out = Some(failure(*address, source));
            }
            Err(source) => return Err(failure(*address, source)),
        }
    }
    if listeners.is_empty() {
        return Err(left_out.unwrap_or(Error::NoAddress));
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own; whether one includes the other is no matter of sysctl.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn failure(address: SocketAddr, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            Error::InUse { address, holder: holder(address.port()), source }
        }
        io::ErrorKind::PermissionDenied => Error::NotAllowed { address, source },
        _ => Error::Listen { address, source },
    }
}
