//! Reads: what is asked and what comes back.

use serde::{Deserialize, Serialize};

use crate::{KeyRange, KeyValue, Revision};

/// A read of a range of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeQuery {
    /// Keys to read.
    pub range: KeyRange,
    /// Revision to read at; `None` is the current one.
    pub revision: Option<Revision>,
    /// Most keys to return; 0 is no limit.
    pub limit: usize,
    /// Leaves the values empty.
    pub keys_only: bool,
    /// Returns only the count.
    pub count_only: bool,
    /// Order of the result; keys ascending by default.
    pub sort: Sort,
    /// Leaves out keys last changed before this revision; 0 is no filter.
    pub min_mod_revision: Revision,
    /// Leaves out keys last changed after this revision; 0 is no filter.
    pub max_mod_revision: Revision,
    /// Leaves out keys created before this revision; 0 is no filter.
    pub min_create_revision: Revision,
    /// Leaves out keys created after this revision; 0 is no filter.
    pub max_create_revision: Revision,
}

/// Order of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sort {
    /// Field to order by.
    pub target: SortTarget,
    /// Direction.
    pub order: SortOrder,
}

/// Field to order by; ties are ordered by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SortTarget {
    /// By key.
    #[default]
    Key,
    /// By number of writes.
    Version,
    /// By revision of creation.
    CreateRevision,
    /// By revision of the last change.
    ModRevision,
    /// By value.
    Value,
}

/// Direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SortOrder {
    /// Smallest first.
    #[default]
    Ascending,
    /// Greatest first.
    Descending,
}

impl RangeQuery {
    /// Reads all of `range` at the current revision.
    pub fn new(range: KeyRange) -> Self {
        Self {
            range,
            revision: None,
            limit: 0,
            keys_only: false,
            count_only: false,
            sort: Sort::default(),
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }

    /// Reads one key.
    pub fn key(key: impl Into<String>) -> Self {
        Self::new(KeyRange::key(key))
    }

    /// Reads every key that starts with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::new(KeyRange::prefix(prefix))
    }

    /// Reads at an older revision.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// Returns at most `limit` keys; 0 is no limit.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Leaves the values empty.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// Returns only the count.
    #[must_use]
    pub fn count_only(mut self) -> Self {
        self.count_only = true;
        self
    }

    /// Orders the result.
    #[must_use]
    pub fn sorted(mut self, target: SortTarget, order: SortOrder) -> Self {
        self.sort = Sort { target, order };
        self
    }

    /// Whether a key passes the revision filters.
    pub(crate) fn admits(&self, kv: &KeyValue) -> bool {
        let at_least = |value: Revision, bound: Revision| bound == 0 || value >= bound;
        let at_most = |value: Revision, bound: Revision| bound == 0 || value <= bound;
        at_least(kv.mod_revision, self.min_mod_revision)
            && at_most(kv.mod_revision, self.max_mod_revision)
            && at_least(kv.create_revision, self.min_create_revision)
            && at_most(kv.create_revision, self.max_create_revision)
    }

    /// Whether keys come back in the order they are stored in.
    pub(crate) fn in_key_order(&self) -> bool {
        self.sort == Sort::default()
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RangeOutcome {
    /// Current revision of the keyspace when the read ran (not the revision asked for).
    pub revision: Revision,
    /// The keys, in the order asked for.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit left keys out.
    pub more: bool,
    /// Number of keys in the range (before filters and limit).
    pub count: usize,
}
