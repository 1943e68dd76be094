//! How often things are looked at.

use std::time::Duration;

/// How often things are looked at, and how long is waited. What the settings of the cluster say
/// (number of voters, silence before a verdict) wins over [`Settings::membership`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What verdicts and votes rest on.
    pub membership: smr_membership::Settings,
    /// Time between two pings of a node.
    pub ping_every: Duration,
    /// How long a ping may take.
    pub ping_timeout: Duration,
    /// How long a second node may take to say whether it reaches a silent one.
    pub probe_timeout: Duration,
    /// How long changes are gathered before replicas are placed.
    pub debounce: Duration,
    /// Time between two looks at the voters.
    pub voters_every: Duration,
    /// Time between two searches for what nobody needs any more.
    pub clean_every: Duration,
    /// How long after its change a replica may take to become ready, on top of its readiness checks.
    pub ready_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            membership: smr_membership::Settings::default(),
            ping_every: Duration::from_secs(1),
            ping_timeout: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(2),
            debounce: Duration::from_millis(10),
            voters_every: Duration::from_secs(2),
            clean_every: Duration::from_secs(300),
            ready_within: Duration::from_secs(300),
        }
    }
}
