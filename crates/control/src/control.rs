//! The handle everything else is a method of.

use std::sync::Arc;

use jiff::Timestamp;
use smr_model::{ContainerSpec, ObjectKey, canonical_json};
use smr_pki::{DataKey, Role};
use smr_state::{KeyValue, RangeOutcome, RangeQuery, Revision};
use smr_store::Store;

use crate::{Error, StoredObject, events::Ring, keyspace};

/// Everything an agent works by, as of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Revision of the keyspace this was read at.
    pub revision: Revision,
    /// The objects, in key order.
    pub objects: Vec<StoredObject>,
    /// Objects that exist but cannot be read (damaged, of a newer version, or sealed with another
    /// key): nobody knows what they ask for, so what was made for them has to stay.
    pub unreadable: Vec<ObjectKey>,
}

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Id of the node; its events have a ring of their own.
    pub node_id: u64,
    /// Name of the node, as events carry it.
    pub node_name: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name, as in the certificate.
    pub name: String,
    /// Role.
    pub role: Role,
}

impl Actor {
    /// The node itself, for what it does of its own accord (manifests, GitOps).
    pub fn node(name: impl Into<String>) -> Self {
        Self { name: name.into(), role: Role::Node }
    }
}

/// The object API. Clones share everything.
#[derive(Clone)]
pub struct Control {
    pub(crate) inner: Arc<Inner>,
    /// Whether reads are answered from the local copy at once.
    stale: bool,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) data_key: Arc<DataKey>,
    pub(crate) options: Options,
    pub(crate) ring: Ring,
}

impl Control {
    /// The object API over `store`; confidential values are sealed with `data_key`.
    pub fn new(store: Store, data_key: impl Into<Arc<DataKey>>, options: Options) -> Self {
        let data_key = data_key.into();
        let ring = Ring::new(options.node_id);
        Self { inner: Arc::new(Inner { store, data_key, options, ring }), stale: false }
    }

    /// The same, whose reads, if `stale`, are answered from the local copy at once: it may be behind,
    /// and it is there without quorum too. Writes are not affected.
    #[must_use]
    pub fn reading(&self, stale: bool) -> Self {
        Self { inner: Arc::clone(&self.inner), stale }
    }

    /// Whether reads of this handle are answered from the local copy at once.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The store under it, for watches on keys of [`crate::keyspace`].
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Id of this node.
    pub fn node_id(&self) -> u64 {
        self.inner.options.node_id
    }

    /// Name of this node.
    pub fn node_name(&self) -> &str {
        &self.inner.options.node_name
    }

    /// The revision of the local copy of the keyspace.
    pub fn revision(&self) -> Revision {
        self.inner.store.revision()
    }

    /// Every object with its confidential values open, in key order, and the revision of that.
    ///
    /// For agents: reads the local copy, which may lag behind the cluster, never behind what this
    /// node was told by it. An object that cannot be read is only named and logged, so that one
    /// damaged record does not stop all the others.
    pub async fn objects(&self) -> Result<Loaded, Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::OBJECTS))?;
        let mut loaded =
            Loaded { revision: found.revision, objects: Vec::new(), unreadable: Vec::new() };
        for kv in &found.kvs {
            match self.decode(kv) {
                Ok(object) => loaded.objects.push(object),
                Err(error) => {
                    tracing::error!(
                        object.key = %kv.key,
                        error = &error as &dyn std::error::Error,
                        "object cannot be read and is left alone"
                    );
                    loaded.unreadable.extend(keyspace::parse_object(&kv.key));
                }
            }
        }
        Ok(loaded)
    }

    /// One object with its confidential values open, from the local copy.
    pub async fn object(&self, key: &ObjectKey) -> Result<Option<StoredObject>, Error> {
        let found = self.inner.store.get(&keyspace::object(key))?;
        found.map(|kv| self.decode(&kv)).transpose()
    }

    /// Reads an object from the key a watch reported, confidential values open.
    pub fn decode(&self, kv: &KeyValue) -> Result<StoredObject, Error> {
        StoredObject::decode(kv, &self.inner.data_key)
    }

    /// A keyed digest of what a container is made from: 32 hex digits that are the same for equal
    /// specifications on this node and say nothing about the values in it.
    pub fn fingerprint(&self, spec: &ContainerSpec) -> String {
        let text = canonical_json(spec);
        let mut digest = self.inner.data_key.fingerprint("container-spec", text.as_bytes());
        digest.truncate(32);
        digest
    }

    /// Reads the local copy.
    pub(crate) fn scan(&self, query: RangeQuery) -> Result<RangeOutcome, Error> {
        Ok(self.inner.store.range(&query)?)
    }

    /// Before a read: waits until the local copy has everything that was committed before the
    /// call, unless stale answers are wanted.
    pub(crate) async fn barrier(&self) -> Result<(), Error> {
        if !self.stale {
            self.inner.store.barrier().await.map_err(Error::fresh_read)?;
        }
        Ok(())
    }

    /// Before a decision: waits until the local copy has everything that was committed before the
    /// call.
    pub(crate) async fn settled(&self) -> Result<(), Error> {
        match self.inner.store.barrier().await {
            Ok(_) => Ok(()),
            // Nothing was handed over yet.
            Err(source @ smr_store::Error::Unknown { .. }) => Err(Error::NoQuorum { source }),
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
