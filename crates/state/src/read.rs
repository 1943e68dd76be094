//! Reads of the keyspace: current, older, history, leases.

use std::{collections::BTreeMap, ops::ControlFlow};

use crate::{
    Commit, Error, KeyRange, KeyValue, Lease, LeaseId, Meta, RangeOutcome, RangeQuery, Refusal,
    Revision, SortOrder, SortTarget, View,
    layout::{
        HISTORY_END, LEASES, corrupt, current_bounds, current_key, decode, decode_current,
        decode_event, history_key, history_revision, read_lease, read_meta,
    },
};

/// The numbers of the keyspace as a whole.
pub fn meta<V: View>(view: &V) -> Result<Meta, Error<V::Error>> {
    read_meta(view)
}

/// One key at the current revision.
pub fn get<V: View>(view: &V, key: &str) -> Result<Option<KeyValue>, Error<V::Error>> {
    let storage_key = current_key(key);
    let bytes = view.get(&storage_key).map_err(|source| Error::View { source })?;
    bytes.map(|bytes| decode_current(&storage_key, &bytes, false)).transpose()
}

/// One lease, if it is alive.
pub fn lease<V: View>(view: &V, id: LeaseId) -> Result<Option<Lease>, Error<V::Error>> {
    read_lease(view, id)
}

/// Every living lease, by identity.
pub fn leases<V: View>(view: &V) -> Result<Vec<Lease>, Error<V::Error>> {
    let mut found = Vec::new();
    scan(view, LEASES.0, LEASES.1, |key, value| {
        found.push(decode(key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Reads a range of keys at the current or an older revision.
pub fn range<V: View>(view: &V, query: &RangeQuery) -> Result<RangeOutcome, Error<V::Error>> {
    range_before(view, query, false)
}

/// Like [`range`]; with `pending`, the view already holds changes of the next revision, so that the
/// current revision is an older one too.
pub(crate) fn range_before<V: View>(
    view: &V,
    query: &RangeQuery,
    pending: bool,
) -> Result<RangeOutcome, Error<V::Error>> {
    let meta = read_meta(view)?;
    let older = match query.revision {
        None => None,
        Some(revision) if revision > meta.revision => {
            return Err(
                Refusal::FutureRevision { requested: revision, current: meta.revision }.into()
            );
        }
        Some(revision) if revision < meta.compacted => {
            return Err(
                Refusal::Compacted { requested: revision, compacted: meta.compacted }.into()
            );
        }
        Some(revision) => (pending || revision < meta.revision).then_some(revision),
    };
    let mut collector = Collector::new(query, meta.revision);
    match older {
        None => {
            let (start, end) = current_bounds(&query.range);
            scan(view, &start, &end, |key, value| {
                if collector.counts_only() {
                    collector.count();
                } else {
                    let keys_only = query.keys_only && query.sort.target != SortTarget::Value;
                    collector.add(decode_current(key, value, keys_only)?);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Some(revision) => {
            for kv in range_at(view, &query.range, revision)? {
                collector.add(kv);
            }
        }
    }
    Ok(collector.finish())
}

/// A piece of history: what happened from a revision on, as far as one read goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Commits that touched the range, oldest first.
    pub commits: Vec<Commit>,
    /// First revision not covered yet; past the current one when history is exhausted.
    pub next: Revision,
}

/// Replays history from revision `from` for the keys of `range`.
///
/// Stops after about `max_bytes` of events, always at the end of a revision.
pub fn history<V: View>(
    view: &V,
    range: &KeyRange,
    from: Revision,
    max_bytes: usize,
) -> Result<History, Error<V::Error>> {
    let meta = read_meta(view)?;
    if from <= meta.compacted {
        return Err(Refusal::Compacted { requested: from, compacted: meta.compacted }.into());
    }
    let mut commits: Vec<Commit> = Vec::new();
    let mut bytes = 0;
    let mut next = from.max(meta.revision + 1);
    let mut last_seen = None;
    scan(view, &history_key(from, 0), HISTORY_END, |key, value| {
        let revision = history_revision(key).ok_or_else(|| corrupt(key))?;
        if bytes >= max_bytes && last_seen != Some(revision) {
            next = revision;
            return Ok(ControlFlow::Break(()));
        }
        last_seen = Some(revision);
        bytes += value.len();
        let event = decode_event(key, value)?;
        if range.contains(&event.kv.key) {
            match commits.last_mut() {
                Some(commit) if commit.revision == revision => commit.events.push(event),
                _ => commits.push(Commit { revision, events: vec![event] }),
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(History { commits, next })
}

/// The keys of `range` as they were at an older revision: the current ones with history undone.
fn range_at<V: View>(
    view: &V,
    range: &KeyRange,
    revision: Revision,
) -> Result<Vec<KeyValue>, Error<V::Error>> {
    let mut keys: BTreeMap<String, Option<KeyValue>> = BTreeMap::new();
    scan(view, &history_key(revision + 1, 0), HISTORY_END, |key, value| {
        let event = decode_event(key, value)?;
        if range.contains(&event.kv.key) {
            // The first change after the revision knows what was there at the revision.
            keys.entry(event.kv.key).or_insert(event.prev);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (start, end) = current_bounds(range);
    scan(view, &start, &end, |key, value| {
        let kv = decode_current(key, value, false)?;
        keys.entry(kv.key.clone()).or_insert(Some(kv));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(keys.into_values().flatten().collect())
}

/// Scans with a visitor that may fail.
pub(crate) fn scan<V: View>(
    view: &V,
    start: &[u8],
    end: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Error<V::Error>>,
) -> Result<(), Error<V::Error>> {
    let mut failure = None;
    view.scan(start, end, &mut |key, value| match visit(key, value) {
        Ok(flow) => flow,
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })
    .map_err(|source| Error::View { source })?;
    failure.map_or(Ok(()), Err)
}

/// Gathers the keys of a read: filter, count, limit, order.
struct Collector<'q> {
    query: &'q RangeQuery,
    outcome: RangeOutcome,
}

impl<'q> Collector<'q> {
    fn new(query: &'q RangeQuery, revision: Revision) -> Self {
        Self { query, outcome: RangeOutcome { revision, ..RangeOutcome::default() } }
    }

    /// Whether further keys need not even be decoded.
    fn counts_only(&self) -> bool {
        self.query.count_only || (self.outcome.more && self.query.in_key_order())
    }

    fn count(&mut self) {
        self.outcome.count += 1;
    }

    fn add(&mut self, mut kv: KeyValue) {
        self.outcome.count += 1;
        if self.query.count_only || !self.query.admits(&kv) {
            return;
        }
        if self.query.in_key_order() && self.is_full() {
            self.outcome.more = true;
            return;
        }
        if self.query.keys_only && self.query.sort.target != SortTarget::Value {
            kv.value = Vec::new();
        }
        self.outcome.kvs.push(kv);
    }

    fn is_full(&self) -> bool {
        self.query.limit > 0 && self.outcome.kvs.len() >= self.query.limit
    }

    fn finish(mut self) -> RangeOutcome {
        if !self.query.in_key_order() {
            let kvs = &mut self.outcome.kvs;
            match self.query.sort.target {
                SortTarget::Key => {}
                SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
                SortTarget::CreateRevision => kvs.sort_by_key(|kv| kv.create_revision),
                SortTarget::ModRevision => kvs.sort_by_key(|kv| kv.mod_revision),
                SortTarget::Value => kvs.sort_by(|a, b| a.value.cmp(&b.value)),
            }
            if self.query.sort.order == SortOrder::Descending {
                kvs.reverse();
            }
            if self.query.limit > 0 && kvs.len() > self.query.limit {
                kvs.truncate(self.query.limit);
                self.outcome.more = true;
            }
            if self.query.keys_only {
                for kv in kvs {
                    kv.value = Vec::new();
                }
            }
        }
        self.outcome
    }
}
