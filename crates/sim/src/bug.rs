//! Deliberate mistakes, to see that the simulator finds them.

/// A mistake in a driver, or in what a real function is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Votes and entries are acknowledged before they are on the disk.
    SkipSync,
    /// The leader decides on nodes as they were when its term began.
    StaleView,
    /// Controllers of a leader go on after its term, and their writes are passed on to the next one.
    NoFence,
    /// An agent goes on with a replica that is assigned to another node.
    IgnoreMove,
    /// An agent misses some changes of assignments and never reads anew.
    LostWatch,
    /// What comes from another node is started before that one let go of it.
    NoWait,
    /// An agent takes every container with a name like ours for its own.
    ForgetOwnership,
    /// A read is answered by whoever believes to lead.
    ReadWithoutQuorum,
    /// Followers take entries without looking whether theirs fit before them.
    NoLogMatching,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SkipSync,
        Self::StaleView,
        Self::NoFence,
        Self::IgnoreMove,
        Self::LostWatch,
        Self::NoWait,
        Self::ForgetOwnership,
        Self::ReadWithoutQuorum,
        Self::NoLogMatching,
    ];
}
