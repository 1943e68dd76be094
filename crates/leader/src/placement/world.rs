//! Everything placement is decided on, kept up to date by one watch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use smr_control::{Control, GroupName, decode_assignment, decode_rollout, keyspace};
use smr_model::{DEFAULT_PREFIX, Kind, ObjectKey, ReplicaStatus};
use smr_scheduler::{Node, Scheduler};
use smr_store::{Error, KeyValue, RangeQuery, Revision};

use super::object::{Current, Object, Seen, Wanted};
use crate::{
    nodes::{Nodes, Touched, parse},
    term::{NODE_PREFIXES, Term},
};

/// How much has to be decided again about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Its rollout.
    Rollout,
    /// Its rollout, and where its replicas are.
    Placement,
}

/// Everything placement is decided on.
pub(super) struct World {
    pub(super) nodes: Arc<Nodes>,
    pub(super) objects: BTreeMap<GroupName, Object>,
    pub(super) scheduler: Scheduler,
    /// Objects to look at.
    pub(super) dirty: BTreeMap<GroupName, Look>,
    /// Nodes changed, so the scheduler may have something to say.
    pub(super) unsettled: bool,
    /// When time alone changes something about a rollout.
    pub(super) wakes: BTreeMap<GroupName, Timestamp>,
    /// Nodes that accept replicas.
    accepting: BTreeSet<u64>,
    /// Nodes that began to accept replicas in this term.
    pub(super) fresh: BTreeSet<u64>,
    /// Revision up to which everything was taken in.
    pub(super) revision: Revision,
    /// Something was removed.
    removed: bool,
}

impl World {
    /// Reads everything at one revision.
    pub(super) fn load(term: &Term, now: Timestamp) -> Result<(Self, Revision), Error> {
        let store = term.store();
        let revision = store.revision();
        let mut world = Self {
            nodes: Arc::default(),
            objects: BTreeMap::new(),
            scheduler: Scheduler::new(),
            dirty: BTreeMap::new(),
            unsettled: true,
            wakes: BTreeMap::new(),
            accepting: BTreeSet::new(),
            fresh: BTreeSet::new(),
            revision,
            removed: false,
        };
        let objects = keyspace::objects_prefix(Some(DEFAULT_PREFIX), Some(Kind::Containers), None);
        let others =
            [objects.as_str(), keyspace::ASSIGNMENTS, keyspace::ROLLOUTS, keyspace::STATUSES];
        for prefix in NODE_PREFIXES.into_iter().chain(others) {
            for kv in store.range(&RangeQuery::prefix(prefix).at(revision))?.kvs {
                world.take(term.control(), &kv.key, Some(&kv), None);
            }
        }
        Arc::make_mut(&mut world.nodes).is_loaded = true;
        // Nodes that are there already are no news.
        world.fresh.clear();
        for object in world.objects.keys() {
            world.dirty.insert(object.clone(), Look::Placement);
        }
        tracing::debug!(objects = world.objects.len(), %now, "the keyspace was read");
        Ok((world, revision))
    }

    /// Takes in a key that was written, or removed when there is no `kv`; `now` is missing while
    /// everything is read. Returns whether it was about nodes.
    pub(super) fn take(
        &mut self,
        control: &Control,
        key: &str,
        kv: Option<&KeyValue>,
        now: Option<Timestamp>,
    ) -> bool {
        if let Some(kv) = kv {
            self.revision = self.revision.max(kv.mod_revision);
        }
        if key.starts_with(keyspace::STATUSES) {
            self.take_status(key, kv, now);
        } else if key.starts_with(keyspace::ASSIGNMENTS) {
            self.take_assignment(key, kv);
        } else if key.starts_with(keyspace::ROLLOUTS) {
            self.take_rollout(key, kv);
        } else if key.starts_with(keyspace::OBJECTS) {
            self.take_object(control, key, kv);
        } else {
            return self.take_node(key, kv);
        }
        false
    }

    /// Marks an object to be looked at.
    pub(super) fn look_at(&mut self, object: GroupName) {
        self.mark(object, Look::Placement);
    }

    /// Whether there is something to look at.
    pub(super) fn is_dirty(&self) -> bool {
        self.unsettled || !self.dirty.is_empty()
    }

    /// When time alone may change something.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.wakes.values().copied().chain(self.scheduler.recheck()).min()
    }

    /// Whether something was removed since the last call.
    pub(super) fn may_be_clean(&mut self) -> bool {
        std::mem::take(&mut self.removed)
    }

    fn mark(&mut self, object: GroupName, look: Look) {
        let known = self.dirty.entry(object).or_insert(look);
        *known = look.max(*known);
    }

    fn take_node(&mut self, key: &str, kv: Option<&KeyValue>) -> bool {
        let touched = Arc::make_mut(&mut self.nodes).take(key, kv);
        match touched {
            None => return false,
            Some(Touched::Settings) => {}
            Some(Touched::Node(id)) => {
                let is_removal = kv.is_some() && key.starts_with(keyspace::REMOVED);
                self.removed |= is_removal;
                match self.nodes.node(id) {
                    Some(node) => {
                        if !Node::accepts(&node) {
                            self.accepting.remove(&id);
                            self.fresh.remove(&id);
                        } else if self.accepting.insert(id) {
                            self.fresh.insert(id);
                        }
                        self.scheduler.set_node(node);
                    }
                    None => {
                        self.accepting.remove(&id);
                        self.fresh.remove(&id);
                        self.scheduler.remove_node(id);
                    }
                }
                // Only whether replicas can be heard of matters to rollouts.
                if !key.starts_with(keyspace::NODES) {
                    let rolling = self.objects.iter().filter(|(_, it)| it.is_rolling);
                    for object in rolling.map(|(object, _)| object.clone()).collect::<Vec<_>>() {
                        self.mark(object, Look::Rollout);
                    }
                }
            }
        }
        self.unsettled = true;
        true
    }

    fn take_object(&mut self, control: &Control, key: &str, kv: Option<&KeyValue>) {
        let Some(key) = keyspace::parse_object(key) else { return };
        if key != ObjectKey::new(Kind::Containers, &key.group, &key.name) {
            return;
        }
        let name = (key.group, key.name);
        let object = self.objects.entry(name.clone()).or_default();
        object.former.clear();
        object.wanted = match kv.map(|kv| control.decode(kv)) {
            None => Wanted::Nothing,
            Some(Ok(stored)) => match Current::new(stored) {
                Some(current) => Wanted::Is(Box::new(current)),
                None => Wanted::Unreadable,
            },
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(?name, error, "object cannot be read, its replicas are left alone");
                Wanted::Unreadable
            }
        };
        self.removed |= kv.is_none();
        self.mark(name, Look::Placement);
    }

    fn take_assignment(&mut self, key: &str, kv: Option<&KeyValue>) {
        let Some(replica) = keyspace::parse_assignment(key) else { return };
        let name = (replica.group, replica.name);
        let object = self.objects.entry(name.clone()).or_default();
        let mut new = None;
        if let Some(kv) = kv {
            match decode_assignment(kv) {
                Ok(found) => new = found.map(|(_, assignment)| (assignment, kv.mod_revision)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(key, error, "assignment cannot be read");
                    return;
                }
            }
        }
        let is_mine = object.written.remove(&replica.index)
            == Some(new.as_ref().map(|(assignment, _)| assignment.clone()));
        match new {
            Some(new) => drop(object.assignments.insert(replica.index, new)),
            None => drop(object.assignments.remove(&replica.index)),
        }
        if object.is_gone() {
            self.objects.remove(&name);
        }
        if !is_mine {
            self.mark(name, Look::Placement);
        }
    }

    fn take_rollout(&mut self, key: &str, kv: Option<&KeyValue>) {
        let Some(name) = keyspace::parse_rollout(key) else { return };
        let object = self.objects.entry(name.clone()).or_default();
        let written = object.written_rollout.take();
        object.rollout = kv.and_then(|kv| {
            let decoded = decode_rollout(kv).inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::error!(key, error, "rollout cannot be read");
            });
            decoded.ok().flatten().map(|(_, rollout)| (rollout, kv.mod_revision))
        });
        let is_mine =
            written.is_some() && written == object.rollout.as_ref().map(|(it, _)| it.clone());
        if !is_mine {
            self.mark(name, Look::Rollout);
        }
    }

    fn take_status(&mut self, key: &str, kv: Option<&KeyValue>, now: Option<Timestamp>) {
        let Some((replica, node)) = keyspace::parse_status(key) else { return };
        let name = (replica.group, replica.name);
        let object = self.objects.entry(name.clone()).or_default();
        let statuses = object.statuses.entry(replica.index).or_default();
        let before = statuses.remove(&node);
        let new = kv.and_then(parse::<ReplicaStatus>);
        let new = new.map(|status| Seen::new(&status, before.as_ref(), now));
        let had = before.as_ref().is_some_and(|seen| seen.has_container);
        let has = new.as_ref().is_some_and(|seen| seen.has_container);
        let changed = before != new;
        let ended = |seen: Option<&Seen>| seen.is_some_and(Seen::is_done);
        let settled = ended(before.as_ref()) != ended(new.as_ref());
        if let Some(new) = new {
            statuses.insert(node, new);
        }
        if statuses.is_empty() {
            object.statuses.remove(&replica.index);
        }
        let is_pinned = object.current().is_some_and(|current| current.is_pinned);
        if settled || (is_pinned && had != has) {
            self.mark(name, Look::Placement);
        } else if object.is_rolling && changed {
            self.mark(name, Look::Rollout);
        } else if object.is_gone() {
            self.objects.remove(&name);
        }
    }
}
