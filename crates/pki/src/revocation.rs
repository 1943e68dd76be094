//! Certificates that no longer count although they have not expired.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// The serial numbers of revoked certificates. Clones share one list, so that what is revoked
/// through one of them is refused by every TLS configuration that was given another, from the next
/// handshake on. Connections that are open are not ended by this: ask
/// [`RevocationList::is_revoked`] with [`crate::Identity::serial`] for each request.
#[derive(Clone, Default)]
pub struct RevocationList {
    serials: Arc<RwLock<Arc<BTreeSet<String>>>>,
}

impl RevocationList {
    /// A list on which there is nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exchanges the whole list. Serial numbers are hex, as in [`crate::Identity::serial`].
    pub fn replace(&self, serials: impl IntoIterator<Item = String>) {
        let serials = serials.into_iter().map(|serial| serial.to_ascii_lowercase()).collect();
        *self.serials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(serials);
    }

    /// Adds one serial number.
    pub fn revoke(&self, serial: &str) {
        let mut serials = self.serials.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut serials).insert(serial.to_ascii_lowercase());
    }

    /// Whether the certificate with this serial number (lower-case hex) is revoked.
    pub fn is_revoked(&self, serial: &str) -> bool {
        self.current().contains(serial)
    }

    /// How many certificates are revoked.
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn current(&self) -> Arc<BTreeSet<String>> {
        self.serials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({} serials)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_list_and_replacing_forgets_the_old_one() {
        let list = RevocationList::new();
        let other = list.clone();
        other.revoke("0A");
        assert!(list.is_revoked("0a") && !list.is_revoked("0b"));
        list.replace(["0B".to_owned()]);
        assert!(other.is_revoked("0b") && !other.is_revoked("0a"));
        assert_eq!((other.len(), other.is_empty()), (1, false));
    }
}
