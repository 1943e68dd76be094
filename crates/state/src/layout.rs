//! How the keyspace lies in ordered storage.
//!
//! | storage key | value |
//! |---|---|
//! | `a` lease (8 bytes) key | empty: the key is bound to the lease |
//! | `h` revision (8 bytes) position (4 bytes) | event: history for watches and older reads |
//! | `k` key | the key as it is at the current revision |
//! | `l` lease (8 bytes) | the lease |
//! | `m` | revision, compacted revision, next lease identity |
//!
//! Numbers in storage keys are big-endian, so byte order is number order. Current keys lie together,
//! so a read at the current revision never touches history; an older read undoes history.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, Event, KeyRange, KeyValue, Lease, LeaseId, Revision, View};

/// Version of this layout, kept in [`Meta::format`].
pub const STORAGE_FORMAT: u32 = 1;
/// Storage keys of the keyspace start here (included); lower and higher ones are free for the store.
pub const DATA_START: &[u8] = b"a";
/// Storage keys of the keyspace end here (excluded).
pub const DATA_END: &[u8] = b"n";

pub(crate) const META: &[u8] = b"m";

/// The numbers that belong to the keyspace as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// [`STORAGE_FORMAT`] of the build that wrote the storage.
    pub format: u32,
    /// Current revision.
    pub revision: Revision,
    /// Newest revision dropped from history; 0 when none was.
    pub compacted: Revision,
    /// Next lease identity to try when the caller leaves the choice.
    pub next_lease: LeaseId,
}

impl Default for Meta {
    fn default() -> Self {
        Self { format: STORAGE_FORMAT, revision: 1, compacted: 0, next_lease: 1 }
    }
}

/// A current key without its name, which is in the storage key.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    create_revision: Revision,
    mod_revision: Revision,
    version: u64,
    lease: LeaseId,
    #[serde(with = "serde_bytes", borrow)]
    value: &'a [u8],
}

pub(crate) fn current_key(key: &str) -> Vec<u8> {
    [b"k", key.as_bytes()].concat()
}

/// Storage bounds of the current keys of `range`.
pub(crate) fn current_bounds(range: &KeyRange) -> (Vec<u8>, Vec<u8>) {
    let (start, end) = range.bounds();
    let end = end.map_or_else(|| b"l".to_vec(), |end| [b"k", end.as_slice()].concat());
    ([b"k", start.as_slice()].concat(), end)
}

pub(crate) fn history_key(revision: Revision, position: u32) -> Vec<u8> {
    [&b"h"[..], &revision.to_be_bytes(), &position.to_be_bytes()].concat()
}

/// First storage key after all of history.
pub(crate) const HISTORY_END: &[u8] = b"i";

pub(crate) fn history_revision(storage_key: &[u8]) -> Option<Revision> {
    let bytes = storage_key.get(1..9)?;
    Some(Revision::from_be_bytes(bytes.try_into().ok()?))
}

pub(crate) fn lease_key(lease: LeaseId) -> Vec<u8> {
    [&b"l"[..], &lease.to_be_bytes()].concat()
}

/// Storage bounds of all leases.
pub(crate) const LEASES: (&[u8], &[u8]) = (b"l", b"m");

pub(crate) fn attachment_key(lease: LeaseId, key: &str) -> Vec<u8> {
    [&b"a"[..], &lease.to_be_bytes(), key.as_bytes()].concat()
}

/// Storage bounds of the attachments of `lease`.
pub(crate) fn attachment_bounds(lease: LeaseId) -> (Vec<u8>, Vec<u8>) {
    let end = match lease.checked_add(1) {
        Some(next) => attachment_key(next, ""),
        None => b"b".to_vec(),
    };
    (attachment_key(lease, ""), end)
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("encoding into memory fails for no record")
}

pub(crate) fn decode<T: DeserializeOwned, E: std::error::Error>(
    storage_key: &[u8],
    bytes: &[u8],
) -> Result<T, Error<E>> {
    postcard::from_bytes(bytes).map_err(|_| corrupt(storage_key))
}

pub(crate) fn encode_current(kv: &KeyValue) -> Vec<u8> {
    encode(&Record {
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
        value: &kv.value,
    })
}

pub(crate) fn decode_current<E: std::error::Error>(
    storage_key: &[u8],
    bytes: &[u8],
    keys_only: bool,
) -> Result<KeyValue, Error<E>> {
    let record: Record<'_> = postcard::from_bytes(bytes).map_err(|_| corrupt(storage_key))?;
    let name = storage_key.get(1..).unwrap_or_default();
    Ok(KeyValue {
        key: std::str::from_utf8(name).map_err(|_| corrupt(storage_key))?.to_owned(),
        value: if keys_only { Vec::new() } else { record.value.to_vec() },
        create_revision: record.create_revision,
        mod_revision: record.mod_revision,
        version: record.version,
        lease: record.lease,
    })
}

pub(crate) fn decode_event<E: std::error::Error>(
    storage_key: &[u8],
    bytes: &[u8],
) -> Result<Event, Error<E>> {
    decode(storage_key, bytes)
}

pub(crate) fn read_meta<V: View>(view: &V) -> Result<Meta, Error<V::Error>> {
    match view.get(META).map_err(|source| Error::View { source })? {
        Some(bytes) => decode(META, &bytes),
        None => Ok(Meta::default()),
    }
}

pub(crate) fn read_lease<V: View>(view: &V, id: LeaseId) -> Result<Option<Lease>, Error<V::Error>> {
    let key = lease_key(id);
    let bytes = view.get(&key).map_err(|source| Error::View { source })?;
    bytes.map(|bytes| decode(&key, &bytes)).transpose()
}

pub(crate) fn corrupt<E: std::error::Error>(storage_key: &[u8]) -> Error<E> {
    Error::Corrupt { key: storage_key.escape_ascii().to_string() }
}
