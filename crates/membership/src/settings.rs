//! The numbers verdicts and votes rest on.

use std::time::Duration;

/// The numbers verdicts and votes rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Silence after which a node may be called down.
    pub down_after: Duration,
    /// Pings in a row that must succeed before a node that is down is called ready again.
    pub ready_pings: u32,
    /// How many other nodes are asked whether they reach a silent node.
    pub probes: usize,
    /// Most voters; an even number counts as the odd one below it.
    pub voters: usize,
    /// How long a voter must be down before another node gets its vote.
    pub replace_dead_voter_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            down_after: Duration::from_secs(5),
            ready_pings: 3,
            probes: 2,
            voters: 5,
            replace_dead_voter_after: Duration::from_secs(300),
        }
    }
}
