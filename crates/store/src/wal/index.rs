//! What the log holds, in memory: identities and places of all entries, bodies of the newest.

use std::{collections::BTreeMap, ops::RangeBounds};

use crate::batch::{Entry, LogId, Vote};

/// Bytes of entry bodies kept in memory; older ones are read from the file.
const CACHE_BYTES: usize = 1024 * 1024;

/// Where the body of an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Sequence number of the file.
    pub(crate) sequence: u64,
    /// Offset of the body in the file.
    pub(crate) offset: u64,
    /// Length of the body.
    pub(crate) length: u32,
    /// Checksum of the body.
    pub(crate) checksum: u32,
}

#[derive(Debug)]
struct Slot {
    log_id: LogId,
    /// `None` while the append is on its way to the file.
    place: Option<Place>,
    entry: Option<Entry>,
    bytes: usize,
}

/// The log as of the last call; entries count as soon as they are handed over for appending.
#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: BTreeMap<u64, Slot>,
    pub(crate) purged: Option<LogId>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    cached_bytes: usize,
    /// Every slot before this index is out of memory.
    cached_from: u64,
}

/// An entry as found by a read.
pub(crate) enum Found {
    Cached(Entry),
    At(LogId, Place),
}

impl Index {
    pub(crate) fn last(&self) -> Option<LogId> {
        self.slots.last_key_value().map(|(_, slot)| slot.log_id).or(self.purged)
    }

    pub(crate) fn first_index(&self) -> Option<u64> {
        self.slots.keys().next().copied()
    }

    pub(crate) fn insert(&mut self, entry: Entry, bytes: usize) {
        let index = entry.log_id.index;
        self.cached_bytes += bytes;
        self.cached_from = self.cached_from.min(index);
        let slot = Slot { log_id: entry.log_id, place: None, entry: Some(entry), bytes };
        if let Some(old) = self.slots.insert(index, slot)
            && old.entry.is_some()
        {
            self.cached_bytes -= old.bytes;
        }
    }

    /// Adds an entry found in a file.
    pub(crate) fn insert_stored(&mut self, log_id: LogId, place: Place) {
        self.cached_from = self.cached_from.max(log_id.index + 1);
        let bytes = place.length as usize;
        self.slots.insert(log_id.index, Slot { log_id, place: Some(place), entry: None, bytes });
    }

    /// Records where an entry lies and forgets bodies beyond the cache.
    pub(crate) fn placed(&mut self, log_id: LogId, place: Place) {
        if let Some(slot) = self.slots.get_mut(&log_id.index)
            && slot.log_id == log_id
        {
            slot.place = Some(place);
        }
        while self.cached_bytes > CACHE_BYTES {
            let Some((&index, slot)) = self.slots.range_mut(self.cached_from..).next() else {
                break;
            };
            if slot.place.is_none() {
                break;
            }
            if slot.entry.take().is_some() {
                self.cached_bytes -= slot.bytes;
            }
            self.cached_from = index + 1;
        }
    }

    /// Whether everything up to and including `upto` is in the files.
    pub(crate) fn is_durable(&self, upto: u64) -> bool {
        self.slots.get(&upto).is_none_or(|slot| slot.place.is_some())
    }

    /// The newest commit point that says nothing about entries which are not in the files yet.
    pub(crate) fn durable_commit(&self) -> Option<LogId> {
        let committed = self.committed?;
        let mut before = self.slots.range(..=committed.index).rev();
        match before.next() {
            Some((_, newest)) if newest.place.is_none() => {
                before.find(|(_, slot)| slot.place.is_some()).map(|(_, slot)| slot.log_id)
            }
            _ => Some(committed),
        }
    }

    pub(crate) fn truncate(&mut self, from: u64) {
        for slot in self.slots.split_off(&from).values() {
            self.uncache(slot.entry.is_some(), slot.bytes);
        }
        self.cached_from = self.cached_from.min(from);
    }

    pub(crate) fn purge(&mut self, upto: LogId) {
        let kept = self.slots.split_off(&(upto.index + 1));
        for slot in std::mem::replace(&mut self.slots, kept).values() {
            self.uncache(slot.entry.is_some(), slot.bytes);
        }
        self.purged = self.purged.max(Some(upto));
    }

    pub(crate) fn range(&self, range: impl RangeBounds<u64>) -> Vec<Found> {
        let slots = self.slots.range(range);
        slots
            .map_while(|(_, slot)| match (&slot.entry, slot.place) {
                (Some(entry), _) => Some(Found::Cached(entry.clone())),
                (None, Some(place)) => Some(Found::At(slot.log_id, place)),
                (None, None) => None,
            })
            .collect()
    }

    fn uncache(&mut self, cached: bool, bytes: usize) {
        if cached {
            self.cached_bytes -= bytes;
        }
    }
}
