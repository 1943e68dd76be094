//! What is asked of a replica here: the same steps as in the product's agent, around the same functions.

use std::sync::Arc;

use smr_model::{Reason, ReplicaKey, spec::UpdateOrder};
use smr_reconcile::{
    DependencyState, Duty, NodeFacts, OtherNode, Rendered, Sighting, Target, Wanted, handover,
    handover_order, render, replacement_order,
};

use super::{Agent, json};
use crate::{bug::Bug, leader::is_global, mirror::Mirror, random::fnv};

/// A rendered replica and what it was made from.
pub(super) struct Rendering {
    uid: String,
    generation: u64,
    target: Result<Arc<Target>, Reason>,
}

/// What other nodes say of a replica.
pub(crate) fn others(mirror: &Mirror, me: u64, key: &ReplicaKey) -> Vec<OtherNode> {
    let Some(by) = mirror.statuses.get(key) else { return Vec::new() };
    by.iter()
        .filter(|(node, _)| **node != me)
        .map(|(node, (status, _))| OtherNode {
            node: *node,
            down: mirror.is_down(*node),
            sighting: Sighting::of(status),
        })
        .collect()
}

impl Agent {
    pub(super) fn wanted(
        &mut self,
        key: &ReplicaKey,
        mirror: &Mirror,
        bug: Option<Bug>,
    ) -> Option<Wanted> {
        let object = mirror.objects.get(&key.object())?;
        let counts = !is_global(object.spec()?) && key.index <= object.spec()?.replica_count();
        let runs_here = self.slots.get(key).is_some_and(|slot| slot.replica.runs());
        let assignment = mirror.assignments.get(key).map(|(it, _)| it);
        let Some(assignment) = assignment.filter(|it| it.uid == object.uid) else {
            let why = Reason::new("Unassigned", "no node has been chosen for it yet");
            return self.held(key, why).filter(|_| counts && runs_here);
        };
        let generation = assignment.generation;
        let definition = mirror.at(&key.object(), &object.uid, generation);
        let spec = definition.and_then(|it| it.spec());
        let order = || spec.map_or(UpdateOrder::StopFirst, handover_order);
        let others = others(mirror, self.me, key);
        let duty = handover(self.me, Some(assignment), runs_here, &others, order);
        let transfer = match duty {
            Duty::Leave if bug == Some(Bug::IgnoreMove) && runs_here => {
                return self.held(key, Reason::new("Deliberate", "a mistake"));
            }
            Duty::Leave => return None,
            Duty::Run => None,
            Duty::Wait(_) if bug == Some(Bug::NoWait) => None,
            Duty::Wait(node) => {
                Some(Reason::new("Transfering", format!("waits until n{node} has stopped it")))
            }
            Duty::Keep(node) => {
                return self
                    .held(key, Reason::new("Transfering", format!("n{node} takes it over")));
            }
        };
        let Some(spec) = spec else {
            let message = format!("the definition of generation {generation} is not known");
            return self.held(key, Reason::new("UnknownGeneration", message));
        };
        let order = replacement_order(spec);
        let target = self.target(key, mirror, &object.uid, generation)?;
        Some(Wanted {
            generation,
            transfer,
            missing: None,
            target,
            order,
            restart_token: mirror.restarts.get(key).cloned().unwrap_or_default(),
            dependencies: DependencyState::Solved,
            dependency_names: Vec::new(),
        })
    }

    /// Nothing is asked but to stay.
    fn held(&self, key: &ReplicaKey, reason: Reason) -> Option<Wanted> {
        let status = &self.slots.get(key)?.replica.status;
        Some(Wanted {
            generation: status.generation,
            target: Err(reason),
            transfer: None,
            missing: None,
            order: UpdateOrder::StopFirst,
            restart_token: status.restart_token.clone(),
            dependencies: DependencyState::Solved,
            dependency_names: Vec::new(),
        })
    }

    fn target(
        &mut self,
        key: &ReplicaKey,
        mirror: &Mirror,
        uid: &str,
        generation: u64,
    ) -> Option<Result<Arc<Target>, Reason>> {
        let slot = self.slots.get_mut(key)?;
        if let Some(kept) = &slot.rendering
            && kept.uid == uid
            && kept.generation == generation
        {
            return Some(kept.target.clone());
        }
        let object = mirror.at(&key.object(), uid, generation)?;
        let node = NodeFacts { name: self.name.clone() };
        let (rendered, _) = render(key, &object.definition, mirror, &node, object.updated);
        let target = rendered.map(|rendered| {
            let main_hash = digest(&rendered);
            Arc::new(Target { rendered, main_hash, init_hash: String::new() })
        });
        if let Ok(target) = &target {
            slot.replica.last_stop_timeout = Some(target.rendered.stop_timeout);
        }
        if slot.rendering.is_some() {
            slot.replica.try_again();
        }
        slot.rendering =
            Some(Rendering { uid: uid.to_owned(), generation, target: target.clone() });
        Some(target)
    }
}

fn digest(rendered: &Rendered) -> String {
    format!("{:016x}", fnv(0, &json(&rendered.main)))
}
