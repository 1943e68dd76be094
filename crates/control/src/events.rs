//! Events: a ring of slots per node, written in the transaction of what happened.

use std::sync::atomic::{AtomicU64, Ordering};

use smr_model::{Event, Kind, ObjectKey};
use smr_state::{KeyValue, Op, RangeQuery};
use smr_wire::{EventList, EventQuery};
use tokio::sync::OnceCell;

use crate::{Actor, Control, Error, control::now, keyspace};

/// The next free slot of this node's ring; found in the keyspace at the first use.
pub(crate) struct Ring {
    node: u64,
    next: OnceCell<AtomicU64>,
}

impl Ring {
    pub(crate) fn new(node: u64) -> Self {
        Self { node, next: OnceCell::new() }
    }
}

/// Which events are wanted, apart from their revision.
#[derive(Debug, Clone)]
pub(crate) struct Filter(Option<Resource>);

#[derive(Debug, Clone)]
struct Resource {
    kind: Kind,
    group: Option<String>,
    name: Option<String>,
}

impl Control {
    /// Past events as far as they are kept, oldest first.
    pub async fn events(&self, query: &EventQuery) -> Result<EventList, Error> {
        let filter = Filter::parse(query)?;
        self.barrier().await?;
        self.past_events(query, &filter)
    }

    pub(crate) fn past_events(
        &self,
        query: &EventQuery,
        filter: &Filter,
    ) -> Result<EventList, Error> {
        let mut range = RangeQuery::prefix(keyspace::EVENTS);
        range.min_mod_revision = query.from.unwrap_or(0);
        let found = self.scan(range)?;
        if query.new {
            return Ok(EventList { revision: found.revision, items: Vec::new() });
        }
        let mut slots = found.kvs;
        slots.sort_by_key(|kv| kv.mod_revision);
        let mut items: Vec<Event> =
            slots.iter().flat_map(decode).filter(|event| filter.admits(event)).collect();
        if let Some(limit) = query.limit {
            items.drain(..items.len().saturating_sub(limit));
        }
        Ok(EventList { revision: found.revision, items })
    }

    /// The write of events to the next slot of the ring.
    pub(crate) async fn event_op(&self, events: &[Event]) -> Result<Op, Error> {
        let ring = &self.inner.ring;
        let next = ring
            .next
            .get_or_try_init(|| async {
                self.settled().await?;
                let found =
                    self.scan(RangeQuery::prefix(keyspace::events_of(ring.node)).keys_only())?;
                let newest = found.kvs.iter().max_by_key(|kv| kv.mod_revision);
                let slot = newest.and_then(|kv| keyspace::parse_event(&kv.key));
                Ok::<_, Error>(AtomicU64::new(slot.map_or(0, |(_, slot)| slot + 1)))
            })
            .await?;
        let slot = next.fetch_add(1, Ordering::Relaxed);
        let value = serde_json::to_vec(events).expect("events are plain data with string keys");
        Ok(Op::put(keyspace::event(ring.node, slot), value))
    }

    /// An event about an object that somebody changed.
    pub(crate) fn event(&self, kind: &str, object: ObjectKey, verb: &str, actor: &Actor) -> Event {
        Event {
            revision: 0,
            kind: kind.to_owned(),
            object,
            time: now(),
            node: self.inner.options.node_name.clone(),
            message: format!("{verb} by {}", actor.name),
        }
    }
}

/// The events of a slot, with their revision. A slot that cannot be read has none.
pub(crate) fn decode(kv: &KeyValue) -> Vec<Event> {
    let mut events: Vec<Event> = serde_json::from_slice(&kv.value).unwrap_or_default();
    for event in &mut events {
        event.revision = kv.mod_revision;
    }
    events
}

impl Filter {
    pub(crate) fn parse(query: &EventQuery) -> Result<Self, Error> {
        let Some(text) = query.resource.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(Self(None));
        };
        let refused = || Error::Parameter {
            name: "resource",
            value: text.to_owned(),
            allowed: "`kind/group/name`, `kind/group` or `kind`".to_owned(),
        };
        let mut parts = text.split('/');
        let kind = parts.next().unwrap_or_default().parse().map_err(|_| refused())?;
        let group = parts.next().map(str::to_owned);
        let name = parts.next().map(str::to_owned);
        let empty = |part: &Option<String>| part.as_deref() == Some("");
        if parts.next().is_some() || empty(&group) || empty(&name) {
            return Err(refused());
        }
        Ok(Self(Some(Resource { kind, group, name })))
    }

    pub(crate) fn admits(&self, event: &Event) -> bool {
        self.0.as_ref().is_none_or(|resource| resource.admits(&event.object))
    }
}

impl Resource {
    fn admits(&self, object: &ObjectKey) -> bool {
        self.kind == object.kind
            && self.group.as_ref().is_none_or(|group| *group == object.group)
            && self.name.as_ref().is_none_or(|name| {
                *name == object.name || self.is_replica(&object.group, name, &object.name)
            })
    }

    /// Whether `event` is the generated name of a replica of the object `group/name`.
    fn is_replica(&self, group: &str, name: &str, event: &str) -> bool {
        self.kind == Kind::Containers
            && event
                .strip_prefix(group)
                .and_then(|rest| rest.strip_prefix('-')?.strip_prefix(name)?.strip_prefix('-'))
                .is_some_and(|index| {
                    !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
                })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_selects_the_object_and_its_replicas() {
        let admits = |resource: &str, kind: Kind, name: &str| {
            let query = EventQuery { resource: Some(resource.to_owned()), ..Default::default() };
            let event = Event {
                revision: 0,
                kind: "running".to_owned(),
                object: ObjectKey::new(kind, "shop", name),
                time: now(),
                node: String::new(),
                message: String::new(),
            };
            Filter::parse(&query).unwrap().admits(&event)
        };
        assert!(admits("containers/shop/web", Kind::Containers, "web"));
        assert!(admits("containers/shop/web", Kind::Containers, "shop-web-12"));
        assert!(admits("containers/shop/shop-web-1", Kind::Containers, "shop-web-1"));
        assert!(admits("containers/shop", Kind::Containers, "anything"));
        assert!(admits("secret", Kind::Secret, "db"));
        assert!(!admits("containers/shop/web", Kind::Containers, "shop-web-2-1"));
        assert!(!admits("containers/shop/web", Kind::Containers, "shop-web-"));
        assert!(!admits("secret/shop/db", Kind::Configuration, "db"));
        assert!(!admits("containers/shop/shop-web-1", Kind::Containers, "shop-web-11"));
    }

    #[test]
    fn other_texts_are_no_resource() {
        for bad in ["nope/g/n", "secret//n", "secret/g/n/x", "secret/g/"] {
            let query = EventQuery { resource: Some(bad.to_owned()), ..Default::default() };
            assert!(Filter::parse(&query).is_err(), "{bad}");
        }
    }
}
