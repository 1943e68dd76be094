//! From the engine's words to the planner's.

use smr_engine::{Container, Error, ErrorClass};
use smr_reconcile::{Problem, ProblemKind, Seen};

/// What planning needs of a container; its labels are ours, so they are there.
pub(crate) fn seen(container: &Container) -> Seen {
    Seen {
        id: container.id.clone(),
        state: container.state,
        exit_code: container.exit_code,
        oom_killed: container.oom_killed,
        started_at: container.started_at,
        finished_at: container.finished_at,
        spec_hash: container.ownership.as_ref().map(|o| o.spec_hash.clone()).unwrap_or_default(),
    }
}

/// What planning needs of an error. The whole chain is in the message: it goes into a status.
pub(crate) fn problem(error: &Error) -> Problem {
    let (kind, code) = match error.class() {
        ErrorClass::Unavailable => (ProblemKind::Unavailable, "EngineUnavailable"),
        ErrorClass::NotFound => (ProblemKind::NotFound, "NotFound"),
        ErrorClass::Conflict => (ProblemKind::Refused, "Conflict"),
        ErrorClass::ImageMissing => (ProblemKind::ImageMissing, "ImageMissing"),
        ErrorClass::PullFailed => (ProblemKind::PullFailed, "ImagePullFailed"),
        ErrorClass::Refused => (ProblemKind::Refused, "EngineRefused"),
        ErrorClass::NotOurs => (ProblemKind::Refused, "NotOurs"),
        ErrorClass::Other => (ProblemKind::Refused, "EngineFailed"),
    };
    Problem { kind, code: code.to_owned(), message: chain(error) }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text.replace('\n', " ")
}
