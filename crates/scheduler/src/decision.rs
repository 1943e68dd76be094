//! What comes out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{Reason, ReplicaKey};

/// Where a replica goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs on this node.
    Node(u64),
    /// It stays on this node although that is down, drained or no longer fits, because it may not
    /// leave, may not leave yet, or fits nowhere else.
    Waiting {
        /// The node.
        node: u64,
        /// What is being waited for.
        reason: Reason,
    },
    /// No node is fit.
    Pending(Reason),
}

impl Decision {
    /// The node, if there is one.
    pub fn node(&self) -> Option<u64> {
        match self {
            Self::Node(node) | Self::Waiting { node, .. } => Some(*node),
            Self::Pending(_) => None,
        }
    }

    /// Why it is not simply running.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Node(_) => None,
            Self::Waiting { reason, .. } | Self::Pending(reason) => Some(reason),
        }
    }
}

/// Where every replica goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// By replica.
    pub decisions: BTreeMap<ReplicaKey, Decision>,
    /// When a grace period ends, so that the answer may become another one without any change.
    pub recheck: Option<Timestamp>,
}

/// A decision that is not the one from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The replica.
    pub key: ReplicaKey,
    /// Where it goes; `None` when it is not wanted any more.
    pub decision: Option<Decision>,
}

/// A replica that goes to another node to even out the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The replica.
    pub key: ReplicaKey,
    /// Where it is.
    pub from: u64,
    /// Where it goes.
    pub to: u64,
}
