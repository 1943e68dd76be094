//! Objects as they are stored: definition, bookkeeping, and sealed confidential values.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smr_model::{Definition, Kind, MASK, ObjectKey};
use smr_pki::{DataKey, ExposeSecret as _};
use smr_state::KeyValue;
use smr_wire::Object;

use crate::{Error, keyspace};

/// Confidential values outside the confidential kinds: credentials of registries.
const CREDENTIALS: [&str; 2] = ["/spec/registryAuth", "/initContainer/registryAuth"];

/// An object with its bookkeeping, confidential values open.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObject {
    /// What the user applied.
    pub definition: Definition,
    /// Tells objects apart that had the same key one after the other.
    pub uid: String,
    /// Counts changes of the definition, from 1.
    pub generation: u64,
    /// Keyspace revision of the last change.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Id of the node that received the apply; 0 in records of single nodes of old, where it stands
    /// for the first member.
    pub home: u64,
    /// Who changed it last; empty in records of old.
    pub by: String,
}

/// The value of an object's key. What is confidential is taken out of the definition and sealed
/// for the key: a JSON object, pointer to value.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) uid: String,
    pub(crate) generation: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    #[serde(default)]
    pub(crate) home: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) by: String,
    pub(crate) definition: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

impl StoredObject {
    /// The identity of the object.
    pub fn key(&self) -> ObjectKey {
        self.definition.key()
    }

    /// The value to store.
    pub(crate) fn encode(&self, data_key: &DataKey) -> Result<Vec<u8>, Error> {
        let key = keyspace::object(&self.key());
        let mut definition = to_value(&self.definition);
        let mut secrets = Map::new();
        for pointer in confidential(self.definition.kind()) {
            if let Some(value) = take(&mut definition, pointer) {
                secrets.insert((*pointer).to_owned(), value);
            }
        }
        let mut sealed = None;
        if !secrets.is_empty() {
            let text = Value::Object(secrets).to_string();
            let text = data_key.seal(&key, text.as_bytes());
            sealed = Some(text.map_err(|source| Error::Sealed { key, source })?);
        }
        let record = Record {
            uid: self.uid.clone(),
            generation: self.generation,
            created: self.created,
            updated: self.updated,
            home: self.home,
            by: self.by.clone(),
            definition,
            sealed,
        };
        Ok(serde_json::to_vec(&record).expect("a record is plain data with string keys"))
    }

    /// Reads a stored value.
    pub(crate) fn decode(kv: &KeyValue, data_key: &DataKey) -> Result<Self, Error> {
        let mut record = Record::decode(kv)?;
        record.open(kv, data_key)?;
        let definition = serde_json::from_value(record.definition)
            .map_err(|source| Error::Damaged { key: kv.key.clone(), source })?;
        Ok(Self {
            definition,
            uid: record.uid,
            generation: record.generation,
            revision: kv.mod_revision,
            created: record.created,
            updated: record.updated,
            home: record.home,
            by: record.by,
        })
    }
}

impl Record {
    /// Reads a stored value without opening what is sealed.
    pub(crate) fn decode(kv: &KeyValue) -> Result<Self, Error> {
        serde_json::from_slice(&kv.value)
            .map_err(|source| Error::Damaged { key: kv.key.clone(), source })
    }

    /// Leaves only the bookkeeping.
    pub(crate) fn forget_definition(&mut self) {
        self.definition = Value::Null;
        self.sealed = None;
    }

    /// Puts the sealed part back into the definition.
    fn open(&mut self, kv: &KeyValue, data_key: &DataKey) -> Result<(), Error> {
        let Some(sealed) = self.sealed.take() else { return Ok(()) };
        let plain = data_key
            .open(&kv.key, &sealed)
            .map_err(|source| Error::Sealed { key: kv.key.clone(), source })?;
        let secrets: Map<String, Value> = serde_json::from_slice(plain.expose_secret())
            .map_err(|source| Error::Damaged { key: kv.key.clone(), source })?;
        for (pointer, value) in secrets {
            put_back(&mut self.definition, &pointer, value);
        }
        Ok(())
    }

    /// The object as the API shows it; confidential values are masked unless `reveal`.
    pub(crate) fn into_object(
        mut self,
        key: ObjectKey,
        kv: &KeyValue,
        data_key: &DataKey,
        reveal: bool,
    ) -> Result<Object, Error> {
        if self.sealed.is_some() {
            self.open(kv, data_key)?;
            if !reveal {
                mask_all(&mut self.definition, key.kind);
            }
        }
        Ok(Object {
            key,
            definition: self.definition,
            generation: self.generation,
            revision: kv.mod_revision,
            created: self.created,
            updated: self.updated,
        })
    }
}

/// A definition in its canonical form.
pub(crate) fn to_value(definition: &Definition) -> Value {
    serde_json::to_value(definition).expect("a definition is plain data with string keys")
}

/// Where a kind has confidential values, as JSON pointers.
fn confidential(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Containers => &CREDENTIALS,
        kind if kind.is_confidential() => &["/spec"],
        _ => &[],
    }
}

fn take(value: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    value.pointer_mut(parent)?.as_object_mut()?.shift_remove(name)
}

fn put_back(definition: &mut Value, pointer: &str, value: Value) {
    if let Some((parent, name)) = pointer.rsplit_once('/')
        && let Some(Value::Object(map)) = definition.pointer_mut(parent)
    {
        map.insert(name.to_owned(), value);
    }
}

/// Masks what is confidential. Templates stay: they name a secret, they are none.
fn mask_all(definition: &mut Value, kind: Kind) {
    for pointer in confidential(kind) {
        match definition.pointer_mut(pointer) {
            Some(Value::String(text)) if text.contains("((") => {}
            Some(value) => mask(value),
            None => {}
        }
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(mask),
        Value::Array(items) => items.iter_mut().for_each(mask),
        leaf => *leaf = Value::from(MASK),
    }
}

/// Puts the stored values back where a definition carries the mask instead, as happens when what
/// was shown is edited and applied again. Returns the first path that has no stored value.
pub(crate) fn unmask(new: &mut Value, old: Option<&Value>, kind: Kind) -> Option<String> {
    confidential(kind).iter().find_map(|pointer| {
        let old = old.and_then(|old| old.pointer(pointer));
        unmask_at(new.pointer_mut(pointer)?, old, &pointer[1..].replace('/', "."))
    })
}

fn unmask_at(new: &mut Value, old: Option<&Value>, path: &str) -> Option<String> {
    match new {
        Value::String(text) if text == MASK => match old {
            Some(old) if old.is_string() => {
                *new = old.clone();
                None
            }
            _ => Some(path.to_owned()),
        },
        Value::Object(map) => map.iter_mut().find_map(|(name, value)| {
            unmask_at(value, old.and_then(|old| old.get(name)), &format!("{path}.{name}"))
        }),
        _ => None,
    }
}
