//! Why a replica is where it is, node by node.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smr_model::Reason;

/// Why a replica is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The replica, `containers/shop/shop-web-1`.
    pub replica: String,
    /// What decides, in words: `strategy binpack`, `spread uniform, chunk of node 2`.
    pub rule: String,
    /// The node it is on or goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Why it is pending or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Every node, the best first, then those that refuse it by id.
    pub nodes: Vec<NodeVerdict>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeVerdict {
    /// Id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Whether the replica is on it or goes to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
    /// Filters that refuse it; it fits when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What it is ranked by when it fits: `1 preference broken, 2 of its replicas, 40 % reserved`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub score: String,
}

/// One filter that refuses a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// `health`, `engine`, `availability`, `spread`, `constraint`, `platform`, `volume`, `affinity`,
    /// `maxPerNode`, `port`, `cpu` or `memory`.
    pub filter: String,
    /// With the numbers: `lacks memory (need 10GiB, free 2GiB)`.
    pub message: String,
}

impl fmt::Display for Explanation {
    /// One line for the replica, one for each node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.replica, self.rule)?;
        if let Some(reason) = &self.reason {
            write!(f, "; {}", reason.message)?;
        }
        for node in &self.nodes {
            let mark = if node.chosen { '*' } else { ' ' };
            write!(f, "\n{mark} {} ({}): ", node.name, node.id)?;
            if node.refused.is_empty() {
                write!(f, "fits: {}", node.score)?;
            } else {
                let why: Vec<&str> = node.refused.iter().map(|it| it.message.as_str()).collect();
                f.write_str(&why.join("; "))?;
            }
        }
        Ok(())
    }
}
