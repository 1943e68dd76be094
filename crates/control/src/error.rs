//! Why a request could not be met, and how the control API says so.

mod cluster;

use smr_model::{Kind, ObjectKey, Owner, RolloutState};
use smr_pki::{JoinTokenError, PkiError, RotationError, SealError};
use smr_wire::{ApiError, Code, ErrorDetail};

pub use cluster::{ClusterError, TokenProblem};

use crate::documents::WARNING;

/// A request that could not be met. Nothing was changed, unless said otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Documents with mistakes.
    #[error("{}", invalid_message(details))]
    Invalid {
        /// Every mistake, and the warnings, whose messages begin with `warning: `.
        details: Vec<ErrorDetail>,
    },
    /// A body without a document.
    #[error("the request holds no document")]
    NoDocuments,
    /// A query parameter that cannot be read.
    #[error("parameter `{name}` cannot be `{value}`")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// No such object.
    #[error("object `{key}` does not exist")]
    NoObject {
        /// The object.
        key: ObjectKey,
    },
    /// No such replica.
    #[error("replica `containers/{group}/{name}` does not exist")]
    NoReplica {
        /// Group as given.
        group: String,
        /// Generated name as given.
        name: String,
        /// Replicas the group has.
        known: Vec<String>,
    },
    /// The object is managed by another one.
    #[error(
        "object has owner - direct modification not allowed (`{key}` belongs to {})",
        owner_text(owner.as_deref())
    )]
    Owned {
        /// The object.
        key: Box<ObjectKey>,
        /// Its owner; none if somebody wants to own an object that has no owner.
        owner: Option<Box<Owner>>,
    },
    /// What two objects stand for would have the same name on the engine.
    #[error("{}", taken_text(key, other))]
    NameTaken {
        /// The object to be made.
        key: Box<ObjectKey>,
        /// The object that has the names.
        other: Box<ObjectKey>,
    },
    /// Networks or volumes that containers use. Removing them would take a network, or data, from
    /// containers that stay.
    #[error("{}", in_use_text(used))]
    InUse {
        /// Each of them, and the objects that use it.
        used: Vec<(ObjectKey, Vec<ObjectKey>)>,
    },
    /// Others changed the object again and again.
    #[error("`{key}` is being changed by somebody else")]
    Contended {
        /// The object.
        key: String,
    },
    /// The request is larger than the store takes.
    #[error("`{key}` is too large: {bytes} bytes, at most {limit} fit")]
    TooLarge {
        /// The object.
        key: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The revision is not kept any more.
    #[error("revision `{requested}` is not kept any more, the oldest kept is `{oldest}`")]
    Compacted {
        /// Revision asked for.
        requested: u64,
        /// Oldest revision that can be had.
        oldest: u64,
    },
    /// Something stored cannot be read.
    #[error("stored record `{key}` cannot be read")]
    Damaged {
        /// Key in the keyspace.
        key: String,
        /// The parser's finding.
        source: serde_json::Error,
    },
    /// Something stored does not open with this node's data key.
    #[error("stored record `{key}` cannot be opened")]
    Sealed {
        /// Key in the keyspace.
        key: String,
        /// Why.
        source: SealError,
    },
    /// The store does not take writes just now.
    #[error("the store of this node cannot do it now")]
    Unavailable {
        /// Why.
        source: smr_store::Error,
    },
    /// Too few nodes answer for a read that is not behind.
    #[error("a fresh read is not possible: too few nodes of the cluster answer")]
    NoFreshRead {
        /// Why.
        source: smr_store::Error,
    },
    /// Too few nodes answer to agree on a change. Nothing was changed.
    #[error("the change was not made: too few nodes of the cluster answer")]
    NoQuorum {
        /// Why.
        source: smr_store::Error,
    },
    /// No node leads. Nothing was changed.
    #[error("the change was not made: no node leads the cluster just now")]
    NoLeader {
        /// Why.
        source: smr_store::Error,
    },
    /// Nobody said in time whether the change was made.
    #[error("it is not known whether the change was made: no answer came in time")]
    OutcomeUnknown {
        /// Why.
        source: smr_store::Error,
    },
    /// The object was never changed since the cluster keeps track of rollouts.
    #[error("`{key}` has no rollout")]
    NoRollout {
        /// The object.
        key: ObjectKey,
    },
    /// A rollout cannot do this now.
    #[error("the rollout of `{key}` is `{}`: it cannot {action} now", state.as_str())]
    RolloutState {
        /// The object.
        key: ObjectKey,
        /// How far the rollout is.
        state: RolloutState,
        /// What was asked for.
        action: &'static str,
    },
    /// A definition that is not kept.
    #[error("{}", not_kept(key, *generation))]
    NoGeneration {
        /// The object.
        key: ObjectKey,
        /// What was asked for; 0 for the one before the present one.
        generation: u64,
        /// What is kept, oldest first.
        kept: Vec<u64>,
    },
    /// A definition the object has already.
    #[error("`{key}` is as it was at generation `{generation}`, nothing was changed")]
    SameDefinition {
        /// The object.
        key: ObjectKey,
        /// What was asked for.
        generation: u64,
    },
    /// About the cluster itself: members, tokens, certificates, settings.
    #[error(transparent)]
    Cluster(ClusterError),
    /// The store failed or refused what it should not have refused.
    #[error("the store of this node failed")]
    Store {
        /// Why.
        source: smr_store::Error,
    },
}

impl Error {
    /// A single mistake that belongs to no place in a file.
    pub(crate) fn invalid(
        key: &ObjectKey,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let message = format!("`{key}`: {}", message.into());
        let detail = ErrorDetail {
            path: path.into(),
            message,
            hint: Some(hint.into()),
            ..ErrorDetail::default()
        };
        Self::Invalid { details: vec![detail] }
    }

    /// What a failed wait for a fresh copy means to a read.
    pub(crate) fn fresh_read(source: smr_store::Error) -> Self {
        use smr_store::Error as E;
        match source {
            E::NoQuorum
            | E::NotLeader { .. }
            | E::NoLeader { .. }
            | E::Unknown { .. }
            | E::Unreachable { .. } => Self::NoFreshRead { source },
            other => other.into(),
        }
    }

    /// The code of the control API.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::Invalid,
            Self::NoDocuments | Self::Parameter { .. } => Code::BadRequest,
            Self::NoObject { .. }
            | Self::NoReplica { .. }
            | Self::NoRollout { .. }
            | Self::NoGeneration { .. } => Code::NotFound,
            Self::Owned { .. }
            | Self::NameTaken { .. }
            | Self::InUse { .. }
            | Self::RolloutState { .. }
            | Self::SameDefinition { .. }
            | Self::Contended { .. } => Code::Conflict,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Compacted { .. } => Code::Compacted,
            Self::Damaged { .. } | Self::Sealed { .. } | Self::Store { .. } => Code::Internal,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::NoFreshRead { .. } | Self::NoQuorum { .. } => Code::NoQuorum,
            Self::NoLeader { .. } => Code::NoLeader,
            Self::Cluster(error) => error.code(),
            Self::OutcomeUnknown { .. } => Code::OutcomeUnknown,
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        if let Self::Cluster(error) = self {
            return error.is_transient();
        }
        matches!(
            self,
            Self::Contended { .. }
                | Self::Unavailable { .. }
                | Self::NoFreshRead { .. }
                | Self::NoQuorum { .. }
                | Self::NoLeader { .. }
        )
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => None,
            Self::NoDocuments => {
                Some("send YAML or JSON documents with `kind`, `meta` and `spec`".into())
            }
            Self::Parameter { allowed, .. } => Some(format!("use {allowed}")),
            Self::NoObject { key } => {
                Some(format!("`smrctl list {}` shows what there is", key.kind))
            }
            Self::NoReplica { known, .. } if known.is_empty() => {
                Some("`smrctl ps` shows the replicas there are".into())
            }
            Self::NoReplica { group, known, .. } => {
                Some(format!("group `{group}` has {}", known.join(", ")))
            }
            Self::Owned { owner: Some(owner), .. } => {
                Some(format!("change it through its owner {}", owner_text(Some(owner))))
            }
            Self::Owned { owner: None, .. } => {
                Some("remove the object, so that its new owner can make it".into())
            }
            Self::NameTaken { key, .. } if key.kind == Kind::Network => {
                Some("choose another name; `networks` may name one of another group".into())
            }
            Self::NameTaken { .. } => Some("choose another group or name".into()),
            Self::InUse { .. } => Some(
                "remove those that use it in the same request, or before it; or take it out of \
                 their definitions"
                    .into(),
            ),
            Self::Contended { .. } => Some("look at it again and repeat the request".into()),
            Self::TooLarge { .. } => Some("put large files into an image or a volume".into()),
            Self::Compacted { .. } => Some("start again without `from`".into()),
            Self::Damaged { .. } => Some("restore a backup, or apply the object again".into()),
            Self::Sealed { .. } => {
                Some("restore the data key of this node together with its data".into())
            }
            Self::Unavailable { source } => Some(match source {
                smr_store::Error::DiskFull { .. } => "free space on the node's disk".into(),
                _ => "try again; `smr status` on the node says what it waits for".into(),
            }),
            Self::NoFreshRead { .. } => Some(
                "`?stale=true` (`smrctl --stale`) reads this node's copy, which may be behind; \
                 `smrctl cluster status --stale` shows which nodes answer"
                    .into(),
            ),
            Self::NoQuorum { .. } => Some(
                "more than half of the voters must answer: `smrctl cluster status --stale` shows \
                 which do; containers run on meanwhile"
                    .into(),
            ),
            Self::NoLeader { source: smr_store::Error::NoLeader { voters, .. } } => Some(format!(
                "more than half of the voters ({}) must run and reach each other; containers run on \
                 meanwhile",
                numbers(voters)
            )),
            Self::NoLeader { .. } => {
                Some("try again in a few seconds; the voters elect a leader by themselves".into())
            }
            Self::OutcomeUnknown { .. } => {
                Some("look at what is stored before repeating the request".into())
            }
            Self::NoRollout { .. } => Some("apply a change of its definition first".into()),
            Self::RolloutState { state, .. } if state.is_over() => {
                Some("nothing is under way; `undo` goes back to a former definition".into())
            }
            Self::RolloutState { key, .. } => {
                Some(format!("`smrctl rollout status {key}` shows how far it is"))
            }
            Self::NoGeneration { kept, .. } if kept.len() < 2 => {
                Some("it was not changed since it was made, or nothing older is kept".into())
            }
            Self::NoGeneration { kept, .. } => Some(format!("kept are {}", numbers(kept))),
            Self::SameDefinition { key, .. } => {
                Some(format!("`smrctl rollout history {key}` shows what changed when"))
            }
            Self::Cluster(error) => error.hint(),
            Self::Store { .. } => Some("the node's log says more".into()),
        }
    }
}

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

impl From<RotationError> for Error {
    fn from(error: RotationError) -> Self {
        Self::Cluster(error.into())
    }
}

impl From<JoinTokenError> for Error {
    fn from(error: JoinTokenError) -> Self {
        Self::Cluster(error.into())
    }
}

impl From<PkiError> for Error {
    fn from(error: PkiError) -> Self {
        Self::Cluster(error.into())
    }
}

impl From<smr_store::Error> for Error {
    fn from(source: smr_store::Error) -> Self {
        use smr_store::{Error as E, Refusal};
        match source {
            E::Compacted { requested, compacted } => {
                Self::Compacted { requested, oldest: compacted + 1 }
            }
            E::Refused(Refusal::TooLarge { bytes, limit }) => {
                Self::TooLarge { key: "the request".to_owned(), bytes, limit }
            }
            E::NoQuorum => Self::NoQuorum { source },
            E::NotLeader { .. } | E::NoLeader { .. } => Self::NoLeader { source },
            E::Unknown { .. } => Self::OutcomeUnknown { source },
            E::DiskFull { .. } | E::Stopped | E::Unreachable { .. } => Self::Unavailable { source },
            _ => Self::Store { source },
        }
    }
}

impl From<&Error> for ApiError {
    fn from(error: &Error) -> Self {
        let details = match error {
            Error::Invalid { details } => details.clone(),
            _ => Vec::new(),
        };
        Self { code: error.code(), message: error.to_string(), hint: error.hint(), details }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

fn invalid_message(details: &[ErrorDetail]) -> String {
    let mistakes: Vec<&ErrorDetail> =
        details.iter().filter(|detail| !detail.message.starts_with(WARNING)).collect();
    match mistakes.as_slice() {
        [] => "the request is invalid".to_owned(),
        [only] => one_line(only),
        [first, ..] => format!("{} mistakes, the first: {}", mistakes.len(), one_line(first)),
    }
}

fn one_line(detail: &ErrorDetail) -> String {
    let mut text = String::new();
    if !detail.file.is_empty() {
        text.push_str(&detail.file);
        if detail.line > 0 {
            text.push_str(&format!(":{}:{}", detail.line, detail.column));
        }
        text.push_str(": ");
    }
    if !detail.path.is_empty() {
        text.push_str(&format!("{}: ", detail.path));
    }
    text.push_str(&detail.message);
    text
}

fn taken_text(key: &ObjectKey, other: &ObjectKey) -> String {
    match key.kind {
        Kind::Network | Kind::Volume => {
            format!("`{key}` would be the same {} of the engine as `{other}`", key.kind)
        }
        _ => format!("containers of `{key}` would have the names of the containers of `{other}`"),
    }
}

fn in_use_text(used: &[(ObjectKey, Vec<ObjectKey>)]) -> String {
    let one = |(key, users): &(ObjectKey, Vec<ObjectKey>)| {
        let users: Vec<String> = users.iter().map(|user| format!("`{user}`")).collect();
        format!("`{key}` is used by {}", users.join(", "))
    };
    used.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn not_kept(key: &ObjectKey, generation: u64) -> String {
    match generation {
        0 => format!("`{key}` has no generation before the present one"),
        generation => format!("generation `{generation}` of `{key}` is not kept"),
    }
}

fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn owner_text(owner: Option<&Owner>) -> String {
    owner.map_or_else(
        || "nobody".to_owned(),
        |owner| format!("`{}/{}/{}`", owner.kind, owner.group, owner.name),
    )
}
