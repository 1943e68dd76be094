//! The cluster: its members, joining it, join tokens, settings.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::{Health, Member, NodeRole};

use crate::{RaftRole, Secret};

/// Who is in the cluster and who leads, as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Id of the cluster; empty for a node that never made one.
    pub id: String,
    /// The node that answers.
    pub node: u64,
    /// Id of the leader; `None` while there is none, or this node does not know it.
    pub leader: Option<u64>,
    /// Raft term.
    pub term: u64,
    /// Ids of members with a vote.
    pub voters: Vec<u64>,
    /// Ids of members with a copy and no vote.
    pub learners: Vec<u64>,
    /// How many voters have to agree.
    pub quorum: usize,
    /// Current revision of the answering node's copy.
    pub revision: u64,
    /// Every member, in order of id.
    pub members: Vec<MemberInfo>,
    /// Settings in force.
    pub settings: ClusterSettings,
}

/// A member in [`ClusterStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberInfo {
    /// Its record.
    #[serde(flatten)]
    pub member: Member,
    /// What it has in consensus; `None` while it is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft: Option<RaftRole>,
    /// Whether it leads.
    #[serde(default)]
    pub leader: bool,
    /// The leader's verdict; `None` until there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Log entries it lacks, as the leader counts them; `None` where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
}

/// Whom the lead goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransferRequest {
    /// Id or name of a voter; the most up to date one unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A node that wants to become a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JoinRequest {
    /// Name it wants; `node-<id>` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Signing request for the key it made, PEM. The same key joining again is the same node.
    pub request: String,
    /// DNS names it is reached at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Addresses it is reached at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Where other nodes reach it: `host:9212`.
    pub peer: String,
    /// Where its control API is reached: `https://host:1443`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api: String,
    /// What it wants to be; what its token is for, or a voter, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<NodeRole>,
    /// Its version of smr.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// What a new member needs. Holds the data key of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinResponse {
    /// Id of the new member.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Id of the cluster.
    pub cluster: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The authorities it has to trust, PEM, the one that signed first.
    pub authorities: String,
    /// The data key of the cluster, base64.
    pub data_key: Secret,
    /// Every member, itself included.
    pub members: Vec<Member>,
}

/// A join token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TokenCreate {
    /// What nodes that join with it become.
    pub role: NodeRole,
    /// How many nodes may join with it, 1 to 1000.
    pub uses: u32,
    /// How long it is valid, seconds: a minute to 30 days.
    pub ttl_seconds: u64,
    /// What it is for, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where the joining node reaches the control API, `https://host:1443`; the API addresses of
    /// ready members unless given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
}

impl Default for TokenCreate {
    /// One voter within an hour.
    fn default() -> Self {
        Self {
            role: NodeRole::Voter,
            uses: 1,
            ttl_seconds: 3600,
            description: String::new(),
            endpoints: Vec::new(),
        }
    }
}

/// Whether a token lets a node in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It does.
    Valid,
    /// Its time is over.
    Expired,
    /// As many nodes joined with it as may.
    UsedUp,
}

impl TokenState {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::UsedUp => "used up",
        }
    }
}

/// A join token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenInfo {
    /// Id, by which it is deleted.
    pub id: String,
    /// Whether it lets a node in.
    pub state: TokenState,
    /// What nodes that join with it become.
    pub role: NodeRole,
    /// How many nodes may join with it.
    pub uses: u32,
    /// Ids of the nodes that did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<u64>,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// When it ends.
    #[schemars(with = "String")]
    pub expires: Timestamp,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Join tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenList {
    /// Oldest first.
    pub items: Vec<TokenInfo>,
}

/// A new join token, the only time its secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreated {
    /// What is known of it later.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The token: one line of text.
    pub token: Secret,
}

/// Whether replicas move when nodes come or get emptier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rebalance {
    /// Replicas stay where they fit.
    #[default]
    Off,
    /// Once, when a node joins or comes back.
    OnJoin,
    /// All the time.
    Continuous,
}

impl Rebalance {
    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::OnJoin => "on-join",
            Self::Continuous => "continuous",
        }
    }
}

/// Settings of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSettings {
    /// How many members get a vote, as far as there are so many: odd, 1 to 9.
    pub voters: u32,
    /// Whether replicas move when nodes come or get emptier.
    pub rebalance: Rebalance,
    /// Most moves per minute for it, 1 to 1000.
    pub moves_per_minute: u32,
    /// Silence after which a node is down, milliseconds, instead of the `cluster.down_after` of
    /// the leader's configuration: 1000 to 600000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_after_millis: Option<u64>,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self { voters: 5, rebalance: Rebalance::Off, moves_per_minute: 10, down_after_millis: None }
    }
}

/// A change to the settings; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ClusterSettingsPatch {
    /// See [`ClusterSettings::voters`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voters: Option<u32>,
    /// See [`ClusterSettings::rebalance`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
    /// See [`ClusterSettings::moves_per_minute`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moves_per_minute: Option<u32>,
    /// See [`ClusterSettings::down_after_millis`]; 0 takes the override away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_after_millis: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_has_its_default() {
        let settings: ClusterSettings = serde_json::from_str("{}").unwrap();
        assert_eq!(settings, ClusterSettings::default());
        let token: TokenCreate = serde_json::from_str(r#"{"role":"worker"}"#).unwrap();
        assert_eq!((token.uses, token.ttl_seconds), (1, 3600));
        assert!(serde_json::from_str::<TokenCreate>(r#"{"rolle":"worker"}"#).is_err());
        assert_eq!(serde_json::to_string(&Rebalance::OnJoin).unwrap(), "\"on-join\"");
    }
}
