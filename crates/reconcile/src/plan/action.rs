//! The actions a plan may ask for, and what comes of them.

use std::{fmt, sync::Arc, time::Duration};

use smr_model::{ContainerSpec, RegistryAuth};

use super::Target;
use crate::seen::Seen;

/// Which of a replica's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The container users mean.
    Main,
    /// The one that runs to its end before.
    Init,
}

/// One thing to do. Everything it needs is in it: the executor has no decision left.
pub enum Action {
    /// Get an image.
    Pull {
        /// For which container.
        role: Role,
        /// Reference.
        image: String,
        /// Credentials.
        auth: Option<RegistryAuth>,
    },
    /// Make a container with its networks and files.
    Create {
        /// Which.
        role: Role,
        /// From what.
        spec: Box<ContainerSpec>,
        /// Digest of `spec`.
        hash: String,
        /// Generation of the object.
        generation: u64,
    },
    /// Start a container that was made or has ended.
    Start {
        /// Which.
        role: Role,
        /// Its id.
        id: String,
    },
    /// End a container; it is not removed.
    Stop {
        /// Its id.
        id: String,
        /// Signal unless empty.
        signal: String,
        /// Time until it is killed.
        timeout: Duration,
    },
    /// Give the running container another name, so that one made from another definition can have
    /// its own. Not before the image of that one is on the node.
    SetAside {
        /// Its id.
        id: String,
        /// The other name.
        name: String,
        /// Image of the next container.
        image: String,
    },
    /// Give a container that was set aside its name back.
    TakeBack {
        /// Its id.
        id: String,
        /// The name.
        name: String,
    },
    /// Start a container that was set aside and has ended before the next one was ready.
    Revive {
        /// Its id.
        id: String,
    },
    /// End and remove a container that was set aside.
    Retire {
        /// Its id.
        id: String,
        /// Signal unless empty.
        signal: String,
        /// Time until it is killed.
        timeout: Duration,
    },
    /// End and remove containers.
    Remove {
        /// Their ids.
        ids: Vec<String>,
        /// Signal unless empty.
        signal: String,
        /// Time until each is killed.
        timeout: Duration,
    },
    /// Make the readiness checks until all succeeded or one ran out of time.
    Readiness {
        /// Container id.
        id: String,
        /// The checks are in here.
        target: Arc<Target>,
    },
    /// Make each liveness check once.
    Liveness {
        /// Container id.
        id: String,
        /// The checks are in here.
        target: Arc<Target>,
    },
}

/// An action without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// [`Action::Pull`]
    Pull(Role),
    /// [`Action::Create`]
    Create(Role),
    /// [`Action::Start`]
    Start(Role),
    /// [`Action::Stop`]
    Stop,
    /// [`Action::SetAside`]
    SetAside,
    /// [`Action::TakeBack`]
    TakeBack,
    /// [`Action::Revive`]
    Revive,
    /// [`Action::Retire`]
    Retire,
    /// [`Action::Remove`]
    Remove,
    /// [`Action::Readiness`]
    Readiness,
    /// [`Action::Liveness`]
    Liveness,
}

impl ActionKind {
    /// Whether it may be dropped half-way without leaving anything undone on the engine.
    pub fn is_cancellable(self) -> bool {
        match self {
            Self::Pull(_) | Self::Readiness | Self::Liveness => true,
            Self::Create(_)
            | Self::Start(_)
            | Self::Stop
            | Self::SetAside
            | Self::TakeBack
            | Self::Revive
            | Self::Retire
            | Self::Remove => false,
        }
    }
}

impl Action {
    /// The action without its data.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Pull { role, .. } => ActionKind::Pull(*role),
            Self::Create { role, .. } => ActionKind::Create(*role),
            Self::Start { role, .. } => ActionKind::Start(*role),
            Self::Stop { .. } => ActionKind::Stop,
            Self::SetAside { .. } => ActionKind::SetAside,
            Self::TakeBack { .. } => ActionKind::TakeBack,
            Self::Revive { .. } => ActionKind::Revive,
            Self::Retire { .. } => ActionKind::Retire,
            Self::Remove { .. } => ActionKind::Remove,
            Self::Readiness { .. } => ActionKind::Readiness,
            Self::Liveness { .. } => ActionKind::Liveness,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |id: &str| id.chars().take(12).collect::<String>();
        match self {
            Self::Pull { image, .. } => write!(f, "pull image `{image}`"),
            Self::Create { spec, .. } => write!(f, "create container `{}`", spec.name),
            Self::Start { id, .. } => write!(f, "start container {}", short(id)),
            Self::Stop { id, .. } => write!(f, "stop container {}", short(id)),
            Self::SetAside { id, .. } => write!(f, "set container {} aside", short(id)),
            Self::TakeBack { id, .. } => write!(f, "take container {} back", short(id)),
            Self::Revive { id } => write!(f, "start former container {}", short(id)),
            Self::Retire { id, .. } => write!(f, "remove former container {}", short(id)),
            Self::Remove { ids, .. } => {
                let ids: Vec<_> = ids.iter().map(|id| short(id)).collect();
                write!(f, "remove container {}", ids.join(", "))
            }
            Self::Readiness { id, .. } => write!(f, "check readiness of {}", short(id)),
            Self::Liveness { id, .. } => write!(f, "check liveness of {}", short(id)),
        }
    }
}

/// What kind of failure it was; decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The engine does not answer: nothing is known, try again when it does.
    Unavailable,
    /// The engine does not have the image.
    ImageMissing,
    /// The image could not be pulled.
    PullFailed,
    /// The container is not there (any more).
    NotFound,
    /// A check did not succeed.
    CheckFailed,
    /// The action was dropped half-way because it had become pointless.
    Cancelled,
    /// The engine refused.
    Refused,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of failure.
    pub kind: ProblemKind,
    /// Stable code, see [`smr_model::Reason`].
    pub code: String,
    /// For people; free of secrets.
    pub message: String,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A container was made.
    Created(Seen),
    /// A container runs now.
    Started,
    /// What the engine says of a container after it was stopped; `None` when it is gone.
    Stopped(Option<Seen>),
    /// These containers are gone.
    Removed(Vec<String>),
    /// Done.
    Done,
    /// Not done.
    Failed(Problem),
}
