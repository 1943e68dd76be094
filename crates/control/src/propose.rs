//! From what is wanted to transactions: compare with what is stored, check owners, write.

use std::collections::BTreeMap;

use smr_model::{Definition, Event, Kind, ObjectKey, Owner};
use smr_state::{CmpOp, Compare, KeyRange, MAX_TXN_BYTES, Op, RangeQuery, Revision, Txn};
use smr_wire::{ApplyAction, ApplyResult};

use crate::{
    Actor, Control, Error, StoredObject,
    control::now,
    diff, keyspace,
    record::{to_value, unmask},
};

/// How often a request is tried again when others change the same objects meanwhile.
const ATTEMPTS: usize = 16;
/// Operations of one transaction; larger requests take several.
const OPS: usize = 1000;
/// Bytes of one transaction; room is left for its events.
const BYTES: usize = MAX_TXN_BYTES - 256 * 1024;

/// Where replicas without placement go from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// To this node, which received the apply.
    Here,
    /// To where they went before; to this node when they are new.
    Kept,
}

/// What a request asks for beside definitions.
struct Request<'a> {
    owner: Option<&'a Owner>,
    home: Home,
    actor: &'a Actor,
    names: BTreeMap<(Kind, String), ObjectKey>,
}

/// One object's part of a transaction.
struct Step {
    /// Place in the request.
    index: usize,
    /// Key of the object in the keyspace.
    key: String,
    /// Revision the decision was made on; 0 when there was no object.
    seen: Revision,
    /// What else must be as it was seen.
    compares: Vec<Compare>,
    ops: Vec<Op>,
    bytes: usize,
    event: Event,
}

/// How far [`Control::commit`] came.
struct Committed {
    /// Number of steps that were written.
    steps: usize,
    /// Revision of the last transaction, if one was written.
    revision: Option<Revision>,
    /// Key of the first object of a transaction that found something else than was seen.
    conflict: Option<String>,
}

/// What a delete found.
pub(crate) struct Deleted {
    pub(crate) revision: Revision,
    pub(crate) deleted: Vec<ObjectKey>,
    pub(crate) missing: Vec<ObjectKey>,
}

impl Control {
    /// Makes the definitions, which are valid and about different objects, what is stored.
    pub(crate) async fn propose(
        &self,
        definitions: Vec<Definition>,
        owner: Option<&Owner>,
        dry_run: bool,
        home: Home,
        actor: &Actor,
    ) -> Result<(Revision, Vec<ApplyResult>), Error> {
        let mut definitions = definitions;
        for definition in &mut definitions {
            definition.meta.owner = owner.cloned();
        }
        let mut results: Vec<Option<ApplyResult>> = vec![None; definitions.len()];
        let mut written = None;
        let mut contended = None;
        for _ in 0..ATTEMPTS {
            if dry_run {
                self.barrier().await?
            } else {
                self.settled().await?
            }
            let names = self.engine_names(&definitions)?;
            let request = Request { owner, home, actor, names };
            let mut planned = Vec::new();
            let mut steps = Vec::new();
            for (index, definition) in definitions.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                let (result, step) = self.plan_one(index, definition, &request)?;
                planned.push((index, result));
                steps.extend(step);
            }
            if dry_run {
                steps.clear();
            }
            let order: Vec<usize> = steps.iter().map(|step| step.index).collect();
            let committed = self.commit(steps, None).await?;
            written = committed.revision.or(written);
            let open = &order[committed.steps..];
            for (index, result) in planned {
                if !open.contains(&index) {
                    results[index] = Some(result);
                }
            }
            contended = committed.conflict;
            if contended.is_none() {
                let results = results.into_iter().flatten().collect();
                return Ok((written.unwrap_or_else(|| self.revision()), results));
            }
        }
        Err(Error::Contended { key: contended.unwrap_or_default() })
    }

    /// Deletes the objects; those that do not exist are reported, not refused. Networks and
    /// volumes go only together with all that use them.
    pub(crate) async fn propose_delete(
        &self,
        keys: Vec<ObjectKey>,
        owner: Option<&Owner>,
        actor: &Actor,
    ) -> Result<Deleted, Error> {
        let mut result = Deleted { revision: 0, deleted: Vec::new(), missing: Vec::new() };
        let mut contended = None;
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let mut steps = Vec::new();
            for key in &keys {
                let path = keyspace::object(key);
                let Some(kv) = self.inner.store.get(&path)? else { continue };
                // What cannot be read can still be deleted.
                if let Ok(stored) = self.decode(&kv) {
                    check_owner(key, stored.definition.meta.owner.as_ref(), owner)?;
                }
                steps.push(self.plan_delete(key, path, kv.mod_revision, actor)?);
            }
            let found: Vec<ObjectKey> = steps.iter().map(|s| s.event.object.clone()).collect();
            let unused = self.check_unused(&found)?;
            let committed = self.commit(steps, unused.as_ref()).await?;
            result.revision = committed.revision.unwrap_or(result.revision);
            result.deleted.extend_from_slice(&found[..committed.steps]);
            contended = committed.conflict;
            if contended.is_none() {
                let missing = |key: &ObjectKey| !result.deleted.contains(key);
                result.missing = keys.into_iter().filter(missing).collect();
                result.revision = result.revision.max(self.revision());
                return Ok(result);
            }
        }
        Err(Error::Contended { key: contended.unwrap_or_default() })
    }

    fn plan_delete(
        &self,
        key: &ObjectKey,
        path: String,
        seen: Revision,
        actor: &Actor,
    ) -> Result<Step, Error> {
        let mut ops = vec![Op::delete(path.clone())];
        if key.kind == Kind::Containers {
            let tokens = keyspace::restarts_of(&key.group, &key.name);
            ops.push(Op::delete_range(KeyRange::prefix(tokens)));
            ops.push(Op::delete_range(KeyRange::prefix(keyspace::history_of(key))));
            ops.push(Op::delete(keyspace::rollout(&key.group, &key.name)));
        }
        if let Some((kind, name)) = engine_name(key) {
            let reserved = keyspace::engine_name(kind, &name);
            let kv = self.inner.store.get(&reserved)?;
            if kv.is_some_and(|kv| kv.value == path.as_bytes()) {
                ops.push(Op::delete(reserved));
            }
        }
        let event = self.event("deleted", key.clone(), "deleted", actor);
        let bytes = path.len() * 2 * ops.len();
        Ok(Step { index: 0, bytes, key: path, seen, compares: Vec::new(), ops, event })
    }

    /// What to do about one definition.
    fn plan_one(
        &self,
        index: usize,
        wanted: &Definition,
        request: &Request<'_>,
    ) -> Result<(ApplyResult, Option<Step>), Error> {
        let Request { owner, home, actor, names } = request;
        let key = wanted.key();
        let path = keyspace::object(&key);
        let kv = self.inner.store.get(&path)?;
        let stored = kv.as_ref().map(|kv| self.decode(kv)).transpose()?;
        if let Some(stored) = &stored {
            check_owner(&key, stored.definition.meta.owner.as_ref(), *owner)?;
        }
        let mut wanted = wanted.clone();
        if key.kind.is_confidential() || wanted.is_masked() {
            let mut value = to_value(&wanted);
            let old = stored.as_ref().map(|stored| to_value(&stored.definition));
            if let Some(path) = unmask(&mut value, old.as_ref(), key.kind) {
                let hint = "give the value itself; there is no stored one it could stand for";
                return Err(Error::invalid(&key, path, "`******` is the mask, not a value", hint));
            }
            wanted = serde_json::from_value(value)
                .map_err(|source| Error::Damaged { key: path.clone(), source })?;
        }
        let generation = stored.as_ref().map_or(1, |stored| stored.generation + 1);
        let mut result = ApplyResult {
            key: key.clone(),
            action: ApplyAction::Created,
            generation,
            changes: Vec::new(),
        };
        if let Some(stored) = &stored {
            if stored.definition == wanted {
                result.action = ApplyAction::Unchanged;
                result.generation = stored.generation;
                return Ok((result, None));
            }
            result.action = ApplyAction::Updated;
            result.changes = diff::changes(&stored.definition, &wanted);
        } else if let Some(other) = engine_name(&key).and_then(|name| names.get(&name))
            && *other != key
        {
            return Err(Error::NameTaken { key: Box::new(key), other: Box::new(other.clone()) });
        }
        let now = now();
        let uid = || {
            let seed = format!("{path} {}", now.as_nanosecond());
            let mut uid = self.inner.data_key.fingerprint("uid", seed.as_bytes());
            uid.truncate(32);
            uid
        };
        let object = StoredObject {
            definition: wanted,
            uid: stored.as_ref().map_or_else(uid, |stored| stored.uid.clone()),
            generation,
            revision: 0,
            created: stored.as_ref().map_or(now, |stored| stored.created),
            updated: now,
            home: match (home, &stored) {
                (Home::Kept, Some(stored)) => stored.home,
                _ => self.node_id(),
            },
            by: actor.name.clone(),
        };
        let value = object.encode(&self.inner.data_key)?;
        let event = match result.action {
            ApplyAction::Created => self.event("applied", key.clone(), "applied", actor),
            _ => self.event("changed", key.clone(), "changed", actor),
        };
        let mut ops = self.history_ops(&key, generation, &value, kv.as_ref())?;
        let compares: Vec<Compare> = self.reservation(&key, &path, &mut ops)?.into_iter().collect();
        ops.push(Op::put(path.clone(), value));
        let bytes = path.len() + ops.iter().map(op_bytes).sum::<usize>();
        if bytes > BYTES {
            return Err(Error::TooLarge { key: key.to_string(), bytes, limit: BYTES });
        }
        let seen = kv.map_or(0, |kv| kv.mod_revision);
        Ok((result, Some(Step { index, key: path, seen, compares, ops, bytes, event })))
    }

    /// Keeps others from giving what they make the name that the object has on the engine, from the
    /// same transaction on.
    fn reservation(
        &self,
        key: &ObjectKey,
        path: &str,
        ops: &mut Vec<Op>,
    ) -> Result<Option<Compare>, Error> {
        let Some((kind, name)) = engine_name(key) else { return Ok(None) };
        let reserved = keyspace::engine_name(kind, &name);
        let kv = self.inner.store.get(&reserved)?;
        if let Some(kv) = &kv {
            let holder = std::str::from_utf8(&kv.value).ok().and_then(keyspace::parse_object);
            match holder {
                Some(other) if other == *key => return Ok(None),
                // Restored by hand, or the like: a name counts only as long as its object is there.
                Some(other) if self.inner.store.get(&keyspace::object(&other))?.is_some() => {
                    let key = Box::new(key.clone());
                    return Err(Error::NameTaken { key, other: Box::new(other) });
                }
                _ => {}
            }
        }
        let seen = kv.map_or(0, |kv| kv.mod_revision);
        let compare = Compare::mod_revision(reserved.clone(), CmpOp::Equal, seen);
        ops.push(Op::put(reserved, path));
        Ok(Some(compare))
    }

    /// Writes steps in as few transactions as fit, in order, until one finds something else than
    /// was seen, or `condition` does not hold any more.
    async fn commit(
        &self,
        steps: Vec<Step>,
        condition: Option<&Compare>,
    ) -> Result<Committed, Error> {
        let mut committed = Committed { steps: 0, revision: None, conflict: None };
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            let (mut txn, mut events) = (Txn::new(), Vec::new());
            let (mut ops, mut bytes, mut first) = (0, 0, None);
            while let Some(step) = steps.next_if(|step| {
                ops == 0 || (ops + step.ops.len() <= OPS && bytes + step.bytes <= BYTES)
            }) {
                ops += step.ops.len();
                bytes += step.bytes;
                first.get_or_insert_with(|| step.event.object.to_string());
                txn = txn.when(Compare::mod_revision(step.key, CmpOp::Equal, step.seen));
                txn.compares.extend(step.compares);
                txn.then.extend(step.ops);
                events.push(step.event);
            }
            txn.compares.extend(condition.cloned());
            let txn = txn.then(self.event_op(&events).await?);
            let outcome = self.inner.store.txn(txn).await?;
            if !outcome.succeeded {
                committed.conflict = first;
                break;
            }
            committed.steps += events.len();
            committed.revision = Some(outcome.revision);
        }
        Ok(committed)
    }

    /// Which object has which name on the engine, of stored objects and of those in the request.
    fn engine_names(
        &self,
        definitions: &[Definition],
    ) -> Result<BTreeMap<(Kind, String), ObjectKey>, Error> {
        let mut names = BTreeMap::new();
        let wanted: Vec<ObjectKey> = definitions.iter().map(Definition::key).collect();
        let fresh = wanted
            .iter()
            .filter(|key| engine_name(key).is_some())
            .any(|key| !matches!(self.inner.store.get(&keyspace::object(key)), Ok(Some(_))));
        if !fresh {
            return Ok(names);
        }
        let found = self.scan(RangeQuery::prefix(keyspace::OBJECTS).keys_only())?;
        let stored = found.kvs.iter().filter_map(|kv| keyspace::parse_object(&kv.key));
        for key in stored.chain(wanted) {
            if let Some(name) = engine_name(&key) {
                names.entry(name).or_insert(key);
            }
        }
        Ok(names)
    }
}

/// The name that what is made of the object has on the engine, where there must be only one of it.
fn engine_name(key: &ObjectKey) -> Option<(Kind, String)> {
    let name = match key.kind {
        Kind::Containers | Kind::Volume => format!("{}-{}", key.group, key.name),
        Kind::Network => key.name.clone(),
        _ => return None,
    };
    Some((key.kind, name))
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put(put) => put.key.len() + put.value.len(),
        Op::DeleteRange { .. } | Op::Range(_) => 256,
    }
}

/// Only its owner changes an object that has one, and an owner changes nothing else.
fn check_owner(
    key: &ObjectKey,
    stored: Option<&Owner>,
    asking: Option<&Owner>,
) -> Result<(), Error> {
    if stored == asking {
        return Ok(());
    }
    Err(Error::Owned { key: Box::new(key.clone()), owner: stored.cloned().map(Box::new) })
}
