//! What the engine reports about one container of ours.

use jiff::Timestamp;
use smr_model::EngineState;

/// One container, as far as planning needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Container id.
    pub id: String,
    /// State.
    pub state: EngineState,
    /// Exit code of the last run.
    pub exit_code: Option<i64>,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// Start of the last run.
    pub started_at: Option<Timestamp>,
    /// End of the last run.
    pub finished_at: Option<Timestamp>,
    /// Digest of the specification it was made from.
    pub spec_hash: String,
}

impl Seen {
    /// Whether the main process has ended.
    pub fn ended(&self) -> bool {
        matches!(self.state, EngineState::Exited | EngineState::Dead)
    }

    /// Whether the main process exists.
    pub fn runs(&self) -> bool {
        matches!(self.state, EngineState::Running | EngineState::Paused | EngineState::Restarting)
    }
}
