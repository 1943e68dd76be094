//! Placement without doing it: what the scheduler sees, why replicas are where they are, and where
//! documents would go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_model::{
    Assignment, Definition, Kind, Member, NodeHealth, NodeRole, NodeSettings, NodeStatus,
    ObjectKey, ReplicaKey, ReplicaState, Rollout, Spec, spec::ContainersSpec,
};
use smr_scheduler::{Cluster, Decision, Node, Replica, Request, Workload};
use smr_state::{RangeQuery, Revision};
use smr_wire::{
    ApplyAction, ApplyResult, FilterRefusal, NodeVerdict, PlacedReplica, PlacementExplanation,
    PlacementPlan, PlanAction, PlannedReplica,
};

use crate::{
    Actor, Assignments, Control, Error, StoredObject, control::now, documents::Documents, keyspace,
    propose::Home, replicas::natural,
};

/// Replica, node, generation.
type Ends = BTreeSet<(ReplicaKey, u64, u64)>;

/// What placement is decided on, as of one revision.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// Revision of the keyspace this was read at.
    pub revision: Revision,
    /// What the scheduler takes.
    pub cluster: Cluster,
    /// The `containers` objects behind the workloads.
    pub objects: BTreeMap<ObjectKey, StoredObject>,
    /// Where replicas are assigned to.
    pub assignments: Assignments,
    /// Names of nodes.
    pub names: BTreeMap<u64, String>,
}

impl ClusterView {
    fn name(&self, node: Option<u64>) -> String {
        let Some(id) = node else { return String::new() };
        self.names.get(&id).cloned().unwrap_or_else(|| format!("node-{id}"))
    }
}

impl Control {
    /// Everything placement depends on, from the local copy. Objects that cannot be read are left out.
    pub async fn cluster_view(&self, now: Timestamp) -> Result<ClusterView, Error> {
        let revision = self.revision();
        let nodes = self.scheduler_nodes()?;
        let first = nodes.iter().map(|node| node.id).min().unwrap_or_else(|| self.node_id());
        let loaded = self.objects().await?.objects;
        let objects: BTreeMap<ObjectKey, StoredObject> = loaded
            .into_iter()
            .map(|object| (object.key(), object))
            .filter(|(key, _)| *key == ObjectKey::new(Kind::Containers, &key.group, &key.name))
            .collect();
        let (_, assignments) = self.assignments().await?;
        let (_, rollouts) = self.rollouts().await?;
        let (data, done) = self.data_nodes().await?;
        let mut workloads = Vec::with_capacity(objects.len());
        for (key, object) in &objects {
            let rollout = rollouts.get(&(key.group.clone(), key.name.clone()));
            let mut replicas = Vec::new();
            for (replica, (assignment, _)) in of_object(&assignments, key) {
                let rollout = rollout.map(|(rollout, _)| rollout);
                let held = self.held(object, assignment, rollout).await?;
                replicas.push(Replica {
                    index: replica.index,
                    node: assignment.node,
                    changed: held.is_none() && !is_of(assignment, object),
                    held: held.map(Box::new),
                    data_on: data.get(replica).copied(),
                    done: assignment.node.is_some_and(|node| {
                        done.contains(&(replica.clone(), node, assignment.generation))
                    }),
                });
            }
            let home = if object.home == 0 { first } else { object.home };
            workloads.extend(workload(&object.definition, home, replicas));
        }
        let names = self.node_names()?;
        let cluster = Cluster { now, nodes, workloads };
        Ok(ClusterView { revision, cluster, objects, assignments, names })
    }

    /// Why the replicas of an object are where they are. `name` is that of a `containers` object or the
    /// generated name of one replica.
    pub async fn explain_placement(
        &self,
        group: &str,
        name: &str,
    ) -> Result<PlacementExplanation, Error> {
        self.barrier().await?;
        let view = self.cluster_view(now()).await?;
        let decisions = smr_scheduler::schedule(&view.cluster).decisions;
        let key = ObjectKey::new(Kind::Containers, group, name);
        let is_object = view.objects.contains_key(&key);
        let mut wanted: Vec<(&ReplicaKey, &Decision)> = decisions
            .iter()
            .filter(|(replica, _)| {
                if is_object {
                    replica.object() == key
                } else {
                    replica.group == group && replica.generated_name() == name
                }
            })
            .collect();
        wanted.sort_by(|(a, _), (b, _)| natural(a, b));
        if wanted.is_empty() && !is_object {
            return Err(match self.find_replica(group, name).await {
                Err(error) => error,
                Ok(_) => Error::NoObject { key },
            });
        }
        let placed = |(replica, decision): &(&ReplicaKey, &Decision)| PlacedReplica {
            name: replica.generated_name(),
            node_id: decision.node(),
            node: view.name(decision.node()),
            reason: decision.reason().cloned(),
        };
        let replicas = wanted.iter().map(placed).collect();
        let about = wanted.iter().find(|(_, it)| it.reason().is_some()).or(wanted.first());
        let key = about.map_or(key, |(replica, _)| replica.object());
        let mut explanation = PlacementExplanation {
            revision: view.revision,
            stale: self.is_stale(),
            replicas,
            about: about.map(|(replica, _)| replica.generated_name()).unwrap_or_default(),
            rule: String::new(),
            nodes: Vec::new(),
            key: key.clone(),
        };
        let found = about.and_then(|(replica, _)| smr_scheduler::explain(&view.cluster, replica));
        let Some(found) = found else { return Ok(explanation) };
        let on = |id: u64| {
            let mine = of_object(&view.assignments, &key);
            mine.filter(|(_, (assignment, _))| assignment.node == Some(id)).count()
        };
        explanation.rule = found.rule;
        explanation.nodes = found
            .nodes
            .into_iter()
            .map(|node| NodeVerdict {
                replicas: u32::try_from(on(node.id)).unwrap_or(u32::MAX),
                id: node.id,
                name: node.name,
                chosen: node.chosen,
                fits: node.refused.is_empty(),
                refusals: node
                    .refused
                    .into_iter()
                    .map(|it| FilterRefusal { filter: it.filter, message: it.message })
                    .collect(),
                score: node.score,
            })
            .collect();
        Ok(explanation)
    }

    /// Where the replicas of YAML or JSON documents would go if they were applied here. They are
    /// checked as `apply` checks them; nothing is written.
    pub async fn plan(
        &self,
        body: &str,
        source: &str,
        actor: &Actor,
    ) -> Result<PlacementPlan, Error> {
        let Documents { definitions, warnings } = Documents::read(body, source)?;
        let (_, results) = self.propose(definitions.clone(), None, true, Home::Here, actor).await?;
        let mut view = self.cluster_view(now()).await?;
        for (definition, result) in definitions.iter().zip(&results) {
            self.replace(&mut view, definition, result);
        }
        let results: BTreeMap<&ObjectKey, &ApplyResult> =
            results.iter().map(|result| (&result.key, result)).collect();
        let decisions = smr_scheduler::schedule(&view.cluster).decisions;
        let mut replicas = Vec::new();
        let every: BTreeSet<&ReplicaKey> =
            decisions.keys().chain(view.assignments.keys()).collect();
        for replica in every {
            let key = replica.object();
            let result = results.get(&key).copied();
            let before = view.assignments.get(replica).and_then(|(assignment, _)| assignment.node);
            let is_new = !view.assignments.contains_key(replica);
            let decision = decisions.get(replica);
            let node = decision.and_then(Decision::node);
            let action = match decision {
                None => PlanAction::Remove,
                Some(_) if is_new => PlanAction::Create,
                Some(_) if node != before => PlanAction::Move,
                _ if result.is_some_and(|it| it.action != ApplyAction::Unchanged) => {
                    PlanAction::Change
                }
                _ => PlanAction::Keep,
            };
            // Of other objects only what the documents would move.
            if result.is_none() && action != PlanAction::Move {
                continue;
            }
            replicas.push(PlannedReplica {
                name: replica.generated_name(),
                action,
                node_id: node,
                node: view.name(node),
                from: view.name(before),
                reason: decision.and_then(Decision::reason).cloned(),
                key,
            });
        }
        replicas.sort_by(|a, b| {
            smr_model::natural_cmp(&a.key.group, &b.key.group)
                .then_with(|| smr_model::natural_cmp(&a.name, &b.name))
        });
        let revision = view.revision;
        Ok(PlacementPlan { revision, stale: self.is_stale(), replicas, warnings })
    }

    /// Puts a definition in the place of what the view has.
    fn replace(&self, view: &mut ClusterView, definition: &Definition, result: &ApplyResult) {
        let key = &result.key;
        if result.action == ApplyAction::Unchanged {
            return;
        }
        let is_it = |it: &Workload| it.group == key.group && it.name == key.name;
        let mut replicas = Vec::new();
        if let Some(index) = view.cluster.workloads.iter().position(is_it) {
            replicas = view.cluster.workloads.swap_remove(index).replicas;
        }
        for replica in &mut replicas {
            replica.changed = true;
            replica.held = None;
        }
        view.cluster.workloads.extend(workload(definition, self.node_id(), replicas));
    }

    /// What a replica takes that the rollout has not changed yet; `None` for one that has, or is about
    /// to get, the present definition.
    async fn held(
        &self,
        object: &StoredObject,
        assignment: &Assignment,
        rollout: Option<&Rollout>,
    ) -> Result<Option<Request>, Error> {
        let has_rollout = rollout.is_some_and(|rollout| rollout.uid == object.uid);
        if !has_rollout || is_of(assignment, object) || assignment.uid != object.uid {
            return Ok(None);
        }
        let former = self.object_at(&object.key(), assignment.generation).await?;
        Ok(former.as_ref().and_then(|it| containers(&it.definition)).map(Request::of))
    }

    /// Which node has a container of a replica, and where it ran to its end, by which generation.
    async fn data_nodes(&self) -> Result<(BTreeMap<ReplicaKey, u64>, Ends), Error> {
        let (_, statuses) = self.statuses().await?;
        let ended = statuses.iter().filter(|status| {
            matches!(status.state, ReplicaState::Completed | ReplicaState::Failed)
        });
        let ended =
            ended.map(|status| (status.key.clone(), status.node_id, status.generation)).collect();
        let with_container = statuses.into_iter().filter(|status| status.engine_state.is_some());
        Ok((with_container.map(|status| (status.key, status.node_id)).collect(), ended))
    }

    /// Every member as the scheduler sees it; before there are members, every node.
    fn scheduler_nodes(&self) -> Result<Vec<Node>, Error> {
        let statuses: BTreeMap<u64, NodeStatus> = self.by_id(keyspace::NODES)?;
        let settings: BTreeMap<u64, NodeSettings> = self.by_id(keyspace::NODE_SETTINGS)?;
        let health: BTreeMap<u64, NodeHealth> = self.by_id(keyspace::HEALTH)?;
        let mut members: BTreeMap<u64, Member> = self.by_id(keyspace::MEMBERS)?;
        if members.is_empty() {
            members.extend(statuses.values().map(|status| (status.id, lone(status))));
        }
        let node = |member: &Member| {
            let id = &member.id;
            Node::from_records(member, statuses.get(id), settings.get(id), health.get(id))
        };
        Ok(members.values().map(node).collect())
    }

    fn by_id<T: serde::de::DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<u64, T>, Error> {
        let mut found = BTreeMap::new();
        for kv in self.scan(RangeQuery::prefix(prefix))?.kvs {
            let Some(id) = keyspace::parse_id(prefix, &kv.key) else { continue };
            let value = serde_json::from_slice(&kv.value)
                .map_err(|source| Error::Damaged { key: kv.key, source })?;
            found.insert(id, value);
        }
        Ok(found)
    }
}

/// The member a single node would be.
fn lone(status: &NodeStatus) -> Member {
    Member {
        id: status.id,
        name: status.name.clone(),
        peer: status.peer.clone(),
        api: String::new(),
        role: NodeRole::Voter,
        key_id: String::new(),
        epoch: 0,
        joined: status.started_at,
    }
}

fn workload(definition: &Definition, home: u64, replicas: Vec<Replica>) -> Option<Workload> {
    let spec = containers(definition)?;
    let meta = &definition.meta;
    let workload = Workload::new(&meta.group, &meta.name, &meta.labels, home, spec);
    Some(workload.with_replicas(replicas))
}

fn containers(definition: &Definition) -> Option<&ContainersSpec> {
    match &definition.spec {
        Spec::Containers(spec, _) => Some(spec),
        _ => None,
    }
}

fn is_of(assignment: &Assignment, object: &StoredObject) -> bool {
    assignment.uid == object.uid && assignment.generation == object.generation
}

/// The assignments of the replicas of one object.
fn of_object<'a>(
    assignments: &'a Assignments,
    key: &ObjectKey,
) -> impl Iterator<Item = (&'a ReplicaKey, &'a (Assignment, Revision))> + use<'a> {
    let from = ReplicaKey::new(&key.group, &key.name, 0);
    let to = ReplicaKey::new(&key.group, &key.name, u32::MAX);
    assignments.range(from..=to)
}
