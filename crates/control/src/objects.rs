//! Objects: get, list, delete.

use smr_model::{Kind, Meta, ObjectKey, Owner};
use smr_state::RangeQuery;
use smr_wire::{DeleteResponse, Object, ObjectList, ObjectQuery};

use crate::{Actor, Control, Error, Selector, documents::Documents, keyspace, record::Record};

impl Control {
    /// One object. Confidential values are masked unless `reveal`; whether the caller may ask for
    /// that is decided by the front.
    pub async fn get(&self, key: &ObjectKey, reveal: bool) -> Result<Object, Error> {
        self.barrier().await?;
        let path = keyspace::object(key);
        let kv =
            self.inner.store.get(&path)?.ok_or_else(|| Error::NoObject { key: key.clone() })?;
        Record::decode(&kv)?.into_object(key.clone(), &kv, &self.inner.data_key, reveal)
    }

    /// Objects in key order. Confidential values are masked unless `reveal`; whether the caller
    /// may ask for that is decided by the front.
    pub async fn list(&self, query: &ObjectQuery) -> Result<ObjectList, Error> {
        let kind = kind_parameter(query.kind.as_deref())?;
        let selector = Selector::parse(query.selector.as_deref().unwrap_or_default())?;
        self.barrier().await?;
        let group = query.group.as_deref();
        let prefix = keyspace::objects_prefix(query.prefix.as_deref(), kind, group);
        let found = self.scan(RangeQuery::prefix(prefix))?;
        let mut items = Vec::with_capacity(found.kvs.len());
        for kv in &found.kvs {
            let Some(key) = keyspace::parse_object(&kv.key) else { continue };
            if kind.is_some_and(|kind| kind != key.kind)
                || group.is_some_and(|group| group != key.group)
                || query.prefix.as_ref().is_some_and(|prefix| *prefix != key.prefix)
            {
                continue;
            }
            let mut record = Record::decode(kv)?;
            if !selector.is_empty() && !selector.matches(&labels(&record)) {
                continue;
            }
            if query.names {
                record.forget_definition();
            }
            items.push(record.into_object(key, kv, &self.inner.data_key, query.reveal)?);
        }
        Ok(ObjectList { revision: found.revision, stale: self.is_stale(), items })
    }

    /// Deletes one object.
    pub async fn delete(
        &self,
        key: &ObjectKey,
        owner: Option<&Owner>,
        actor: &Actor,
    ) -> Result<DeleteResponse, Error> {
        let done = self.propose_delete(vec![key.clone()], owner, actor).await?;
        if done.deleted.is_empty() {
            return Err(Error::NoObject { key: key.clone() });
        }
        Ok(DeleteResponse { revision: done.revision, deleted: done.deleted, missing: Vec::new() })
    }

    /// Deletes every object of YAML or JSON documents. The documents are read as `apply` would
    /// read them; only who they are about matters.
    pub async fn remove(
        &self,
        body: &str,
        source: &str,
        actor: &Actor,
    ) -> Result<DeleteResponse, Error> {
        let Documents { definitions, .. } = Documents::read(body, source)?;
        let keys = definitions.iter().map(|definition| definition.key()).collect();
        self.delete_all(keys, None, actor).await
    }

    /// Deletes objects; those that do not exist are listed as missing.
    pub async fn delete_all(
        &self,
        keys: Vec<ObjectKey>,
        owner: Option<&Owner>,
        actor: &Actor,
    ) -> Result<DeleteResponse, Error> {
        let done = self.propose_delete(keys, owner, actor).await?;
        Ok(DeleteResponse { revision: done.revision, deleted: done.deleted, missing: done.missing })
    }
}

pub(crate) fn kind_parameter(text: Option<&str>) -> Result<Option<Kind>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Error::Parameter {
        name: "kind",
        value: text.to_owned(),
        allowed: format!("one of {}", Kind::ALL.map(Kind::as_str).join(", ")),
    })
}

fn labels(record: &Record) -> std::collections::BTreeMap<String, String> {
    let meta = record.definition.get("meta").cloned();
    meta.and_then(|meta| serde_json::from_value::<Meta>(meta).ok()).unwrap_or_default().labels
}
