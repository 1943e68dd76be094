//! Transactions: compares, then-operations, else-operations.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{KeyRange, KeyValue, LeaseId, RangeOutcome, RangeQuery, Refusal, Revision};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;
/// Largest transaction: keys and values of all its operations together, in bytes.
pub const MAX_TXN_BYTES: usize = 2 * 1024 * 1024;
/// Most compares, then-operations or else-operations of one transaction.
pub const MAX_TXN_OPS: usize = 1024;

/// If every compare holds, run `then`, otherwise `otherwise`; all at one revision or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Txn {
    /// Conditions; none means "always".
    pub compares: Vec<Compare>,
    /// Operations run when every compare holds.
    pub then: Vec<Op>,
    /// Operations run when a compare does not hold.
    pub otherwise: Vec<Op>,
}

impl Txn {
    /// An empty transaction, which does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Adds an operation for the case that all conditions hold.
    #[must_use]
    pub fn then(mut self, op: Op) -> Self {
        self.then.push(op);
        self
    }

    /// Adds an operation for the case that a condition does not hold.
    #[must_use]
    pub fn or_else(mut self, op: Op) -> Self {
        self.otherwise.push(op);
        self
    }

    /// Checks limits and duplicate keys: everything that does not depend on the keyspace.
    pub fn validate(&self) -> Result<(), Refusal> {
        for count in [self.compares.len(), self.then.len(), self.otherwise.len()] {
            if count > MAX_TXN_OPS {
                return Err(Refusal::TooManyOps { count, limit: MAX_TXN_OPS });
            }
        }
        let bytes = self.size_bytes();
        if bytes > MAX_TXN_BYTES {
            return Err(Refusal::TooLarge { bytes, limit: MAX_TXN_BYTES });
        }
        for branch in [&self.then, &self.otherwise] {
            check_branch(branch)?;
        }
        Ok(())
    }

    /// Keys and values of all parts together, in bytes.
    pub fn size_bytes(&self) -> usize {
        let compares = self.compares.iter().map(Compare::size_bytes);
        let ops = self.then.iter().chain(&self.otherwise).map(Op::size_bytes);
        compares.chain(ops).sum()
    }
}

fn check_branch(ops: &[Op]) -> Result<(), Refusal> {
    let mut puts = std::collections::BTreeSet::new();
    for op in ops {
        if let Op::Put(put) = op {
            if put.key.is_empty() {
                return Err(Refusal::EmptyKey);
            }
            if put.key.len() > MAX_KEY_BYTES {
                return Err(Refusal::KeyTooLong { bytes: put.key.len(), limit: MAX_KEY_BYTES });
            }
            if !puts.insert(put.key.as_str()) {
                return Err(Refusal::DuplicateKey { key: put.key.clone() });
            }
        }
    }
    for op in ops {
        if let Op::DeleteRange { range, .. } = op
            && let Some(key) = puts.iter().find(|key| range.contains(key))
        {
            return Err(Refusal::DuplicateKey { key: (*key).to_owned() });
        }
    }
    Ok(())
}

/// How a compare relates the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CmpOp {
    /// Both sides are the same.
    Equal,
    /// The sides differ.
    NotEqual,
    /// The stored side is smaller.
    Less,
    /// The stored side is greater.
    Greater,
}

impl CmpOp {
    fn holds<T: Ord + ?Sized>(self, stored: &T, wanted: &T) -> bool {
        match self {
            Self::Equal => stored == wanted,
            Self::NotEqual => stored != wanted,
            Self::Less => stored < wanted,
            Self::Greater => stored > wanted,
        }
    }
}

/// What a compare looks at.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// [`KeyValue::version`]; 0 for a key that does not exist.
    Version(u64),
    /// [`KeyValue::create_revision`]; 0 for a key that does not exist.
    CreateRevision(Revision),
    /// [`KeyValue::mod_revision`]; 0 for a key that does not exist.
    ModRevision(Revision),
    /// [`KeyValue::value`]; never holds for a key that does not exist.
    Value(#[serde(with = "serde_bytes")] Vec<u8>),
    /// [`KeyValue::lease`]; 0 for a key that does not exist.
    Lease(LeaseId),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(n) => write!(f, "Version({n})"),
            Self::CreateRevision(n) => write!(f, "CreateRevision({n})"),
            Self::ModRevision(n) => write!(f, "ModRevision({n})"),
            Self::Value(value) => write!(f, "Value({} bytes)", value.len()),
            Self::Lease(n) => write!(f, "Lease({n})"),
        }
    }
}

/// A condition on one key or on every key of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// Key or range looked at. A range holds when it holds for each existing key, or has none.
    pub range: KeyRange,
    /// Relation of stored to wanted.
    pub op: CmpOp,
    /// The wanted side.
    pub target: Target,
}

impl Compare {
    /// Compares the number of writes since creation.
    pub fn version(key: impl Into<String>, op: CmpOp, version: u64) -> Self {
        Self { range: KeyRange::key(key), op, target: Target::Version(version) }
    }

    /// Compares the revision of creation.
    pub fn create_revision(key: impl Into<String>, op: CmpOp, revision: Revision) -> Self {
        Self { range: KeyRange::key(key), op, target: Target::CreateRevision(revision) }
    }

    /// Compares the revision of the last change.
    pub fn mod_revision(key: impl Into<String>, op: CmpOp, revision: Revision) -> Self {
        Self { range: KeyRange::key(key), op, target: Target::ModRevision(revision) }
    }

    /// Compares the value.
    pub fn value(key: impl Into<String>, op: CmpOp, value: impl Into<Vec<u8>>) -> Self {
        Self { range: KeyRange::key(key), op, target: Target::Value(value.into()) }
    }

    /// Compares the lease.
    pub fn lease(key: impl Into<String>, op: CmpOp, lease: LeaseId) -> Self {
        Self { range: KeyRange::key(key), op, target: Target::Lease(lease) }
    }

    /// Holds when the key does not exist.
    pub fn absent(key: impl Into<String>) -> Self {
        Self::create_revision(key, CmpOp::Equal, 0)
    }

    /// Holds when the key exists.
    pub fn exists(key: impl Into<String>) -> Self {
        Self::create_revision(key, CmpOp::Greater, 0)
    }

    /// Applies the same condition to every key of `range`.
    #[must_use]
    pub fn over(mut self, range: KeyRange) -> Self {
        self.range = range;
        self
    }

    /// Whether the condition holds for the stored key, `None` being a key that does not exist.
    pub fn holds(&self, stored: Option<&KeyValue>) -> bool {
        let number = |field: fn(&KeyValue) -> u64| stored.map_or(0, field);
        match &self.target {
            Target::Version(wanted) => self.op.holds(&number(|kv| kv.version), wanted),
            Target::CreateRevision(wanted) => {
                self.op.holds(&number(|kv| kv.create_revision), wanted)
            }
            Target::ModRevision(wanted) => self.op.holds(&number(|kv| kv.mod_revision), wanted),
            Target::Lease(wanted) => self.op.holds(&number(|kv| kv.lease), wanted),
            Target::Value(wanted) => {
                stored.is_some_and(|kv| self.op.holds(kv.value.as_slice(), wanted.as_slice()))
            }
        }
    }

    fn size_bytes(&self) -> usize {
        let value = if let Target::Value(value) = &self.target { value.len() } else { 0 };
        range_bytes(&self.range) + value
    }
}

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Writes a key.
    Put(Put),
    /// Removes every key of a range.
    DeleteRange {
        /// Keys to remove.
        range: KeyRange,
        /// Whether the removed keys are returned.
        prev_kv: bool,
    },
    /// Reads; sees the operations before it in the same transaction.
    Range(RangeQuery),
}

/// A write of one key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Key to write, not empty.
    pub key: String,
    /// New value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
    /// Lease to bind the key to, 0 for none.
    pub lease: LeaseId,
    /// Whether the previous key is returned.
    pub prev_kv: bool,
    /// Keeps the stored value and ignores `value`; the key must exist.
    pub keep_value: bool,
    /// Keeps the stored lease and ignores `lease`; the key must exist.
    pub keep_lease: bool,
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put")
            .field("key", &self.key)
            .field("value_bytes", &self.value.len())
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl Op {
    /// Writes `value` to `key`, bound to no lease.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::put_leased(key, value, 0)
    }

    /// Writes `value` to `key`, bound to `lease`.
    pub fn put_leased(key: impl Into<String>, value: impl Into<Vec<u8>>, lease: LeaseId) -> Self {
        Self::Put(Put {
            key: key.into(),
            value: value.into(),
            lease,
            prev_kv: false,
            keep_value: false,
            keep_lease: false,
        })
    }

    /// Removes `key`.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::delete_range(KeyRange::key(key))
    }

    /// Removes every key of `range`.
    pub fn delete_range(range: KeyRange) -> Self {
        Self::DeleteRange { range, prev_kv: false }
    }

    /// Reads `key`.
    pub fn get(key: impl Into<String>) -> Self {
        Self::Range(RangeQuery::key(key))
    }

    /// Reads `query`.
    pub fn range(query: RangeQuery) -> Self {
        Self::Range(query)
    }

    /// Asks a put or delete to return what was there before; no effect on reads.
    #[must_use]
    pub fn with_prev(mut self) -> Self {
        match &mut self {
            Self::Put(put) => put.prev_kv = true,
            Self::DeleteRange { prev_kv, .. } => *prev_kv = true,
            Self::Range(_) => {}
        }
        self
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Put(put) => put.key.len() + put.value.len(),
            Self::DeleteRange { range, .. } => range_bytes(range),
            Self::Range(query) => range_bytes(&query.range),
        }
    }
}

fn range_bytes(range: &KeyRange) -> usize {
    match range {
        KeyRange::Key(key) | KeyRange::Prefix(key) | KeyRange::From(key) => key.len(),
        KeyRange::Range { start, end } => start.len() + end.len(),
        KeyRange::All => 0,
    }
}

/// What one operation returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpResponse {
    /// Answer to [`Op::Put`].
    Put {
        /// The key before, when asked for and it existed.
        prev: Option<KeyValue>,
    },
    /// Answer to [`Op::DeleteRange`].
    DeleteRange {
        /// Number of removed keys.
        deleted: u64,
        /// The removed keys, when asked for.
        prev: Vec<KeyValue>,
    },
    /// Answer to [`Op::Range`].
    Range(RangeOutcome),
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnOutcome {
    /// Revision of the keyspace after the transaction; its own revision if it changed anything.
    pub revision: Revision,
    /// Whether every compare held.
    pub succeeded: bool,
    /// Answers to the operations of the branch that ran, in order.
    pub responses: Vec<OpResponse>,
}
