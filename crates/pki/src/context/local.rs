//! The context that lets the command line work at once on the machine of a node.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Authority, Context, ContextError, ContextStore, Role, Subject};

/// What the local admin context is made of.
#[derive(Debug, Clone, Copy)]
pub struct LocalAdmin<'a> {
    /// Name of the context.
    pub context: &'a str,
    /// Name in the certificate.
    pub user: &'a str,
    /// Port of the API on localhost.
    pub port: u16,
    /// Life of the certificate.
    pub lifetime: Duration,
}

/// Issues an admin certificate and returns a context for `https://localhost:<port>`.
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
    Context::new(admin.context, &format!("localhost:{}", admin.port), credentials.bundle())
}

/// Makes sure `store` has a usable local admin context: keeps one that is from `authority`, for
/// this port and not due for renewal, else writes a new one. It becomes the active context if
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
    context.api_url() == format!("https://localhost:{}", admin.port)
        && identity.name == admin.user
        && identity.role == Role::Admin
        && credentials.is_from(authority, now)
        && now < credentials.renew_at()
}
