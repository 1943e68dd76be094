//! The ordered storage the keyspace computes on, and a layer of pending changes over it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    error::Error,
    ops::{Bound, ControlFlow},
};

/// Storage changes by storage key: `Some` writes, `None` removes.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

type Change = Option<Vec<u8>>;

/// A plain map as storage, for tests and simulation.
pub type MemoryView = BTreeMap<Vec<u8>, Vec<u8>>;

/// Sees the entries of a scan one by one and may end it.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Read access to ordered storage. It must not change while the keyspace computes on it.
pub trait View {
    /// How reading fails.
    type Error: Error + 'static;

    /// Reads one entry.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Visits entries from `start` (included) to `end` (excluded) in ascending byte order.
    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visitor<'_>) -> Result<(), Self::Error>;
}

impl View for MemoryView {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visitor<'_>) -> Result<(), Infallible> {
        if start < end {
            for (key, value) in
                self.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
            {
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Pending changes on top of a view. Reads see them; a mark allows to undo back to it.
#[derive(Debug)]
pub struct Overlay<'v, V> {
    base: &'v V,
    changes: Changes,
    /// What the touched entries of `changes` were before, newest last; used since the last mark.
    undo: Vec<(Vec<u8>, Option<Change>)>,
}

impl<'v, V: View> Overlay<'v, V> {
    /// An empty layer over `base`.
    pub fn new(base: &'v V) -> Self {
        Self { base, changes: Changes::new(), undo: Vec::new() }
    }

    /// Starts a new unit that [`Overlay::rollback`] would undo.
    pub fn mark(&mut self) {
        self.undo.clear();
    }

    /// Undoes every change since the last mark.
    pub fn rollback(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(change) => self.changes.insert(key, change),
                None => self.changes.remove(&key),
            };
        }
    }

    /// Writes an entry.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.set(key, Some(value));
    }

    /// Removes an entry.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.set(key, None);
    }

    /// The pending changes.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    fn set(&mut self, key: Vec<u8>, change: Option<Vec<u8>>) {
        let before = self.changes.insert(key.clone(), change);
        self.undo.push((key, before));
    }
}

impl<V: View> View for Overlay<'_, V> {
    type Error = V::Error;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, V::Error> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visitor<'_>) -> Result<(), V::Error> {
        if start >= end {
            return Ok(());
        }
        let mut pending = self
            .changes
            .range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
            .peekable();
        let mut ended = false;
        self.base.scan(start, end, &mut |key, value| {
            while let Some((changed, change)) =
                pending.next_if(|(changed, _)| changed.as_slice() <= key)
            {
                if let Some(value) = change
                    && visit(changed, value).is_break()
                {
                    ended = true;
                    return ControlFlow::Break(());
                }
                if changed.as_slice() == key {
                    return ControlFlow::Continue(());
                }
            }
            let flow = visit(key, value);
            ended = flow.is_break();
            flow
        })?;
        if !ended {
            for (key, change) in pending {
                if let Some(value) = change
                    && visit(key, value).is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }
}
