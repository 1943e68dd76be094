//! An object with its replicas, as the scheduler sees it.

use std::{collections::BTreeMap, sync::Arc};

use smr_model::spec::ContainersSpec;

use crate::rules::{Request, Rules};

/// A `containers` object and where its replicas are.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Group of the object.
    pub group: String,
    /// Name of the object.
    pub name: String,
    /// Its labels, for affinities of others.
    pub labels: BTreeMap<String, String>,
    /// The node that received the apply.
    pub home: u64,
    /// Its replicas that have an assignment already, in any order. Missing ones are new.
    pub replicas: Vec<Replica>,
    pub(crate) rules: Arc<Rules>,
}

/// A replica that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replica {
    /// Index, from 1. With the strategy `global` it is the id of the node.
    pub index: u32,
    /// Where it is assigned to.
    pub node: Option<u64>,
    /// Whether it was assigned under another definition than the current one (its assignment has
    /// another generation) and now takes the current one. Its node is chosen again then; it stays
    /// if that fits, and is where `spread` says.
    pub changed: bool,
    /// What it holds under its old definition, while the rollout has not stepped it. It stays where
    /// it is then, unless its node is lost or drained.
    pub held: Option<Box<Request>>,
    /// The node that has, or had, a container of it, if it wrote to volumes there. Counts only where
    /// volumes pin ([`Workload::is_pinned`]).
    pub data_on: Option<u64>,
    /// Whether it ran to its end where it is, and is not to run again: that its node goes down, or that
    /// another one is emptier, is no reason to run it elsewhere.
    pub done: bool,
}

impl Workload {
    /// An object without replicas. `labels` are those of `meta`; those of the definition are added.
    pub fn new(
        group: impl Into<String>,
        name: impl Into<String>,
        labels: &BTreeMap<String, String>,
        home: u64,
        spec: &ContainersSpec,
    ) -> Self {
        let mut all = labels.clone();
        all.extend(spec.labels.clone());
        Self {
            group: group.into(),
            name: name.into(),
            labels: all,
            home,
            replicas: Vec::new(),
            rules: Arc::new(Rules::of(spec)),
        }
    }

    /// The same with replicas.
    pub fn with_replicas(mut self, replicas: Vec<Replica>) -> Self {
        self.replicas = replicas;
        self
    }

    /// Whether its volumes keep a replica on the node that has them.
    pub fn is_pinned(&self) -> bool {
        self.rules.pinned
    }
}
