//! Objects with their replicas, and how they are found by what affinities say.

use std::collections::{BTreeMap, BTreeSet};

use smr_model::ReplicaKey;

use crate::{
    decision::Decision,
    matcher::{Lookup, Target},
    rules::Request,
    workload::{Replica, Workload},
};

/// An object. Its replicas are in `items`, ascending by index.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) workload: Workload,
    pub(super) items: Vec<Item>,
    /// For the strategy `random`.
    pub(super) seed: u64,
}

/// A replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    pub(super) index: u32,
    /// Position of the node it is counted on.
    pub(super) node: Option<u32>,
    pub(super) changed: bool,
    pub(super) held: Option<Box<Request>>,
    pub(super) data_on: Option<u64>,
    pub(super) done: bool,
    /// What was said last.
    pub(super) decision: Option<Decision>,
}

impl Job {
    pub(super) fn key(&self, item: &Item) -> ReplicaKey {
        ReplicaKey::new(&self.workload.group, &self.workload.name, item.index)
    }

    /// What an item takes from its node.
    pub(super) fn request<'a>(&'a self, item: &'a Item) -> &'a Request {
        item.held.as_deref().unwrap_or(&self.workload.rules.request)
    }

    /// The node that has the data of an item, where that counts.
    pub(super) fn data_on(&self, item: &Item) -> Option<u64> {
        item.data_on.filter(|_| self.workload.rules.pinned)
    }
}

impl Item {
    pub(super) fn new(replica: Replica) -> (Self, Option<u64>) {
        let Replica { index, node, changed, held, data_on, done } = replica;
        (Self { index, node: None, changed, held, data_on, done, decision: None }, node)
    }
}

/// All objects, by position. Positions are used again.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs {
    slots: Vec<Option<Job>>,
    free: BTreeSet<u32>,
    by_key: BTreeMap<(String, String), u32>,
    by_label: BTreeMap<String, BTreeSet<u32>>,
    /// Objects that must be apart from another one, by what their targets look for.
    guards_of_object: BTreeMap<(String, String), BTreeSet<u32>>,
    guards_of_label: BTreeMap<String, BTreeSet<u32>>,
    guards_of_all: BTreeSet<u32>,
    pub(super) global: BTreeSet<u32>,
}

impl Jobs {
    pub(super) fn find(&self, group: &str, name: &str) -> Option<u32> {
        self.by_key.get(&(group.to_owned(), name.to_owned())).copied()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Job> {
        self.slots.get(at as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Job> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    /// All positions, by group and name.
    pub(super) fn positions(&self) -> impl Iterator<Item = u32> {
        self.by_key.values().copied()
    }

    /// These positions, by group and name.
    pub(super) fn sorted(&self, positions: &BTreeSet<u32>) -> Vec<u32> {
        let mut sorted: Vec<u32> =
            positions.iter().copied().filter(|at| self.get(*at).is_some()).collect();
        sorted.sort_by(|one, other| {
            let key = |at: u32| self.get(at).map(|it| (&it.workload.group, &it.workload.name));
            key(*one).cmp(&key(*other))
        });
        sorted
    }

    pub(super) fn insert(&mut self, mut workload: Workload) -> u32 {
        let at = self.free.pop_first().unwrap_or(self.slots.len() as u32);
        if at as usize == self.slots.len() {
            self.slots.push(None);
        }
        workload.replicas = Vec::new();
        self.by_key.insert((workload.group.clone(), workload.name.clone()), at);
        for label in workload.labels.keys() {
            self.by_label.entry(label.clone()).or_default().insert(at);
        }
        for target in guards(&workload) {
            match target.lookup() {
                Lookup::Object(group, name) => {
                    let key = (group.to_owned(), name.to_owned());
                    self.guards_of_object.entry(key).or_default().insert(at);
                }
                Lookup::Label(label) => {
                    self.guards_of_label.entry(label.to_owned()).or_default().insert(at);
                }
                Lookup::All => {
                    self.guards_of_all.insert(at);
                }
                Lookup::Nothing => {}
            }
        }
        if workload.rules.is_global() {
            self.global.insert(at);
        }
        let seed = seed(&workload.group, &workload.name);
        self.slots[at as usize] = Some(Job { workload, items: Vec::new(), seed });
        at
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<Job> {
        let job = self.slots.get_mut(at as usize)?.take()?;
        let workload = &job.workload;
        self.free.insert(at);
        self.global.remove(&at);
        self.guards_of_all.remove(&at);
        self.by_key.remove(&(workload.group.clone(), workload.name.clone()));
        for label in workload.labels.keys() {
            forget(&mut self.by_label, label, at);
        }
        for target in guards(workload) {
            match target.lookup() {
                Lookup::Object(group, name) => {
                    let key = (group.to_owned(), name.to_owned());
                    forget(&mut self.guards_of_object, &key, at);
                }
                Lookup::Label(label) => {
                    forget(&mut self.guards_of_label, &label.to_owned(), at);
                }
                Lookup::All | Lookup::Nothing => {}
            }
        }
        Some(job)
    }

    /// Positions of the objects a target means.
    pub(super) fn meant(&self, target: &Target) -> Vec<u32> {
        let matches = |at: &u32| {
            self.get(*at).is_some_and(|job| {
                let it = &job.workload;
                target.matches(&it.group, &it.name, &it.labels)
            })
        };
        match target.lookup() {
            Lookup::Object(group, name) => self.find(group, name).into_iter().collect(),
            Lookup::Label(label) => {
                let labelled = self.by_label.get(label).into_iter().flatten().copied();
                labelled.filter(matches).collect()
            }
            Lookup::All => self.positions().filter(matches).collect(),
            Lookup::Nothing => Vec::new(),
        }
    }

    /// Positions of other objects that must be apart from this one.
    pub(super) fn guards(&self, at: u32) -> BTreeSet<u32> {
        let Some(job) = self.get(at) else { return BTreeSet::new() };
        let it = &job.workload;
        if self.guards_of_object.is_empty()
            && self.guards_of_label.is_empty()
            && self.guards_of_all.is_empty()
        {
            return BTreeSet::new();
        }
        let by_object = self.guards_of_object.get(&(it.group.clone(), it.name.clone()));
        let by_label = it.labels.keys().filter_map(|label| self.guards_of_label.get(label));
        let maybe = by_object.into_iter().chain(by_label).chain([&self.guards_of_all]).flatten();
        let is_guard = |other: &u32| {
            *other != at
                && self.get(*other).is_some_and(|other| {
                    guards(&other.workload)
                        .any(|target| target.matches(&it.group, &it.name, &it.labels))
                })
        };
        maybe.copied().filter(is_guard).collect()
    }
}

/// What must not be beside an object, other than itself alone.
fn guards(workload: &Workload) -> impl Iterator<Item = &Target> {
    workload.rules.affinity.iter().filter(move |target| {
        let itself = matches!(
            target.lookup(),
            Lookup::Object(group, name) if group == workload.group && name == workload.name
        );
        target.anti && !target.soft && !itself
    })
}

fn forget<K: Ord>(map: &mut BTreeMap<K, BTreeSet<u32>>, key: &K, at: u32) {
    if let Some(set) = map.get_mut(key) {
        set.remove(&at);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

/// FNV-1a of group and name; part of what `random` means, so it must never change.
fn seed(group: &str, name: &str) -> u64 {
    let bytes = group.bytes().chain([b'/']).chain(name.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
