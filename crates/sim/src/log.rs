//! Entries of the log, and what nodes send one another.

use std::rc::Rc;

use smr_state::{Command, CommandResult};

use crate::{disk::Config, replica::Snapshot};

/// Who proposed an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The node.
    pub(crate) node: u64,
    /// Its number of the request.
    pub(crate) request: u64,
    /// The term a leader's controller decided in; `None` for requests anybody may make.
    pub(crate) term: Option<u64>,
}

/// What an entry does.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// The first entry of a leader.
    Noop,
    Command(Command),
    Config(Config),
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) payload: Payload,
    pub(crate) origin: Option<Origin>,
}

/// What a node asks the leader for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Propose(Command, Option<u64>),
    /// The index up to which everything is committed.
    ReadIndex,
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Done {
        index: u64,
        result: CommandResult,
    },
    ReadAt(u64),
    /// Certainly not done.
    Refused(&'static str),
    /// Perhaps done.
    Unknown,
}

/// What nodes send one another.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    PreVote {
        term: u64,
        last: (u64, u64),
    },
    PreVoted {
        term: u64,
        granted: bool,
    },
    Vote {
        term: u64,
        last: (u64, u64),
        by_transfer: bool,
    },
    Voted {
        term: u64,
        granted: bool,
    },
    Append {
        term: u64,
        before: (u64, u64),
        entries: Vec<Rc<Entry>>,
        commit: u64,
        round: u64,
    },
    Appended {
        term: u64,
        matched: Option<u64>,
        hint: u64,
        round: u64,
    },
    Install {
        term: u64,
        snapshot: Rc<Snapshot>,
        round: u64,
    },
    /// Lead: I am about to stop.
    Transfer {
        term: u64,
    },
    Ask {
        request: u64,
        ask: Ask,
    },
    Answer {
        request: u64,
        answer: Answer,
    },
    Ping {
        number: u64,
    },
    Pong {
        number: u64,
    },
    Probe {
        target: u64,
    },
    Testimony {
        target: u64,
        reached: bool,
    },
    /// You were removed.
    Gone,
}

impl Message {
    /// Whether it goes over a stream, which delivers once.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self, Self::Ask { .. } | Self::Answer { .. })
    }
}
