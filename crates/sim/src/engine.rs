//! A container engine: containers with labels, operations that take time, fail, or work without
//! saying so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{EngineState, ReplicaKey};
use smr_reconcile::{Action, ActionKind, Outcome, Problem, ProblemKind, Role, Seen};

use crate::{Ms, random::Random};

/// Our labels on a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) node: u64,
    pub(crate) replica: ReplicaKey,
    pub(crate) generation: u64,
}

/// A container.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) labels: Option<Labels>,
    pub(crate) seen: Seen,
}

/// Something an engine is to do.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) kind: ActionKind,
    pub(crate) number: u64,
    pub(crate) what: What,
}

/// What an engine is to do, without what the simulator does not look at.
#[derive(Debug)]
pub(crate) enum What {
    Pull(String),
    Create { name: String, image: String, hash: String, generation: u64 },
    Start(String),
    Stop(String),
    Rename { id: String, name: String, image: Option<String> },
    Remove(Vec<String>),
    Check(String),
}

impl What {
    pub(crate) fn of(action: Action) -> (ActionKind, Self) {
        let kind = action.kind();
        let what = match action {
            Action::Pull { image, .. } => Self::Pull(image),
            Action::Create { spec, hash, generation, role } => {
                debug_assert_eq!(role, Role::Main, "definitions here have no init containers");
                Self::Create { name: spec.name, image: spec.image, hash, generation }
            }
            Action::Start { id, .. } | Action::Revive { id } => Self::Start(id),
            Action::Stop { id, .. } => Self::Stop(id),
            Action::SetAside { id, name, image } => Self::Rename { id, name, image: Some(image) },
            Action::TakeBack { id, name } => Self::Rename { id, name, image: None },
            Action::Retire { id, .. } => Self::Remove(vec![id]),
            Action::Remove { ids, .. } => Self::Remove(ids),
            Action::Readiness { id, .. } | Action::Liveness { id, .. } => Self::Check(id),
        };
        (kind, what)
    }

    /// The containers it is about.
    pub(crate) fn containers(&self) -> &[String] {
        match self {
            Self::Pull(_) | Self::Create { .. } => &[],
            Self::Remove(ids) => ids,
            Self::Start(id) | Self::Stop(id) | Self::Rename { id, .. } | Self::Check(id) => {
                std::slice::from_ref(id)
            }
        }
    }
}

/// The engine of one node.
#[derive(Debug)]
pub(crate) struct Engine {
    node: u64,
    pub(crate) up: bool,
    pub(crate) slow: bool,
    /// How many of 1,000 operations fail.
    pub(crate) failing: u64,
    pub(crate) containers: BTreeMap<String, Container>,
    images: std::collections::BTreeSet<String>,
    made: u64,
    /// Something happened that an agent would be told of.
    pub(crate) news: bool,
}

impl Engine {
    /// An engine on which somebody else runs something already, under names close to ours.
    pub(crate) fn new(node: u64) -> Self {
        let mut engine = Self {
            node,
            up: true,
            slow: false,
            failing: 0,
            containers: BTreeMap::new(),
            images: std::collections::BTreeSet::new(),
            made: 0,
            news: true,
        };
        for name in ["db", "app-zz-1"] {
            let id = engine.id();
            let seen = Seen { state: EngineState::Running, ..fresh(&id, "") };
            let image = "postgres:17".to_owned();
            let container = Container { name: name.to_owned(), image, labels: None, seen };
            engine.containers.insert(id, container);
        }
        engine
    }

    fn id(&mut self) -> String {
        self.made += 1;
        format!("c{}x{}", self.node, self.made)
    }

    /// How long an operation takes.
    pub(crate) fn duration(&self, what: &What, random: &mut Random) -> Ms {
        let base = match what {
            What::Pull(_) => random.between(100, 1500),
            What::Create { .. } => random.between(20, 200),
            What::Start(_) => random.between(50, 400),
            What::Stop(_) | What::Remove(_) => random.between(50, 1500),
            What::Rename { .. } => random.between(5, 30),
            What::Check(_) => random.between(20, 500),
        };
        if self.slow { base * 10 } else { base }
    }

    /// Does it, at `now`. Sometimes it fails, and sometimes it works and says that it failed.
    pub(crate) fn carry_out(
        &mut self,
        now: Timestamp,
        key: &ReplicaKey,
        what: &What,
        random: &mut Random,
    ) -> Outcome {
        if !self.up {
            return failed(ProblemKind::Unavailable, "EngineUnavailable");
        }
        let fails = random.chance(self.failing);
        if fails && random.chance(500) {
            return failed(ProblemKind::Refused, "EngineFailed");
        }
        let outcome = self.work(now, key, what);
        if fails { failed(ProblemKind::Refused, "EngineFailed") } else { outcome }
    }

    fn work(&mut self, now: Timestamp, key: &ReplicaKey, what: &What) -> Outcome {
        match what {
            What::Pull(image) if image.starts_with("missing") => {
                failed(ProblemKind::PullFailed, "ImagePullFailed")
            }
            What::Pull(image) => {
                self.images.insert(image.clone());
                Outcome::Done
            }
            What::Create { name, image, hash, generation } => {
                if self.containers.values().any(|it| it.name == *name) {
                    return failed(ProblemKind::Refused, "Conflict");
                }
                if !self.images.contains(image) {
                    return failed(ProblemKind::ImageMissing, "ImageMissing");
                }
                let id = self.id();
                let seen = fresh(&id, hash);
                let labels =
                    Labels { node: self.node, replica: key.clone(), generation: *generation };
                let (name, image) = (name.clone(), image.clone());
                let container = Container { name, image, labels: Some(labels), seen: seen.clone() };
                self.containers.insert(id, container);
                Outcome::Created(seen)
            }
            What::Start(id) => match self.containers.get_mut(id) {
                None => not_found(),
                Some(container) => {
                    container.seen.state = EngineState::Running;
                    container.seen.started_at = Some(now);
                    container.seen.finished_at = None;
                    container.seen.exit_code = None;
                    Outcome::Started
                }
            },
            What::Stop(id) => {
                self.end(now, id, 0);
                Outcome::Stopped(self.containers.get(id).map(|it| it.seen.clone()))
            }
            What::Rename { id, name, image } => {
                if image.as_ref().is_some_and(|image| !self.images.contains(image)) {
                    return failed(ProblemKind::ImageMissing, "ImageMissing");
                }
                if self.containers.iter().any(|(other, it)| it.name == *name && other != id) {
                    return failed(ProblemKind::Refused, "Conflict");
                }
                match self.containers.get_mut(id) {
                    None => return not_found(),
                    Some(container) => container.name.clone_from(name),
                }
                Outcome::Done
            }
            What::Remove(ids) => {
                for id in ids {
                    self.containers.remove(id);
                }
                Outcome::Removed(ids.clone())
            }
            What::Check(id) => match self.containers.get(id) {
                None => not_found(),
                Some(it) if it.image.starts_with("unready") => {
                    failed(ProblemKind::CheckFailed, "ReadinessFailed")
                }
                Some(it) if it.seen.state == EngineState::Running => Outcome::Done,
                Some(_) => failed(ProblemKind::CheckFailed, "ReadinessFailed"),
            },
        }
    }

    /// A main process ends by itself.
    pub(crate) fn end(&mut self, now: Timestamp, id: &str, code: i64) {
        if let Some(container) = self.containers.get_mut(id)
            && container.seen.runs()
        {
            container.seen.state = EngineState::Exited;
            container.seen.exit_code = Some(code);
            container.seen.finished_at = Some(now);
            self.news = true;
        }
    }

    /// The machine, or the engine, goes down and takes everything with it.
    pub(crate) fn end_all(&mut self, now: Timestamp) {
        for id in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.end(now, &id, 137);
        }
    }

    /// Containers of others start again with the engine, as their policy says.
    pub(crate) fn start_others(&mut self) {
        for container in self.containers.values_mut().filter(|it| it.labels.is_none()) {
            container.seen.state = EngineState::Running;
        }
    }

    /// Containers of a replica that run.
    pub(crate) fn running(&self, key: &ReplicaKey) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(move |it| {
            it.seen.runs() && it.labels.as_ref().is_some_and(|labels| labels.replica == *key)
        })
    }

    /// Whether what belongs to somebody else is there.
    pub(crate) fn others_are_there(&self) -> bool {
        self.containers.values().filter(|it| it.labels.is_none()).count() == 2
    }
}

fn fresh(id: &str, hash: &str) -> Seen {
    Seen {
        id: id.to_owned(),
        state: EngineState::Created,
        exit_code: None,
        oom_killed: false,
        started_at: None,
        finished_at: None,
        spec_hash: hash.to_owned(),
    }
}

fn failed(kind: ProblemKind, code: &str) -> Outcome {
    Outcome::Failed(Problem { kind, code: code.to_owned(), message: format!("{code}, simulated") })
}

fn not_found() -> Outcome {
    failed(ProblemKind::NotFound, "NotFound")
}
