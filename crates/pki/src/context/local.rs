//! The context that lets the command line work at once on the machine of a node.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;

use super::normal_url;
use crate::{Authority, Context, ContextError, ContextStore, Role, Subject};

/// What the local admin context is made of.
#[derive(Debug, Clone, Copy)]
pub struct LocalAdmin<'a> {
    /// Name of the context.
    pub context: &'a str,
    /// Name in the certificate.
    pub user: &'a str,
    /// Where the API answers on this machine, see [`local_api`].
    pub api: &'a str,
    /// Life of the certificate.
    pub lifetime: Duration,
}

/// How a client on this machine reaches an API that listens on `bound`: `localhost:PORT` if one of
/// the addresses is localhost or all addresses, else the first address, which then must be in
/// the node's certificate. `None` if there is no address.
pub fn local_api(bound: &[SocketAddr]) -> Option<String> {
    let is_local =
        |ip: IpAddr| ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
    match bound.iter().find(|address| is_local(address.ip())) {
        Some(address) => Some(format!("localhost:{}", address.port())),
        None => bound.first().map(SocketAddr::to_string),
    }
}

/// Issues an admin certificate and returns a context for `admin.api`.
///
/// # Errors
/// Names that are not allowed; failures of the cryptographic library.
pub fn generate_local_admin(
    authority: &Authority,
    admin: LocalAdmin<'_>,
    now: Timestamp,
) -> Result<Context, ContextError> {
    let subject = Subject::user(admin.user, Role::Admin)?;
    let credentials = authority.issue(&subject, admin.lifetime, now)?;
    Context::new(admin.context, admin.api, credentials.bundle())
}

/// Makes sure `store` has a usable local admin context: keeps one that is from `authority`, for
/// this address and not due for renewal, else writes a new one. It becomes the active context if
/// there is no other. Returns whether it was written.
///
/// # Errors
/// Files that cannot be read or written.
pub fn ensure_local_admin(
    store: &ContextStore,
    authority: &Authority,
    admin: LocalAdmin<'_>,
    now: Timestamp,
) -> Result<bool, ContextError> {
    let usable = match store.get(admin.context) {
        Ok(context) => is_usable(&context, authority, admin, now),
        Err(ContextError::NotFound { .. } | ContextError::NotAContext { .. }) => false,
        Err(ContextError::BadUrl { .. }) => false,
        Err(err) => return Err(err),
    };
    if !usable {
        store.save(&generate_local_admin(authority, admin, now)?)?;
    }
    if store.current_name()?.is_none() {
        store.switch(admin.context)?;
    }
    Ok(!usable)
}

fn is_usable(
    context: &Context,
    authority: &Authority,
    admin: LocalAdmin<'_>,
    now: Timestamp,
) -> bool {
    let Ok(credentials) = context.credentials() else { return false };
    let identity = credentials.identity();
    normal_url(admin.api).is_ok_and(|url| context.api_url() == url)
        && identity.name == admin.user
        && identity.role == Role::Admin
        && credentials.is_from(authority, now)
        && !credentials.is_due(authority, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_preferred() {
        let api = |bound: &[&str]| {
            local_api(&bound.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>())
        };
        assert_eq!(api(&["[::]:9"]).unwrap(), "localhost:9");
        assert_eq!(api(&["192.0.2.1:8", "127.0.0.1:9"]).unwrap(), "localhost:9");
        assert_eq!(api(&["192.0.2.1:8"]).unwrap(), "192.0.2.1:8");
        assert_eq!(api(&[]), None);
    }
}
