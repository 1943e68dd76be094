//! Applies commands: the one implementation of what they mean.

mod lease;
mod txn;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{
    Changes, Command, CommandResult, Error, Event, KeyValue, Meta, Overlay, Refusal, Response,
    Revision, View,
    layout::{
        META, attachment_key, current_key, encode, encode_current, history_key, history_revision,
        read_meta,
    },
    read::scan,
};

/// The events of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The revision.
    pub revision: Revision,
    /// What changed, in the order of the operations.
    pub events: Vec<Event>,
}

/// What a run of commands did, to be written to storage in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Storage changes.
    pub changes: Changes,
    /// What watchers see, oldest first.
    pub commits: Vec<Commit>,
    /// The keyspace afterwards.
    pub meta: Meta,
}

/// Applies commands on top of a view. Later commands see the effects of earlier ones.
#[derive(Debug)]
pub struct Machine<'v, V> {
    overlay: Overlay<'v, V>,
    meta: Meta,
    stored_meta: Meta,
    commits: Vec<Commit>,
    /// Events of the command at hand.
    events: Vec<Event>,
}

impl<'v, V: View> Machine<'v, V> {
    /// Starts at what `view` holds.
    pub fn new(view: &'v V) -> Result<Self, Error<V::Error>> {
        let meta = read_meta(view)?;
        Ok(Self {
            overlay: Overlay::new(view),
            meta,
            stored_meta: meta,
            commits: Vec::new(),
            events: Vec::new(),
        })
    }

    /// Applies one command. A refusal is a normal result and changes nothing; an error means that the
    /// view failed and that this machine must be dropped.
    pub fn apply(&mut self, command: &Command) -> Result<CommandResult, Error<V::Error>> {
        let before = self.meta;
        self.overlay.mark();
        let result = match command {
            Command::Txn(txn) => self.txn(txn).map(Response::Txn),
            Command::GrantLease { id, ttl_seconds } => self.grant(*id, *ttl_seconds),
            Command::KeepAlive { id } => self.keep_alive(*id),
            Command::RevokeLease { id } => self.revoke(*id),
            Command::ExpireLease { id, renewals } => self.expire(*id, *renewals),
            Command::Compact { revision } => self.compact(*revision),
        };
        match result {
            Ok(response) => {
                if !self.events.is_empty() {
                    self.meta.revision = self.writing_revision();
                    let events = std::mem::take(&mut self.events);
                    self.commits.push(Commit { revision: self.meta.revision, events });
                }
                Ok(Ok(response))
            }
            Err(Error::Refused(refusal)) => {
                self.overlay.rollback();
                self.events.clear();
                self.meta = before;
                Ok(Err(refusal))
            }
            Err(error) => Err(error),
        }
    }

    /// The keyspace as of the last applied command.
    pub fn meta(&self) -> Meta {
        self.meta
    }

    /// Ends the run.
    pub fn finish(mut self) -> Applied {
        if self.meta != self.stored_meta {
            self.overlay.put(META.to_vec(), encode(&self.meta));
        }
        Applied { changes: self.overlay.into_changes(), commits: self.commits, meta: self.meta }
    }

    /// Revision the changes of the command at hand get.
    fn writing_revision(&self) -> Revision {
        self.meta.revision + 1
    }

    /// Revision of the keyspace as the command at hand leaves it.
    fn outcome_revision(&self) -> Revision {
        if self.events.is_empty() { self.meta.revision } else { self.writing_revision() }
    }

    fn compact(&mut self, revision: Revision) -> Result<Response, Error<V::Error>> {
        if revision > self.meta.revision {
            return Err(Refusal::FutureRevision {
                requested: revision,
                current: self.meta.revision,
            }
            .into());
        }
        if revision <= self.meta.compacted {
            return Err(
                Refusal::Compacted { requested: revision, compacted: self.meta.compacted }.into()
            );
        }
        let mut dropped = Vec::new();
        scan(&self.overlay, &history_key(0, 0), &history_key(revision + 1, 0), |key, _| {
            debug_assert!(history_revision(key).is_some_and(|found| found <= revision));
            dropped.push(key.to_vec());
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        for key in dropped {
            self.overlay.delete(key);
        }
        self.meta.compacted = revision;
        Ok(Response::Done { revision: self.meta.revision })
    }

    /// Records one change of one key: current value, lease attachment, history.
    fn record(&mut self, event: Event) {
        let old_lease = event.prev.as_ref().map_or(0, |prev| prev.lease);
        let new_lease = event.kv.lease;
        if old_lease != 0 && old_lease != new_lease {
            self.overlay.delete(attachment_key(old_lease, &event.kv.key));
        }
        if new_lease != 0 && old_lease != new_lease {
            self.overlay.put(attachment_key(new_lease, &event.kv.key), Vec::new());
        }
        let storage_key = current_key(&event.kv.key);
        match event.kind {
            crate::EventKind::Put => self.overlay.put(storage_key, encode_current(&event.kv)),
            crate::EventKind::Delete => self.overlay.delete(storage_key),
        }
        let position = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        self.overlay.put(history_key(self.writing_revision(), position), encode(&event));
        self.events.push(event);
    }

    /// Removes a key that exists.
    fn remove(&mut self, prev: KeyValue) {
        let kv = KeyValue {
            key: prev.key.clone(),
            mod_revision: self.writing_revision(),
            ..KeyValue::default()
        };
        self.record(Event { kind: crate::EventKind::Delete, kv, prev: Some(prev) });
    }
}
