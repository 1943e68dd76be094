//! What the keyspace holds and reports: keys with their values, events and leases.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Global, gapless number of a change of the keyspace. An empty keyspace is at revision 1.
pub type Revision = u64;

/// Identity of a lease; 0 stands for "no lease".
pub type LeaseId = u64;

/// One key with its value at some revision.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct KeyValue {
    /// The key, a UTF-8 path such as `/smr/object/...`.
    pub key: String,
    /// The value, opaque to the keyspace.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
    /// Revision at which the key came into being (last creation after a delete).
    pub create_revision: Revision,
    /// Revision of the last change of the key.
    pub mod_revision: Revision,
    /// Number of writes since creation; 1 on creation, 0 in delete events.
    pub version: u64,
    /// Lease the key is bound to, 0 when none.
    pub lease: LeaseId,
}

/// Values may be secrets or sealed secrets, so only their length is shown.
impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("key", &self.key)
            .field("value_bytes", &self.value.len())
            .field("create_revision", &self.create_revision)
            .field("mod_revision", &self.mod_revision)
            .field("version", &self.version)
            .field("lease", &self.lease)
            .finish()
    }
}

/// Whether a key was written or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// The key was created or its value replaced.
    Put,
    /// The key was removed, by a delete or by the end of its lease.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after the change. In a delete only `key` and `mod_revision` are set.
    pub kv: KeyValue,
    /// The key before the change, absent when it did not exist.
    pub prev: Option<KeyValue>,
}

/// A lease: keys bound to it vanish when it is revoked or expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Identity, never 0.
    pub id: LeaseId,
    /// Life in seconds from the grant or the latest renewal.
    pub ttl_seconds: u64,
    /// How often it was renewed. An expiry names the count it saw, so a renewal that came first wins.
    pub renewals: u64,
}
