//! What must hold, by name.

use std::fmt;

/// Something that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// A term has one leader.
    OneLeader,
    /// Who leads has every committed entry.
    LeaderHasAll,
    /// A deposed leader commits nothing.
    DeposedCommitsNothing,
    /// An entry once committed stays what it is.
    CommittedStays,
    /// An acknowledged write is a committed entry.
    AcknowledgedStays,
    /// Copies are the same at the same index.
    CopiesAgree,
    /// Assignments are written by the leader of the term alone.
    LeaderAssigns,
    /// Nothing new is assigned to a node that takes nothing.
    FitNodesOnly,
    /// Where the old has to stop first nothing is made while another node is known to run it.
    StopFirst,
    /// Containers carry the label of the node they are on.
    OwnLabels,
    /// Containers of others are left alone.
    OthersAreLeftAlone,
    /// In the end every member runs and has everything.
    ClusterIsWhole,
    /// In the end every rollout is over, or rests with a reason.
    RolloutsEnd,
    /// In the end every replica that is wanted is assigned and runs once, as its status says.
    WantedRuns,
    /// In the end nothing else is assigned, runs, or is said to.
    NothingElseRuns,
    /// What users read and wrote has an order.
    UsersSeeOneOrder,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What should.
    pub check: Check,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.what)
    }
}
