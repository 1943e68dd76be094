//! Waiting until replicas are ready or gone: what was seen, as data.

use std::collections::{BTreeMap, BTreeSet};

use smr_model::{Kind, ObjectKey, ReplicaState, ReplicaStatus};
use smr_wire::{WatchEvent, WatchKind};

/// What is waited for, and what was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    wanted: BTreeMap<ObjectKey, Wanted>,
    seen: BTreeMap<(String, String), ReplicaStatus>,
    told: BTreeMap<(String, String), Told>,
    synced: bool,
}

/// What was told of a replica.
#[derive(Debug, Default)]
struct Told {
    generation: u64,
    /// States and codes of their reasons.
    states: BTreeSet<(&'static str, String)>,
}

#[derive(Debug)]
struct Wanted {
    generation: u64,
    replicas: Option<u32>,
    /// As many as there are nodes for: all that are there count.
    everywhere: bool,
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not yet.
    Waiting,
    /// All ready; so many.
    Done(usize),
    /// These will not become ready by waiting.
    Failed(Vec<String>),
}

impl Ready {
    /// Waits for the replicas of these objects, of this generation or a later one.
    pub(crate) fn new(objects: impl IntoIterator<Item = (ObjectKey, u64)>) -> Self {
        let wanted = objects.into_iter().filter(|(key, _)| key.kind == Kind::Containers).map(
            |(key, generation)| (key, Wanted { generation, replicas: None, everywhere: false }),
        );
        Self { wanted: wanted.collect(), ..Self::default() }
    }

    /// Whether there is nothing to wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Forgets what was seen: the stream begins again.
    pub(crate) fn restart(&mut self) {
        self.seen.clear();
        self.synced = false;
        for wanted in self.wanted.values_mut() {
            wanted.replicas = None;
        }
    }

    /// Takes a change in; the status if it is one that somebody waits for and is news: a state, or
    /// a reason for it, that its definition was not in before. What is tried again and again is
    /// told once.
    pub(crate) fn see(&mut self, event: WatchEvent) -> Option<ReplicaStatus> {
        if event.kind == WatchKind::Synced {
            self.synced = true;
        }
        if let Some(object) = &event.object
            && let Some(wanted) = self.wanted.get_mut(&object.key)
        {
            let replicas = object.definition.pointer("/spec/replicas").and_then(|n| n.as_u64());
            wanted.replicas = Some(replicas.unwrap_or(1) as u32);
            let strategy = object.definition.pointer("/spec/placement/strategy");
            wanted.everywhere = strategy.is_some_and(|strategy| strategy == "global");
            wanted.generation = wanted.generation.max(object.generation);
        } else if event.kind == WatchKind::Delete
            && let Some(key) = &event.key
            && self.wanted.remove(key).is_none()
        {
            self.seen.remove(&(key.group.clone(), key.name.clone()));
        }
        let replica = event.replica.filter(|_| event.kind == WatchKind::Put)?;
        self.wanted(&replica)?;
        let place = (replica.key.group.clone(), replica.key.generated_name());
        self.seen.insert(place.clone(), replica.clone());
        let told = self.told.entry(place).or_default();
        if told.generation != replica.generation {
            *told = Told { generation: replica.generation, ..Told::default() };
        }
        let code = replica.reason.as_ref().map(|reason| reason.code.clone()).unwrap_or_default();
        told.states.insert((replica.state.as_str(), code)).then_some(replica)
    }

    fn wanted(&self, replica: &ReplicaStatus) -> Option<&Wanted> {
        let mut wanted = self.wanted.iter();
        wanted
            .find(|(key, _)| key.group == replica.key.group && key.name == replica.key.name)
            .map(|(_, wanted)| wanted)
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        let failed: Vec<String> =
            self.current().filter(|replica| is_hopeless(replica)).map(line).collect();
        if !failed.is_empty() {
            return Progress::Failed(failed);
        }
        if !self.synced {
            return Progress::Waiting;
        }
        let mut total = 0;
        for (key, wanted) in &self.wanted {
            let Some(mut replicas) = wanted.replicas else { return Progress::Waiting };
            if wanted.everywhere {
                replicas = self.of(key).max(1);
            }
            let done = self.current().filter(|replica| {
                replica.key.group == key.group
                    && replica.key.name == key.name
                    && replica.state.is_done()
            });
            if done.count() < replicas as usize {
                return Progress::Waiting;
            }
            total += replicas as usize;
        }
        Progress::Done(total)
    }

    /// Replicas of an object that were seen.
    fn of(&self, key: &ObjectKey) -> u32 {
        let of = |r: &&ReplicaStatus| r.key.group == key.group && r.key.name == key.name;
        self.seen.values().filter(of).count() as u32
    }

    /// Replicas that are of the wanted generation.
    fn current(&self) -> impl Iterator<Item = &ReplicaStatus> {
        self.seen.values().filter(|replica| {
            self.wanted(replica).is_some_and(|wanted| replica.generation >= wanted.generation)
        })
    }

    /// A line for each replica and object that is not ready.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut replicas: Vec<ReplicaStatus> = self.seen.values().cloned().collect();
        crate::output::sort_replicas(&mut replicas);
        let old = |replica: &ReplicaStatus| {
            self.wanted(replica).is_some_and(|wanted| replica.generation < wanted.generation)
        };
        let mut lines: Vec<String> = replicas
            .iter()
            .filter(|replica| !replica.state.is_done() || old(replica))
            .map(|replica| match old(replica) {
                true => format!("{}: has the definition before", replica.key),
                false => line(replica),
            })
            .collect();
        for key in self.wanted.keys() {
            let seen = replicas.iter().any(|r| r.key.group == key.group && r.key.name == key.name);
            if !seen {
                lines.push(format!("{key}: no replica yet"));
            }
        }
        lines
    }

    /// Replicas seen and ready, of how many wanted.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let ready = self.current().filter(|replica| replica.state.is_done()).count();
        let number = |(key, wanted): (&ObjectKey, &Wanted)| match wanted.everywhere {
            true => self.of(key).max(1) as usize,
            false => wanted.replicas.unwrap_or(1) as usize,
        };
        let wanted = self.wanted.iter().map(number).sum();
        (ready.min(wanted), wanted)
    }
}

/// What is waited for to be gone.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    objects: Vec<ObjectKey>,
    seen: BTreeMap<(String, String), ReplicaStatus>,
    synced: bool,
}

impl Gone {
    /// Waits until the replicas of these objects are gone.
    pub(crate) fn new(objects: impl IntoIterator<Item = ObjectKey>) -> Self {
        let objects = objects.into_iter().filter(|key| key.kind == Kind::Containers).collect();
        Self { objects, ..Self::default() }
    }

    /// Whether there is nothing to wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Forgets what was seen: the stream begins again.
    pub(crate) fn restart(&mut self) {
        self.seen.clear();
        self.synced = false;
    }

    /// Takes a change in.
    pub(crate) fn see(&mut self, event: WatchEvent) {
        match event.kind {
            WatchKind::Synced => self.synced = true,
            WatchKind::Delete => {
                if let Some(key) = event.key {
                    self.seen.remove(&(key.group, key.name));
                }
            }
            WatchKind::Put => {
                let Some(replica) = event.replica else { return };
                let key = &replica.key;
                if self.objects.iter().any(|o| o.group == key.group && o.name == key.name) {
                    self.seen.insert((key.group.clone(), key.generated_name()), replica);
                }
            }
        }
    }

    /// Whether all are gone.
    pub(crate) fn is_done(&self) -> bool {
        self.synced && self.seen.is_empty()
    }

    /// A line for each replica that is still there.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.seen.values().map(line).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Whether waiting longer is pointless: it ended for good, dies again and again, or the engine
/// refuses the definition. The node goes on trying where that makes sense; a person has to look.
fn is_hopeless(replica: &ReplicaStatus) -> bool {
    match replica.state {
        ReplicaState::Failed | ReplicaState::Backoff => true,
        ReplicaState::DaemonFailure => {
            replica.reason.as_ref().is_some_and(|reason| reason.code == "EngineRefused")
        }
        _ => false,
    }
}

/// Replica, state, reason.
pub(crate) fn line(replica: &ReplicaStatus) -> String {
    let mut line = format!("{}: {}", replica.key, replica.state);
    if let Some(reason) = &replica.reason {
        line.push_str(": ");
        line.push_str(&reason.message);
    }
    if replica.state == ReplicaState::Failed
        && let Some(code) = replica.exit_code
    {
        line.push_str(&format!(" (exit code {code})"));
    }
    line
}

#[cfg(test)]
mod tests;
