//! What is known of one `containers` object and its replicas.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use smr_control::StoredObject;
use smr_model::{
    Assignment, Definition, ReplicaState, ReplicaStatus, Rollout, Spec,
    spec::{ContainersSpec, Probe, Strategy, UpdatePolicy},
};
use smr_reconcile::RolloutSeen;
use smr_scheduler::{Request, Workload};
use smr_store::Revision;

use crate::nodes::Nodes;

/// How long a readiness check is tried, if the definition does not say.
const READINESS: Duration = Duration::from_secs(30);

/// One object, also when only traces of it are left.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// What is wanted.
    pub(super) wanted: Wanted,
    /// Assignments by index, with their revisions.
    pub(super) assignments: BTreeMap<u32, (Assignment, Revision)>,
    /// The rollout with its revision.
    pub(super) rollout: Option<(Rollout, Revision)>,
    /// Statuses by index and node.
    pub(super) statuses: BTreeMap<u32, BTreeMap<u64, Seen>>,
    /// Former generations that were looked up; `None` for those that are not kept.
    pub(super) former: BTreeMap<u64, Option<Former>>,
    /// What was written last, so that it is known when it comes back.
    pub(super) written: BTreeMap<u32, Option<Assignment>>,
    pub(super) written_rollout: Option<Rollout>,
    /// Whether statuses matter to it, because a change is on its way.
    pub(super) is_rolling: bool,
}

/// What is wanted of an object.
#[derive(Debug, Default)]
pub(super) enum Wanted {
    /// It does not exist.
    #[default]
    Nothing,
    /// It exists and cannot be read: everything stays as it is.
    Unreadable,
    /// This.
    Is(Box<Current>),
}

/// The current definition, as far as it matters here.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) definition: Definition,
    pub(super) uid: String,
    pub(super) generation: u64,
    pub(super) revision: Revision,
    pub(super) home: u64,
    pub(super) policy: UpdatePolicy,
    /// How long its readiness checks may take.
    pub(super) readiness: Duration,
    /// Highest index; `None` where indexes are ids of nodes.
    replicas: Option<u32>,
    /// Whether data of a replica keep it where they are.
    pub(super) is_pinned: bool,
}

/// What matters of a former definition.
#[derive(Debug, Clone)]
pub(super) struct Former {
    pub(super) request: Request,
    /// Whether it differs from the current one in the number of replicas at most.
    pub(super) is_same: bool,
}

/// What matters of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rollout: RolloutSeen,
    pub(super) has_container: bool,
}

impl Object {
    /// Whether nothing is left of it.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.wanted, Wanted::Nothing)
            && self.assignments.is_empty()
            && self.rollout.is_none()
            && self.statuses.is_empty()
    }

    /// The current definition.
    pub(super) fn current(&self) -> Option<&Current> {
        match &self.wanted {
            Wanted::Is(current) => Some(current),
            Wanted::Nothing | Wanted::Unreadable => None,
        }
    }

    /// Generations that are assigned, or that the rollout is about, other than the current one.
    pub(super) fn former_generations(&self) -> Vec<u64> {
        let Some(current) = self.current() else { return Vec::new() };
        let assigned = self.assignments.values().map(|(it, _)| it);
        let assigned = assigned.filter(|it| it.uid == current.uid).map(|it| it.generation);
        let rollout = self.rollout.iter().flat_map(|(it, _)| [it.from, it.to]);
        let mut all: Vec<u64> =
            assigned.chain(rollout).filter(|it| *it != current.generation).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The node that has a container of a replica, the one it is assigned to first.
    pub(super) fn data_on(&self, index: u32) -> Option<u64> {
        let statuses = self.statuses.get(&index)?;
        let assigned = self.assignments.get(&index).and_then(|(it, _)| it.node);
        let has = |id: &u64| statuses.get(id).is_some_and(|seen| seen.has_container);
        assigned.filter(has).or_else(|| statuses.keys().copied().find(has))
    }

    /// Whether a replica ran to its end on a node, by the definition of this generation.
    pub(super) fn is_done(&self, index: u32, node: u64, generation: u64) -> bool {
        let seen = self.statuses.get(&index).and_then(|statuses| statuses.get(&node));
        seen.is_some_and(|seen| seen.is_done() && seen.rollout.generation == generation)
    }
}

impl Current {
    pub(super) fn new(object: StoredObject) -> Option<Self> {
        let Spec::Containers(spec, _) = &object.definition.spec else { return None };
        let timeout = |probe: &Probe| probe.timeout.map_or(READINESS, |timeout| timeout.0);
        let strategy = spec.placement.as_ref().and_then(|it| it.strategy);
        let is_global = spec.spread.is_none() && strategy == Some(Strategy::Global);
        let is_pinned = Self::build(&object.definition, object.home, spec).is_pinned();
        Some(Self {
            policy: spec.update.clone().unwrap_or_default(),
            readiness: spec.readiness.iter().map(timeout).sum(),
            replicas: (!is_global).then(|| spec.replica_count()),
            is_pinned,
            uid: object.uid,
            generation: object.generation,
            revision: object.revision,
            home: object.home,
            definition: object.definition,
        })
    }

    /// Whether a replica of this index is wanted, as far as the count says.
    pub(super) fn wants(&self, index: u32) -> bool {
        self.replicas.is_none_or(|replicas| index <= replicas)
    }

    /// Indexes of replicas there may be.
    pub(super) fn indexes(&self, nodes: &Nodes) -> Vec<u32> {
        match self.replicas {
            Some(replicas) => (1..=replicas).collect(),
            None => nodes.members.keys().filter_map(|id| u32::try_from(*id).ok()).collect(),
        }
    }

    /// The object for the scheduler, without replicas.
    pub(super) fn workload(&self, first: u64) -> Option<Workload> {
        let Spec::Containers(spec, _) = &self.definition.spec else { return None };
        let home = if self.home == 0 { first } else { self.home };
        Some(Self::build(&self.definition, home, spec))
    }

    fn build(definition: &Definition, home: u64, spec: &ContainersSpec) -> Workload {
        let meta = &definition.meta;
        Workload::new(&meta.group, &meta.name, &meta.labels, home, spec)
    }
}

impl Seen {
    /// What matters of a status. `arrived` is when the leader saw it change: clocks of nodes differ.
    /// One that was there already counts from what it says itself, but not from the future.
    pub(super) fn new(
        status: &ReplicaStatus,
        before: Option<&Self>,
        arrived: Option<Timestamp>,
    ) -> Self {
        let state = stable(status.state);
        let like_before = before.filter(|it| {
            let it = &it.rollout;
            it.state == state && it.ready == status.ready && it.generation == status.generation
        });
        let since = match (like_before, arrived) {
            (Some(before), _) => before.rollout.since,
            (None, Some(arrived)) => arrived,
            (None, None) => status.since.min(Timestamp::now()),
        };
        let rollout =
            RolloutSeen { generation: status.generation, state, since, ready: status.ready };
        Self { rollout, has_container: status.engine_state.is_some() }
    }

    /// Whether it ended for good.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.rollout.state, ReplicaState::Completed | ReplicaState::Failed)
    }
}

/// Two states that mean the same here.
fn stable(state: ReplicaState) -> ReplicaState {
    match state {
        ReplicaState::ReadinessReady => ReplicaState::Running,
        other => other,
    }
}
