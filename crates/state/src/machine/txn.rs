//! Transactions.

use std::ops::ControlFlow;

use super::Machine;
use crate::{
    Compare, Error, Event, EventKind, KeyRange, KeyValue, Op, OpResponse, Put, RangeQuery, Refusal,
    Txn, TxnOutcome, View,
    layout::{current_bounds, decode_current, read_lease},
    read::{get, range, range_before, scan},
};

impl<V: View> Machine<'_, V> {
    pub(super) fn txn(&mut self, txn: &Txn) -> Result<TxnOutcome, Error<V::Error>> {
        txn.validate()?;
        let mut succeeded = true;
        for compare in &txn.compares {
            if !self.holds(compare)? {
                succeeded = false;
                break;
            }
        }
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        let mut responses = Vec::with_capacity(ops.len());
        for op in ops {
            responses.push(match op {
                Op::Put(put) => self.put(put)?,
                Op::DeleteRange { range, prev_kv } => self.delete_range(range, *prev_kv)?,
                Op::Range(query) => self.read(query)?,
            });
        }
        let revision = self.outcome_revision();
        for response in &mut responses {
            if let OpResponse::Range(outcome) = response {
                outcome.revision = revision;
            }
        }
        Ok(TxnOutcome { revision, succeeded, responses })
    }

    fn holds(&self, compare: &Compare) -> Result<bool, Error<V::Error>> {
        if let KeyRange::Key(key) = &compare.range {
            return Ok(compare.holds(get(&self.overlay, key)?.as_ref()));
        }
        let (start, end) = current_bounds(&compare.range);
        let mut holds = true;
        scan(&self.overlay, &start, &end, |key, value| {
            holds = compare.holds(Some(&decode_current(key, value, false)?));
            Ok(if holds { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(holds)
    }

    fn put(&mut self, put: &Put) -> Result<OpResponse, Error<V::Error>> {
        let prev = get(&self.overlay, &put.key)?;
        if (put.keep_value || put.keep_lease) && prev.is_none() {
            return Err(Refusal::KeyNotFound { key: put.key.clone() }.into());
        }
        let lease = match &prev {
            Some(prev) if put.keep_lease => prev.lease,
            _ => put.lease,
        };
        if lease != 0 && read_lease(&self.overlay, lease)?.is_none() {
            return Err(Refusal::LeaseNotFound { lease }.into());
        }
        let value = match &prev {
            Some(prev) if put.keep_value => prev.value.clone(),
            _ => put.value.clone(),
        };
        let revision = self.writing_revision();
        let kv = KeyValue {
            key: put.key.clone(),
            value,
            create_revision: prev.as_ref().map_or(revision, |prev| prev.create_revision),
            mod_revision: revision,
            version: prev.as_ref().map_or(0, |prev| prev.version) + 1,
            lease,
        };
        let response = OpResponse::Put { prev: prev.clone().filter(|_| put.prev_kv) };
        self.record(Event { kind: EventKind::Put, kv, prev });
        Ok(response)
    }

    fn delete_range(
        &mut self,
        keys: &KeyRange,
        prev_kv: bool,
    ) -> Result<OpResponse, Error<V::Error>> {
        let found = match keys {
            KeyRange::Key(key) => get(&self.overlay, key)?.into_iter().collect(),
            _ => range(&self.overlay, &RangeQuery::new(keys.clone()))?.kvs,
        };
        for kv in &found {
            self.remove(kv.clone());
        }
        let deleted = found.len() as u64;
        Ok(OpResponse::DeleteRange { deleted, prev: if prev_kv { found } else { Vec::new() } })
    }

    /// Reads; the operations before this one in the transaction are visible at the current revision.
    fn read(&self, query: &RangeQuery) -> Result<OpResponse, Error<V::Error>> {
        range_before(&self.overlay, query, !self.events.is_empty()).map(OpResponse::Range)
    }
}
