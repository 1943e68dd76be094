//! What users change of the cluster: objects, nodes, rollouts.

use std::rc::Rc;

use smr_model::{
    Availability, DEFAULT_PREFIX, Definition, GoDuration, Kind, Member, Meta, NodeRole,
    NodeSettings, ObjectKey, ReplicaKey, RolloutState, Spec,
    spec::{
        ContainersSpec, FailureAction, Placement, Port, Probe, Strategy, UpdateOrder, UpdatePolicy,
        Volume,
    },
};
use smr_state::{CmpOp, Compare, KeyRange, Op, Txn};

use crate::{Ms, agent::json, keyspace, mirror::Object, node::Node, random::Random, world::World};

/// Generations that are kept of an object.
const GENERATIONS: u64 = 10;
const GROUP: &str = "app";

/// A change of the cluster.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Apply(&'static str, Box<ContainersSpec>),
    Scale(&'static str, u32),
    Image(&'static str, &'static str, u64),
    Delete(&'static str),
    Availability(u64, Availability),
    RemoveNode(u64),
    Role(u64, NodeRole),
    Rollout(&'static str, RolloutState),
    Undo(&'static str),
    Restart(&'static str, u32),
}

impl World {
    /// Something a user may want.
    pub(crate) fn change(&mut self) -> Change {
        let random = &mut self.random;
        let name = ["a", "b", "c", "d"][random.below(4) as usize];
        let node = random.between(1, self.nodes.len() as u64);
        match random.below(100) {
            0..20 => Change::Apply(name, Box::new(spec(random))),
            20..35 => Change::Scale(name, random.between(0, 5) as u32),
            35..55 => Change::Image(name, "app", random.between(1, 6)),
            55..58 => Change::Image(name, ["missing", "unready"][random.below(2) as usize], 1),
            58..63 => Change::Delete(name),
            63..70 => Change::Availability(node, Availability::Drain),
            70..73 => Change::Availability(node, Availability::Pause),
            73..85 => Change::Availability(node, Availability::Active),
            85..87 if self.users.removals + 3 < self.nodes.len() as u64 => {
                self.users.removals += 1;
                Change::RemoveNode(node)
            }
            87..90 => Change::Rollout(name, RolloutState::Paused),
            90..94 => Change::Rollout(name, RolloutState::Updating),
            94..97 => Change::Undo(name),
            97 => Change::Role(node, [NodeRole::Voter, NodeRole::Worker][random.below(2) as usize]),
            _ => Change::Restart(name, random.between(1, 3) as u32),
        }
    }
}

/// A definition somebody may write.
fn spec(random: &mut Random) -> ContainersSpec {
    let mut spec = ContainersSpec {
        image: "app".to_owned(),
        tag: random.between(1, 6).to_string(),
        replicas: Some(random.between(1, 4) as u32),
        ..ContainersSpec::default()
    };
    let strategy = match random.below(6) {
        0 => None,
        1 => Some(Strategy::Global),
        2 => Some(Strategy::Spread),
        3 => Some(Strategy::Random),
        _ => Some(Strategy::Binpack),
    };
    spec.placement = strategy.map(|it| Placement {
        strategy: Some(it),
        max_per_node: random.chance(200).then_some(1),
        ..Placement::default()
    });
    let order = match random.below(3) {
        0 => None,
        1 => Some(UpdateOrder::StopFirst),
        _ => Some(UpdateOrder::StartFirst),
    };
    spec.update = Some(UpdatePolicy {
        parallelism: Some(random.between(0, 2) as u32),
        order,
        monitor: Some(GoDuration::from_secs(1)),
        on_failure: match random.below(3) {
            0 => None,
            1 => Some(FailureAction::Rollback),
            _ => Some(FailureAction::Continue),
        },
        canary: random.chance(100).then_some(1),
        ..UpdatePolicy::default()
    });
    if random.chance(150) {
        let host = (8080 + random.below(2)).to_string();
        spec.ports.push(Port { container: "80".to_owned(), host });
    }
    if random.chance(150) {
        spec.volumes.push(Volume {
            name: "data".to_owned(),
            host_path: "/srv/data".to_owned(),
            mount_point: "/data".to_owned(),
            ..Volume::default()
        });
    }
    if random.chance(500) {
        spec.readiness.push(Probe {
            name: "up".to_owned(),
            command: vec!["true".to_owned()],
            timeout: Some(GoDuration::from_secs(5)),
            ..Probe::default()
        });
    }
    spec
}

fn unchanged(key: String, seen: u64) -> Compare {
    Compare::mod_revision(key, CmpOp::Equal, seen)
}

impl Change {
    /// What the node asked would write, on what it knows; `None` when there is nothing to do.
    pub(super) fn txn(&self, node: &Node, now: Ms) -> Option<Txn> {
        let mirror = &node.mirror;
        let object = |name: &str| ObjectKey::new(Kind::Containers, GROUP, name);
        let stored = |name: &str| mirror.objects.get(&object(name));
        match self {
            Self::Apply(name, spec) => apply(node, now, name, spec, true),
            Self::Scale(name, count) => {
                let mut spec = stored(name)?.spec()?.clone();
                spec.replicas = Some(*count);
                apply(node, now, name, &spec, true)
            }
            Self::Image(name, image, tag) => {
                let mut spec = stored(name)?.spec()?.clone();
                (*image).clone_into(&mut spec.image);
                spec.tag = tag.to_string();
                apply(node, now, name, &spec, true)
            }
            Self::Undo(name) => {
                let before = stored(name)?.generation.checked_sub(1)?;
                let former = mirror.former.get(&(object(name), before))?;
                apply(node, now, name, former.spec()?, false)
            }
            Self::Delete(name) => {
                let key = object(name);
                let seen = stored(name)?.revision;
                let path = keyspace::object(&key);
                Some(
                    Txn::new()
                        .when(unchanged(path.clone(), seen))
                        .then(Op::delete(path))
                        .then(Op::delete_range(KeyRange::prefix(keyspace::restarts_of(
                            GROUP, name,
                        ))))
                        .then(Op::delete_range(KeyRange::prefix(keyspace::history_of(&key))))
                        .then(Op::delete(keyspace::rollout(GROUP, name))),
                )
            }
            Self::Availability(id, availability) => {
                let (mut settings, seen) = mirror
                    .settings
                    .get(id)
                    .map_or((NodeSettings::default(), 0), |(it, seen)| (it.clone(), *seen));
                settings.availability = *availability;
                let path = keyspace::node_settings(*id);
                let txn = Txn::new()
                    .when(unchanged(path.clone(), seen))
                    .when(Compare::exists(keyspace::member(*id)));
                Some(txn.then(Op::put(path, json(&settings))))
            }
            Self::RemoveNode(id) => {
                let (_, seen) = mirror.members.get(id)?;
                // Nobody listens to who is removed: those that are left have to be able to take its vote.
                let stays = |voter: u64| {
                    voter != *id && mirror.members.contains_key(&voter) && !mirror.is_down(voter)
                };
                if !node.raft.config.majority(stays) {
                    return None;
                }
                let path = keyspace::member(*id);
                let mut txn = Txn::new().when(unchanged(path.clone(), *seen));
                for other in mirror.members.keys() {
                    txn = txn.when(Compare::exists(keyspace::member(*other)));
                }
                Some(txn.then(Op::delete(path)).then(Op::put(keyspace::removed(*id), "{}")))
            }
            Self::Role(id, role) => {
                let (member, seen) = mirror.members.get(id)?;
                let votes = |(other, it): (&u64, &(Member, u64))| {
                    other != id && it.0.role == NodeRole::Voter
                };
                if !mirror.members.iter().any(votes) {
                    return None;
                }
                let path = keyspace::member(*id);
                let txn = Txn::new().when(unchanged(path.clone(), *seen));
                Some(txn.then(Op::put(path, json(&Member { role: *role, ..member.clone() }))))
            }
            Self::Rollout(name, to) => {
                let (rollout, seen) =
                    mirror.rollouts.get(&(GROUP.to_owned(), (*name).to_owned()))?;
                let mut rollout = rollout.clone();
                let from = rollout.state;
                let may = match to {
                    RolloutState::Paused => {
                        matches!(from, RolloutState::Updating | RolloutState::Canary)
                    }
                    _ => matches!(from, RolloutState::Paused | RolloutState::Canary),
                };
                if !may {
                    return None;
                }
                rollout.promoted |= from == RolloutState::Canary && *to == RolloutState::Updating;
                rollout.state = *to;
                rollout.failed.clear();
                "by a user".clone_into(&mut rollout.message);
                rollout.since = node.clock(now);
                let path = keyspace::rollout(GROUP, name);
                let txn = Txn::new().when(unchanged(path.clone(), *seen));
                Some(txn.then(Op::put(path, json(&rollout))))
            }
            Self::Restart(name, index) => {
                let key = ReplicaKey::new(GROUP, *name, *index);
                stored(name)?;
                mirror.assignments.get(&key)?;
                let txn = Txn::new().when(Compare::exists(keyspace::object(&object(name))));
                Some(txn.then(Op::put(keyspace::restart(&key), format!("token {now}"))))
            }
        }
    }
}

fn apply(node: &Node, now: Ms, name: &str, spec: &ContainersSpec, moves: bool) -> Option<Txn> {
    let key = ObjectKey::new(Kind::Containers, GROUP, name);
    let stored = node.mirror.objects.get(&key);
    let definition = Definition {
        prefix: DEFAULT_PREFIX.to_owned(),
        meta: Meta { group: GROUP.to_owned(), name: name.to_owned(), ..Meta::default() },
        spec: Spec::Containers(Box::new(spec.clone()), None),
    };
    if stored.is_some_and(|it| *it.definition == definition) {
        return None;
    }
    let generation = stored.map_or(1, |it| it.generation + 1);
    let object = Object {
        definition: Rc::new(definition),
        uid: stored.map_or_else(|| format!("{name} {now} n{}", node.id), |it| it.uid.clone()),
        generation,
        home: stored.filter(|_| !moves).map_or(node.id, |it| it.home),
        updated: node.clock(now),
        revision: 0,
    };
    let path = keyspace::object(&key);
    let seen = stored.map_or(0, |it| it.revision);
    let mut txn = Txn::new()
        .when(unchanged(path.clone(), seen))
        .then(Op::put(path, json(&object)))
        .then(Op::put(keyspace::history(&key, generation), json(&object)));
    if generation > GENERATIONS {
        // What replicas are assigned is kept, however old.
        let assigned = node.mirror.assignments.iter().filter(|(it, _)| it.object() == key);
        let oldest = generation - GENERATIONS + 1;
        let oldest = assigned.map(|(_, (it, _))| it.generation).min().unwrap_or(oldest).min(oldest);
        txn = txn.then(Op::delete_range(KeyRange::Range {
            start: keyspace::history_of(&key),
            end: keyspace::history(&key, oldest),
        }));
    }
    Some(txn)
}
