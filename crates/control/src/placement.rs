//! Assignments of replicas to nodes: read by agents and fronts, written by the leader alone.

use std::collections::BTreeMap;

use smr_model::{Assignment, Event, ObjectKey, ReplicaKey, Rollout};
use smr_state::{CmpOp, Compare, KeyValue, MAX_TXN_BYTES, Op, RangeQuery, Revision, Txn};

use crate::{Control, Error, keyspace};

/// Every assignment with the revision it was last changed at.
pub type Assignments = BTreeMap<ReplicaKey, (Assignment, Revision)>;

/// Operations, and compares, of one transaction.
const OPS: usize = 1000;
/// Bytes of one transaction; room is left for its events.
const BYTES: usize = MAX_TXN_BYTES - 512 * 1024;
/// Events of one transaction, so that they fit into that room.
const EVENTS: usize = 1000;

/// Writes the leader decided on, each with what it was decided on. What belongs to one object is
/// written together as far as it fits into a transaction, and not at all if anything of it was
/// changed meanwhile.
#[derive(Debug, Clone, Default)]
pub struct AssignmentBatch {
    parts: BTreeMap<(String, String), Part>,
}

/// The writes about one object.
#[derive(Debug, Clone, Default)]
struct Part {
    /// What must hold for each of its transactions.
    conditions: Vec<Compare>,
    writes: Vec<Write>,
    events: Vec<Event>,
}

#[derive(Debug, Clone)]
struct Write {
    compare: Option<Compare>,
    op: Op,
    bytes: usize,
}

/// A transaction to be, about one object.
#[derive(Debug, Clone, Default)]
struct Pack {
    object: (String, String),
    txn: Txn,
    events: Vec<Event>,
    bytes: usize,
}

/// What counts against the limits of a transaction.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    ops: usize,
    compares: usize,
    events: usize,
    bytes: usize,
}

/// What became of an [`AssignmentBatch`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Revision of the last transaction that was written; 0 when none was.
    pub revision: Revision,
    /// Group and name of the objects whose writes, or the rest of them, were not made, because
    /// something they were decided on had changed. Look at them again.
    pub conflicts: Vec<(String, String)>,
}

impl AssignmentBatch {
    /// A batch without writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.parts.values().all(|part| part.writes.is_empty() && part.events.is_empty())
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.parts.values().map(|part| part.writes.len()).sum()
    }

    /// Writes an assignment. `seen` is the revision of the one it replaces, 0 when there was none.
    pub fn put(&mut self, replica: &ReplicaKey, assignment: &Assignment, seen: Revision) {
        let value = serde_json::to_vec(assignment).expect("an assignment is plain data");
        let key = keyspace::assignment(replica);
        self.part(&replica.group, &replica.name).put(key, value, seen);
    }

    /// Removes the assignment that was last changed at revision `seen`.
    pub fn delete(&mut self, replica: &ReplicaKey, seen: Revision) {
        let key = keyspace::assignment(replica);
        self.part(&replica.group, &replica.name).delete(key, Some(seen));
    }

    /// Writes the rollout of an object. `seen` is the revision of the one it replaces, 0 when there
    /// was none.
    pub fn put_rollout(&mut self, group: &str, name: &str, rollout: &Rollout, seen: Revision) {
        let value = serde_json::to_vec(rollout).expect("a rollout is plain data");
        self.part(group, name).put(keyspace::rollout(group, name), value, seen);
    }

    /// Removes the rollout that was last changed at revision `seen`.
    pub fn delete_rollout(&mut self, group: &str, name: &str, seen: Revision) {
        self.part(group, name).delete(keyspace::rollout(group, name), Some(seen));
    }

    /// Removes the restart token of a replica that is no longer wanted.
    pub fn delete_restart(&mut self, replica: &ReplicaKey) {
        let key = keyspace::restart(replica);
        self.part(&replica.group, &replica.name).delete(key, None);
    }

    /// Removes the status a removed node left.
    pub fn delete_status(&mut self, replica: &ReplicaKey, node: u64) {
        let key = keyspace::status(replica, node);
        self.part(&replica.group, &replica.name).delete(key, None);
    }

    /// Makes the writes about an object depend on its revision; 0 when it must not exist.
    pub fn require(&mut self, object: &ObjectKey, seen: Revision) {
        let compare = Compare::mod_revision(keyspace::object(object), CmpOp::Equal, seen);
        self.part(&object.group, &object.name).require(compare);
    }

    /// Makes the writes about an object depend on the revision of any other key.
    pub fn require_key(&mut self, group: &str, name: &str, key: String, seen: Revision) {
        self.part(group, name).require(Compare::mod_revision(key, CmpOp::Equal, seen));
    }

    /// Records what happened with the writes about an object.
    pub fn event(&mut self, group: &str, name: &str, event: Event) {
        self.part(group, name).events.push(event);
    }

    fn part(&mut self, group: &str, name: &str) -> &mut Part {
        self.parts.entry((group.to_owned(), name.to_owned())).or_default()
    }

    /// What is to be written together, in order: as few transactions as fit.
    fn bins(self) -> Vec<Vec<Pack>> {
        let mut bins: Vec<Vec<Pack>> = Vec::new();
        let mut size = Size::default();
        for (object, part) in self.parts {
            for pack in part.packs(&object) {
                let both = size.with(pack.size());
                match bins.last_mut() {
                    Some(bin) if both.fits() => {
                        size = both;
                        bin.push(pack);
                    }
                    _ => {
                        size = pack.size();
                        bins.push(vec![pack]);
                    }
                }
            }
        }
        bins
    }
}

impl Part {
    fn put(&mut self, key: String, value: Vec<u8>, seen: Revision) {
        let bytes = 2 * key.len() + value.len();
        let compare = Compare::mod_revision(key.clone(), CmpOp::Equal, seen);
        self.writes.push(Write { compare: Some(compare), op: Op::put(key, value), bytes });
    }

    fn delete(&mut self, key: String, seen: Option<Revision>) {
        let bytes = 2 * key.len();
        let compare = seen.map(|seen| Compare::mod_revision(key.clone(), CmpOp::Equal, seen));
        self.writes.push(Write { compare, op: Op::delete(key), bytes });
    }

    fn require(&mut self, compare: Compare) {
        if !self.conditions.contains(&compare) {
            self.conditions.push(compare);
        }
    }

    /// As few transactions as fit, in order.
    fn packs(self, object: &(String, String)) -> Vec<Pack> {
        let Self { conditions, writes, events } = self;
        let start = || Pack {
            object: object.clone(),
            bytes: conditions.len() * 256,
            txn: Txn { compares: conditions.clone(), ..Txn::new() },
            events: Vec::new(),
        };
        let mut packs = vec![start()];
        for write in writes {
            let full = packs.last().is_none_or(|pack| {
                pack.txn.then.len() + 1 > OPS
                    || pack.txn.compares.len() + 1 > OPS
                    || pack.bytes + write.bytes > BYTES
            });
            if full {
                packs.push(start());
            }
            let Some(pack) = packs.last_mut() else { continue };
            pack.bytes += write.bytes;
            pack.txn.compares.extend(write.compare);
            pack.txn.then.push(write.op);
        }
        if let Some(last) = packs.last_mut() {
            last.events = events;
            last.events.truncate(EVENTS);
        }
        packs
    }
}

impl Size {
    fn with(self, other: Self) -> Self {
        Self {
            ops: self.ops + other.ops,
            compares: self.compares + other.compares,
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
        }
    }

    fn fits(self) -> bool {
        self.ops <= OPS && self.compares <= OPS && self.events <= EVENTS && self.bytes <= BYTES
    }
}

impl Pack {
    fn size(&self) -> Size {
        Size {
            ops: self.txn.then.len(),
            compares: self.txn.compares.len(),
            events: self.events.len(),
            bytes: self.bytes,
        }
    }

    /// Both in one transaction.
    fn with(mut self, other: Self) -> Self {
        self.txn.compares.extend(other.txn.compares);
        self.txn.then.extend(other.txn.then);
        self.events.extend(other.events);
        self.bytes += other.bytes;
        self
    }
}

impl Control {
    /// Every assignment and the revision of that, from the local copy. One that cannot be read is
    /// logged and left out.
    pub async fn assignments(&self) -> Result<(Revision, Assignments), Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::ASSIGNMENTS))?;
        let assignment = |kv: &KeyValue| {
            let (replica, assignment) = decode_assignment(kv)
                .inspect_err(|error| {
                    let error = error as &dyn std::error::Error;
                    tracing::error!(key = %kv.key, error, "assignment cannot be read");
                })
                .ok()??;
            Some((replica, (assignment, kv.mod_revision)))
        };
        Ok((found.revision, found.kvs.iter().filter_map(assignment).collect()))
    }

    /// Writes what the leader decided; only on the leader itself, and only as long as it leads in
    /// `term` (`Store::leadership` tells it). What finds something else than was seen is left out and
    /// named.
    pub async fn write_assignments(
        &self,
        term: u64,
        batch: AssignmentBatch,
    ) -> Result<Written, Error> {
        let mut written = Written::default();
        for bin in batch.bins() {
            if bin.len() > 1 {
                let together = bin.iter().cloned().reduce(Pack::with).unwrap_or_default();
                if let Some(revision) = self.write_pack(term, together).await? {
                    written.revision = revision;
                    continue;
                }
            }
            // One object that changed does not hold up the others.
            for pack in bin {
                let object = pack.object.clone();
                match self.write_pack(term, pack).await? {
                    Some(revision) => written.revision = revision,
                    None => written.conflicts.push(object),
                }
            }
        }
        written.conflicts.sort();
        written.conflicts.dedup();
        Ok(written)
    }

    /// Writes one transaction; nothing is written, and `None` comes back, if a compare fails.
    async fn write_pack(&self, term: u64, pack: Pack) -> Result<Option<Revision>, Error> {
        let mut txn = pack.txn;
        if !pack.events.is_empty() {
            txn.then.push(self.event_op(&pack.events).await?);
        }
        if txn.then.is_empty() {
            return Ok(Some(self.revision()));
        }
        let outcome = self.inner.store.txn_local(term, txn).await?;
        Ok(outcome.succeeded.then_some(outcome.revision))
    }
}

/// The replica and assignment of a key that a watch of [`keyspace::ASSIGNMENTS`] reported; `None` for a
/// key of something else.
pub fn decode_assignment(kv: &KeyValue) -> Result<Option<(ReplicaKey, Assignment)>, Error> {
    let Some(replica) = keyspace::parse_assignment(&kv.key) else { return Ok(None) };
    let assignment = serde_json::from_slice(&kv.value)
        .map_err(|source| Error::Damaged { key: kv.key.clone(), source })?;
    Ok(Some((replica, assignment)))
}
