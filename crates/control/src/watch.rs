//! Streams of changes: events, objects, replica statuses.

use futures_util::stream::StreamExt as _;
use smr_model::{Kind, ObjectKey, ReplicaStatus};
use smr_state::{EventKind, KeyRange, KeyValue, RangeQuery, Revision};
use smr_wire::{EventQuery, StreamItem, WatchEvent, WatchKind, WatchQuery};

use crate::{
    Control, Error,
    events::{self, Filter},
    keyspace,
    objects::kind_parameter,
    record::Record,
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

    /// Objects and replica statuses as they change. Without `from`, everything that is there
    /// comes first, then [`WatchKind::Synced`]. Resumes at `from` as long as history is kept.
    /// Confidential values are masked. When nothing happens, a progress line comes every 15
    /// seconds.
    pub async fn watch(&self, query: &WatchQuery) -> Result<Items, Error> {
        let scope = Scope::parse(query)?;
        self.barrier().await?;
        let (past, from) = match query.from {
            Some(from) => (Vec::new(), from),
            None => {
                let (revision, items) = self.present(&scope)?;
                (items, revision + 1)
            }
        };
        let control = self.clone();
        let range = scope.range();
        follow(self.store(), past, range, from, move |batch| {
            let mut items = Vec::new();
            for event in batch.events.iter() {
                let gone = event.kind == EventKind::Delete;
                let change = if gone {
                    scope.gone(&event.kv.key, batch.revision)
                } else {
                    control.change(&scope, &event.kv)?
                };
                items.extend(change.map(|change| StreamItem::Watch(Box::new(change))));
            }
            Ok(items)
        })
    }

    /// Everything in scope as it is now, closed by [`WatchKind::Synced`].
    fn present(&self, scope: &Scope) -> Result<(Revision, Vec<StreamItem>), Error> {
        let revision = self.revision();
        let mut items = Vec::new();
        let ranges = [(scope.objects, keyspace::OBJECTS), (scope.replicas, keyspace::STATUSES)];
        for (_, prefix) in ranges.into_iter().filter(|(wanted, _)| *wanted) {
            let found = self.scan(RangeQuery::prefix(prefix).at(revision))?;
            for kv in &found.kvs {
                let change = self.change(scope, kv)?;
                items.extend(change.map(|change| StreamItem::Watch(Box::new(change))));
            }
        }
        let synced = WatchEvent {
            kind: WatchKind::Synced,
            revision,
            key: None,
            object: None,
            replica: None,
        };
        items.push(StreamItem::Watch(Box::new(synced)));
        Ok((revision, items))
    }

    /// What a written key means to a watch; nothing if it is out of scope.
    fn change(&self, scope: &Scope, kv: &KeyValue) -> Result<Option<WatchEvent>, Error> {
        let mut event = WatchEvent {
            kind: WatchKind::Put,
            revision: kv.mod_revision,
            key: scope.admitted(&kv.key),
            object: None,
            replica: None,
        };
        let Some(key) = event.key.clone() else { return Ok(None) };
        if kv.key.starts_with(keyspace::STATUSES) {
            let status: ReplicaStatus = serde_json::from_slice(&kv.value)
                .map_err(|source| Error::Damaged { key: kv.key.clone(), source })?;
            event.replica = Some(status);
        } else {
            let record = Record::decode(kv)?;
            event.object = Some(record.into_object(key, kv, &self.inner.data_key, false)?);
        }
        Ok(Some(event))
    }
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
            (false, true) => KeyRange::prefix(keyspace::STATUSES),
            _ => KeyRange::prefix("/smr/"),
        }
    }

    /// The object of a key that is in scope; for a replica, the object of its generated name.
    fn admitted(&self, path: &str) -> Option<ObjectKey> {
        let key = if let Some((replica, _)) = keyspace::parse_status(path) {
            let generated = replica.generated_name();
            self.replicas.then(|| ObjectKey::new(Kind::Containers, replica.group, generated))?
        } else {
            let key = keyspace::parse_object(path).filter(|_| self.objects)?;
            if self.kind.is_some_and(|kind| kind != key.kind) {
                return None;
            }
            key
        };
        self.group.as_ref().is_none_or(|group| *group == key.group).then_some(key)
    }

    fn gone(&self, path: &str, revision: Revision) -> Option<WatchEvent> {
        let key = Some(self.admitted(path)?);
        Some(WatchEvent { kind: WatchKind::Delete, revision, key, object: None, replica: None })
    }
}
