//! Streams of changes: events, objects, replicas.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::StreamExt as _;
use smr_model::{Kind, ObjectKey, ReplicaKey, ReplicaStatus};
use smr_state::{EventKind, KeyRange, KeyValue, RangeQuery, Revision};
use smr_store::WatchBatch;
use smr_wire::{EventQuery, StreamItem, WatchEvent, WatchKind, WatchQuery};

use crate::{
    Control, Error,
    events::{self, Filter},
    keyspace,
    objects::kind_parameter,
    record::Record,
    replicas::Parts,
    stream::{Items, follow},
};

/// What a watch shows.
#[derive(Debug, Clone)]
struct Scope {
    objects: bool,
    replicas: bool,
    kind: Option<Kind>,
    group: Option<String>,
}

impl Control {
    /// Events as they happen: first those that are kept (from a revision, the last few, or none,
    /// see [`EventQuery`]), then, if the query says `follow`, all further ones. When nothing
    /// happens, a progress line comes every 15 seconds.
    pub async fn follow_events(&self, query: &EventQuery) -> Result<Items, Error> {
        let filter = Filter::parse(query)?;
        self.barrier().await?;
        let past = self.past_events(query, &filter)?;
        let items: Vec<StreamItem> = past.items.into_iter().map(StreamItem::Event).collect();
        if !query.follow {
            return Ok(futures_util::stream::iter(items).boxed());
        }
        let from = query.from.unwrap_or(0).max(past.revision + 1);
        let range = KeyRange::prefix(keyspace::EVENTS);
        follow(self.store(), items, range, from, move |batch| {
            let written = batch.events.iter().filter(|event| event.kind == EventKind::Put);
            let happened = written.flat_map(|event| events::decode(&event.kv));
            let wanted = happened.filter(|event| filter.admits(event));
            Ok(wanted.map(StreamItem::Event).collect())
        })
    }

    /// Objects and replicas as they change; of a replica that moves, what the node says that it is
    /// assigned to. Without `from`, everything that is there comes first, then
    /// [`WatchKind::Synced`]. Resumes at `from` as long as history is kept. Confidential values are
    /// masked. When nothing happens, a progress line comes every 15 seconds.
    pub async fn watch(&self, query: &WatchQuery) -> Result<Items, Error> {
        let scope = Scope::parse(query)?;
        self.barrier().await?;
        let head = self.revision();
        let from = query.from.unwrap_or(head + 1);
        // What comes before `from` is only taken in, not told.
        let start = from.min(head + 1);
        let before = start.saturating_sub(1);
        let mut known = BTreeMap::new();
        if scope.replicas {
            known = self.parts(scope.group.as_deref(), None, before)?;
        }
        let past = match query.from {
            Some(_) => Vec::new(),
            None => self.present(&scope, &known, head)?,
        };
        let control = self.clone();
        let range = scope.range();
        follow(self.store(), past, range, start, move |batch| {
            let items = control.changes(&scope, &mut known, &batch)?;
            Ok(if batch.revision < from { Vec::new() } else { items })
        })
    }

    /// Everything in scope as it is at a revision, closed by [`WatchKind::Synced`].
    fn present(
        &self,
        scope: &Scope,
        known: &BTreeMap<ReplicaKey, Parts>,
        revision: Revision,
    ) -> Result<Vec<StreamItem>, Error> {
        let mut items = Vec::new();
        if scope.objects {
            let found = self.scan(RangeQuery::prefix(keyspace::OBJECTS).at(revision))?;
            for kv in &found.kvs {
                items.extend(self.object_change(scope, kv)?);
            }
        }
        let names = self.node_names()?;
        let views = known.iter().filter_map(|(key, parts)| parts.merge(key, &names));
        items.extend(views.map(|view| replica_put(view.status, revision)));
        let synced = WatchEvent {
            kind: WatchKind::Synced,
            revision,
            key: None,
            object: None,
            replica: None,
        };
        items.push(synced);
        Ok(items.into_iter().map(|item| StreamItem::Watch(Box::new(item))).collect())
    }

    /// What one revision means to a watch: at most one line per object and replica.
    fn changes(
        &self,
        scope: &Scope,
        known: &mut BTreeMap<ReplicaKey, Parts>,
        batch: &WatchBatch,
    ) -> Result<Vec<StreamItem>, Error> {
        let revision = batch.revision;
        let mut items = Vec::new();
        let mut changed = BTreeSet::new();
        for event in batch.events.iter() {
            let gone = event.kind == EventKind::Delete;
            let path = &event.kv.key;
            if path.starts_with(keyspace::OBJECTS) {
                items.extend(match scope.admitted(path).filter(|_| gone) {
                    Some(key) => Some(deleted(key, revision)),
                    None if gone => None,
                    None => self.object_change(scope, &event.kv)?,
                });
            } else if scope.replicas && scope.admits_replica(path) {
                let touched =
                    if gone { Parts::remove(known, path) } else { Parts::put(known, &event.kv)? };
                changed.extend(touched.filter(|(_, visible)| *visible).map(|(key, _)| key));
            }
        }
        let nameless = |key: &ReplicaKey| known.get(key).is_some_and(Parts::needs_name);
        let names = if changed.iter().any(nameless) { self.node_names()? } else { BTreeMap::new() };
        for key in changed {
            let view = known.get(&key).and_then(|parts| parts.merge(&key, &names));
            items.push(match view {
                Some(view) => replica_put(view.status, revision),
                None => deleted(replica_object(&key), revision),
            });
        }
        Ok(items.into_iter().map(|item| StreamItem::Watch(Box::new(item))).collect())
    }

    /// What a written object means to a watch; nothing if it is out of scope.
    fn object_change(&self, scope: &Scope, kv: &KeyValue) -> Result<Option<WatchEvent>, Error> {
        let Some(key) = scope.admitted(&kv.key) else { return Ok(None) };
        let record = Record::decode(kv)?;
        let object = record.into_object(key.clone(), kv, &self.inner.data_key, false)?;
        Ok(Some(WatchEvent {
            kind: WatchKind::Put,
            revision: kv.mod_revision,
            key: Some(key),
            object: Some(object),
            replica: None,
        }))
    }
}

fn replica_put(status: ReplicaStatus, revision: Revision) -> WatchEvent {
    WatchEvent {
        kind: WatchKind::Put,
        revision,
        key: Some(replica_object(&status.key)),
        object: None,
        replica: Some(status),
    }
}

fn deleted(key: ObjectKey, revision: Revision) -> WatchEvent {
    WatchEvent { kind: WatchKind::Delete, revision, key: Some(key), object: None, replica: None }
}

/// The object of a replica's generated name.
fn replica_object(replica: &ReplicaKey) -> ObjectKey {
    ObjectKey::new(Kind::Containers, &replica.group, replica.generated_name())
}

impl Scope {
    fn parse(query: &WatchQuery) -> Result<Self, Error> {
        let (objects, replicas) = match query.what.as_deref() {
            None | Some("" | "all") => (true, true),
            Some("objects") => (true, false),
            Some("replicas") => (false, true),
            Some(other) => {
                return Err(Error::Parameter {
                    name: "what",
                    value: other.to_owned(),
                    allowed: "`objects`, `replicas` or `all`".to_owned(),
                });
            }
        };
        let kind = kind_parameter(query.kind.as_deref())?;
        Ok(Self { objects, replicas, kind, group: query.group.clone() })
    }

    fn range(&self) -> KeyRange {
        match (self.objects, self.replicas) {
            (true, false) => KeyRange::prefix(keyspace::OBJECTS),
            // Assignments and statuses, and little between them.
            (false, true) => KeyRange::Range {
                start: keyspace::ASSIGNMENTS.to_owned(),
                end: format!("{}\u{7f}", keyspace::STATUSES),
            },
            _ => KeyRange::prefix("/smr/"),
        }
    }

    /// The object of a key, if it is in scope.
    fn admitted(&self, path: &str) -> Option<ObjectKey> {
        let key = keyspace::parse_object(path).filter(|_| self.objects)?;
        let admitted = self.kind.is_none_or(|kind| kind == key.kind) && self.has(&key.group);
        admitted.then_some(key)
    }

    /// Whether the key of a status or an assignment is in scope; anything for other keys.
    fn admits_replica(&self, path: &str) -> bool {
        let replica = keyspace::parse_assignment(path)
            .or_else(|| keyspace::parse_status(path).map(|(replica, _)| replica));
        replica.is_some_and(|replica| self.has(&replica.group))
    }

    fn has(&self, group: &str) -> bool {
        self.group.as_ref().is_none_or(|wanted| wanted == group)
    }
}
