//! Whose container it is: written into labels at creation, read back by everything that stops or
//! removes (what we did not create we never remove).

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::ReplicaKey;

/// Label and value that mark everything smr makes.
pub(crate) const MANAGED: (&str, &str) = ("managed", "smr");
/// Label with the cluster's id.
pub(crate) const CLUSTER: &str = "smr.cluster";
/// Label with the node's id.
pub(crate) const NODE: &str = "smr.node";
const GROUP: &str = "smr.group";
const NAME: &str = "smr.name";
const INDEX: &str = "smr.index";
const ROLE: &str = "smr.role";
const SPEC: &str = "smr.spec";
const GENERATION: &str = "smr.generation";

/// What a container is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Runs the replica.
    #[default]
    Main,
    /// Runs once before it.
    Init,
}

impl Role {
    /// The text form used in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Init => "init",
        }
    }
}

/// The node an engine works for. Only what carries both is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the node, as text: it stays when a node gets another name.
    pub node: String,
}

impl Owner {
    /// Whether labels say that this node of this cluster made it.
    pub fn owns(&self, labels: &BTreeMap<String, String>) -> bool {
        let is = |key: &str, value: &str| labels.get(key).is_some_and(|have| have == value);
        is(MANAGED.0, MANAGED.1) && is(CLUSTER, &self.cluster) && is(NODE, &self.node)
    }

    /// The labels everything of this node carries.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let pairs =
            [(MANAGED.0, MANAGED.1), (CLUSTER, self.cluster.as_str()), (NODE, self.node.as_str())];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

/// Which replica a container belongs to, and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Id of the cluster.
    pub cluster: String,
    /// Name of the node.
    pub node: String,
    /// The replica.
    pub replica: ReplicaKey,
    /// Main or init container.
    pub role: Role,
    /// Keyed digest of the rendered specification.
    pub spec_hash: String,
    /// Generation of the object it was made from.
    pub generation: u64,
}

impl Ownership {
    /// The cluster and node of it.
    pub fn owner(&self) -> Owner {
        Owner { cluster: self.cluster.clone(), node: self.node.clone() }
    }

    /// The labels that say all this, with those scripts know (`group`, `name`, `created`).
    pub fn labels(&self, created: Timestamp) -> BTreeMap<String, String> {
        let mut labels = self.owner().labels();
        let own = [
            ("group", self.replica.group.clone()),
            ("name", self.replica.generated_name()),
            ("created", created.as_second().to_string()),
            (GROUP, self.replica.group.clone()),
            (NAME, self.replica.name.clone()),
            (INDEX, self.replica.index.to_string()),
            (ROLE, self.role.as_str().to_owned()),
            (SPEC, self.spec_hash.clone()),
            (GENERATION, self.generation.to_string()),
        ];
        labels.extend(own.map(|(key, value)| (key.to_owned(), value)));
        labels
    }

    /// Reads the labels back; `None` when they are not (all) there.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Option<Self> {
        if labels.get(MANAGED.0).map(String::as_str) != Some(MANAGED.1) {
            return None;
        }
        let text = |key: &str| labels.get(key).cloned();
        Some(Self {
            cluster: text(CLUSTER)?,
            node: text(NODE)?,
            replica: ReplicaKey::new(text(GROUP)?, text(NAME)?, text(INDEX)?.parse().ok()?),
            role: match text(ROLE)?.as_str() {
                "main" => Role::Main,
                "init" => Role::Init,
                _ => return None,
            },
            spec_hash: text(SPEC)?,
            generation: text(GENERATION)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership() -> Ownership {
        Ownership {
            cluster: "c1".into(),
            node: "n1".into(),
            replica: ReplicaKey::new("my-shop", "web-front", 12),
            role: Role::Init,
            spec_hash: "abc".into(),
            generation: 7,
        }
    }

    #[test]
    fn labels_read_back_what_was_written_even_with_dashes_in_names() {
        let own = ownership();
        let labels = own.labels(Timestamp::UNIX_EPOCH);
        assert_eq!(Ownership::from_labels(&labels), Some(own.clone()));
        assert_eq!(labels["name"], "my-shop-web-front-12");
        assert!(own.owner().owns(&labels));
    }

    #[test]
    fn another_node_or_cluster_or_an_unmarked_container_is_not_ours() {
        let own = ownership();
        for key in [MANAGED.0, CLUSTER, NODE] {
            let mut labels = own.labels(Timestamp::UNIX_EPOCH);
            labels.insert(key.into(), "other".into());
            assert!(!own.owner().owns(&labels), "{key}");
            labels.remove(key);
            assert!(!own.owner().owns(&labels), "{key}");
        }
    }
}
