//! Nodes: who they are, how they do, what administrators say about them, and how they go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use smr_model::{
    Assignment, Health, Kind, Member, NodeHealth, NodeRole, NodeSettings, NodeStatus, ObjectKey,
    ReplicaKey, Spec,
};
use smr_state::{Op, RangeQuery, Revision, Txn};
use smr_wire::{NodeList, NodePatch, NodeView};

use crate::{
    Actor, ClusterError, Control, Error, RemovedMember,
    cluster::{ATTEMPTS, Consensus, encode, parse, unchanged, untouched},
    keyspace,
    record::Record,
};

/// Most labels that administrators give a node.
const LABELS: usize = 64;

/// What the replicas on a node ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Requested {
    replicas: u64,
    cpu_millis: u64,
    memory: u64,
}

impl Control {
    /// Known nodes in order of id.
    pub async fn nodes(&self) -> Result<NodeList, Error> {
        self.barrier().await?;
        Ok(NodeList { items: self.views()? })
    }

    /// A node by id or name.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`].
    pub async fn node(&self, id_or_name: &str) -> Result<NodeView, Error> {
        self.barrier().await?;
        self.view(id_or_name)
    }

    /// Changes what administrators say about a node.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`]; [`ClusterError::LastVoter`] for a role that leaves no voter;
    /// [`Error::Parameter`] for labels.
    pub async fn patch_node(
        &self,
        id_or_name: &str,
        patch: &NodePatch,
        actor: &Actor,
    ) -> Result<NodeView, Error> {
        check_labels(patch)?;
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let revision = self.revision();
            let view = self.view(id_or_name)?;
            let (id, name) = (view.status.id, view.status.name);
            let path = keyspace::node_settings(id);
            let found = self.record::<NodeSettings>(&path)?;
            let (old, seen) = found.unwrap_or_default();
            let new = patched(&old, patch)?;
            let (member_path, mut txn) = (keyspace::member(id), Txn::new());
            if new != old {
                txn = txn.when(unchanged(path.as_str(), seen)).then(Op::put(path, encode(&new)));
            }
            if let (Some(role), Some((member, seen))) =
                (patch.role, self.record::<Member>(&member_path)?)
                && member.role != role
            {
                if role == NodeRole::Worker {
                    self.check_other_voter(id, &name)?;
                }
                txn = txn
                    // The other voter must still be there.
                    .when(untouched(keyspace::MEMBERS, revision))
                    .when(unchanged(member_path.as_str(), seen))
                    .then(Op::put(member_path, encode(&Member { role, ..member })));
            }
            if txn.then.is_empty() {
                return self.view(id_or_name);
            }
            let event = self.cluster_event("node_changed", "node", &name, "changed", actor);
            if self.change(txn, event).await?.is_some() {
                return self.view(id_or_name);
            }
        }
        Err(Error::Contended { key: format!("node {id_or_name}") })
    }

    /// Removes a node from the cluster for good: its id is never used again, its certificates are
    /// refused, what is stored about it goes. Its containers are placed elsewhere by the leader,
    /// which also takes it out of consensus.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`]; [`ClusterError::NodeReady`] unless `force`;
    /// [`ClusterError::LastVoter`] in any case.
    pub async fn remove_node(
        &self,
        id_or_name: &str,
        force: bool,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<RemovedMember, Error> {
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let seen = self.revision();
            let member = self.find_member(id_or_name)?;
            self.check_other_voter(member.id, &member.name)?;
            self.check_quorum_without(member.id, &member.name)?;
            let health = self.record::<NodeHealth>(&keyspace::health(member.id))?;
            // Nobody has looked at a node that never started.
            let is_ready =
                health.map_or(member.epoch > 0, |(health, _)| health.state == Health::Ready);
            if is_ready && !force {
                return Err(ClusterError::NodeReady { name: member.name }.into());
            }
            let (removed, ops) = self.removal(&member, actor, now)?;
            let mut txn = Txn::new()
                .when(untouched(keyspace::MEMBERS, seen))
                .when(smr_state::Compare::exists(keyspace::member(member.id)))
                .when(untouched(keyspace::CERTIFICATES, seen));
            txn.then = ops;
            let event = self.cluster_event("node_removed", "node", &member.name, "removed", actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(removed);
            }
        }
        Err(Error::Contended { key: format!("node {id_or_name}") })
    }

    /// Stores what is known of a node; writes nothing when that is stored already.
    pub async fn put_node(&self, node: &NodeStatus) -> Result<Revision, Error> {
        let key = keyspace::node(node.id);
        let value = serde_json::to_vec(node).expect("a node status is plain data");
        if self.inner.store.get(&key)?.is_some_and(|kv| kv.value == value) {
            return Ok(self.revision());
        }
        Ok(self.inner.store.txn(Txn::new().then(Op::put(key, value))).await?.revision)
    }

    /// The writes that remove a member.
    pub(crate) fn removal(
        &self,
        member: &Member,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<(RemovedMember, Vec<Op>), Error> {
        let id = member.id;
        let removed = RemovedMember {
            id,
            name: member.name.clone(),
            key_id: member.key_id.clone(),
            at: now,
            by: actor.name.clone(),
        };
        let mut ops = vec![Op::put(keyspace::removed(id), encode(&removed))];
        let keys: [fn(u64) -> String; 6] = [
            keyspace::member,
            keyspace::health,
            keyspace::node_settings,
            keyspace::node,
            keyspace::trust,
            keyspace::instance,
        ];
        ops.extend(keys.map(|key| Op::delete(key(id))));
        let reason = format!("node `{}` was removed", member.name);
        let records = self.certificate_records()?.into_iter();
        ops.extend(
            records
                .filter(|record| record.node == Some(id) && record.not_after >= now)
                .map(|record| record.revoke(&actor.name, &reason, now)),
        );
        Ok((removed, ops))
    }

    /// Refuses when no other member has a vote or may be given one.
    fn check_other_voter(&self, id: u64, name: &str) -> Result<(), Error> {
        let voters = self.consensus().voters;
        let others = self.members()?.into_iter().filter(|member| member.id != id);
        let may_vote = others.filter(|member| member.role == NodeRole::Voter).count();
        if may_vote == 0 || voters == [id] {
            return Err(ClusterError::LastVoter { name: name.to_owned() }.into());
        }
        Ok(())
    }

    /// Refuses when the voters that are left could not decide on other voters: a removed node is not
    /// heard any more from that moment.
    fn check_quorum_without(&self, id: u64, name: &str) -> Result<(), Error> {
        let voters = self.consensus().voters;
        let members: BTreeMap<u64, Member> = self.records_by_id(keyspace::MEMBERS)?;
        let health: BTreeMap<u64, NodeHealth> = self.records_by_id(keyspace::HEALTH)?;
        let answers = |voter: &u64| {
            let down = health.get(voter).is_some_and(|health| health.state == Health::Down);
            members.contains_key(voter) && !down
        };
        match voters_left(&voters, id, answers) {
            Some(left) if left <= voters.len() / 2 => {
                let (name, voters) = (name.to_owned(), voters.len());
                Err(ClusterError::VoterNeeded { name, left, voters }.into())
            }
            _ => Ok(()),
        }
    }

    fn view(&self, id_or_name: &str) -> Result<NodeView, Error> {
        let mut views = self.views()?;
        let by_name = views.iter().position(|view| view.status.name == id_or_name);
        let by_id = || views.iter().position(|view| view.status.id.to_string() == id_or_name);
        let Some(index) = by_name.or_else(by_id) else {
            let known = views.into_iter().map(|view| view.status.name).collect();
            return Err(ClusterError::NoNode { node: id_or_name.to_owned(), known }.into());
        };
        Ok(views.swap_remove(index))
    }

    fn views(&self) -> Result<Vec<NodeView>, Error> {
        let mut members: BTreeMap<u64, Member> = self.records_by_id(keyspace::MEMBERS)?;
        let mut health: BTreeMap<u64, NodeHealth> = self.records_by_id(keyspace::HEALTH)?;
        let mut settings: BTreeMap<u64, NodeSettings> =
            self.records_by_id(keyspace::NODE_SETTINGS)?;
        let requested = self.requested()?;
        let consensus = self.consensus();
        let mut statuses: BTreeMap<u64, NodeStatus> = self.records_by_id(keyspace::NODES)?;
        for (id, member) in &members {
            statuses.entry(*id).or_insert_with(|| silent(member));
        }
        let view = |(id, mut status): (u64, NodeStatus)| {
            let member = members.remove(&id);
            if let Some(member) = &member {
                status.name.clone_from(&member.name);
                status.peer.clone_from(&member.peer);
            }
            let settings = settings.remove(&id).unwrap_or_default();
            let mut view = NodeView::new(status);
            view.member = member;
            view.health = health.remove(&id);
            view.availability = settings.availability;
            view.effective_labels.extend(settings.labels);
            view.requested(requested.get(&id).copied().unwrap_or_default());
            view.placed_in(&consensus);
            view
        };
        Ok(statuses.into_iter().map(view).collect())
    }

    /// What is assigned to each node, and how many replicas each has.
    fn requested(&self) -> Result<BTreeMap<u64, Requested>, Error> {
        let mut objects: BTreeMap<ObjectKey, (u64, u64)> = BTreeMap::new();
        let mut nodes: BTreeMap<u64, Requested> = BTreeMap::new();
        let mut held: BTreeSet<(ReplicaKey, u64)> = BTreeSet::new();
        for kv in &self.scan(RangeQuery::prefix(keyspace::ASSIGNMENTS))?.kvs {
            let Some(replica) = keyspace::parse_assignment(&kv.key) else { continue };
            let Some(node) = parse::<Assignment>(kv)?.node else { continue };
            let key = ObjectKey::new(Kind::Containers, &replica.group, &replica.name);
            let (cpu, memory) = match objects.get(&key) {
                Some(known) => *known,
                None => {
                    let asked = self.asked_for(&key)?;
                    objects.insert(key, asked);
                    asked
                }
            };
            let requested = nodes.entry(node).or_default();
            requested.cpu_millis += cpu;
            requested.memory += memory;
            held.insert((replica, node));
        }
        // Those that were moved away and are not gone yet count: a node is empty when nothing is left.
        let statuses = self.scan(RangeQuery::prefix(keyspace::STATUSES).keys_only())?;
        held.extend(statuses.kvs.iter().filter_map(|kv| keyspace::parse_status(&kv.key)));
        for (_, node) in held {
            nodes.entry(node).or_default().replicas += 1;
        }
        Ok(nodes)
    }

    /// Thousandths of processors and bytes of memory that a replica of the object is promised.
    fn asked_for(&self, key: &ObjectKey) -> Result<(u64, u64), Error> {
        let Some(kv) = self.inner.store.get(&keyspace::object(key))? else { return Ok((0, 0)) };
        let spec = Record::decode(&kv)
            .ok()
            .and_then(|record| serde_json::from_value(record.definition).ok())
            .map(|definition: smr_model::Definition| definition.spec);
        Ok(match spec {
            Some(Spec::Containers(spec, _)) => (
                spec.cpu_reservation.map_or(0, |cpus| cpus.0),
                spec.memory_reservation.map_or(0, |bytes| bytes.0),
            ),
            _ => (0, 0),
        })
    }
}

/// What is added to a [`NodeView`] here.
trait Extend {
    fn requested(&mut self, requested: Requested);
    fn placed_in(&mut self, consensus: &Consensus);
}

impl Extend for NodeView {
    fn requested(&mut self, requested: Requested) {
        self.replicas = requested.replicas;
        self.requested_cpu_millis = requested.cpu_millis;
        self.requested_memory = requested.memory;
    }

    fn placed_in(&mut self, consensus: &Consensus) {
        let id = self.status.id;
        self.raft = consensus.role(id);
        self.leader = consensus.leader == Some(id);
        self.lag = consensus.lag(id);
    }
}

/// The status of a member that has not said anything of itself yet.
fn silent(member: &Member) -> NodeStatus {
    NodeStatus {
        id: member.id,
        name: member.name.clone(),
        addresses: Vec::new(),
        version: String::new(),
        engine: String::new(),
        engine_ready: false,
        engine_message: "the node has not started yet".to_owned(),
        os: String::new(),
        kernel: String::new(),
        arch: String::new(),
        cpus: 0,
        memory: 0,
        reserved_cpu_millis: 0,
        reserved_memory: 0,
        driver: String::new(),
        peer: member.peer.clone(),
        labels: BTreeMap::new(),
        started_at: member.joined,
    }
}

fn patched(old: &NodeSettings, patch: &NodePatch) -> Result<NodeSettings, Error> {
    let mut new = old.clone();
    new.availability = patch.availability.unwrap_or(old.availability);
    for label in &patch.remove_labels {
        new.labels.remove(label);
    }
    new.labels.extend(patch.labels.clone());
    if new.labels.len() > LABELS {
        let value = format!("{} labels", new.labels.len());
        return Err(Error::Parameter {
            name: "labels",
            value,
            allowed: format!("at most {LABELS}"),
        });
    }
    Ok(new)
}

/// The rules of `node.labels` in the configuration.
fn check_labels(patch: &NodePatch) -> Result<(), Error> {
    let refused = |value: &str, allowed: &str| {
        let (value, allowed) = (value.chars().take(80).collect(), allowed.to_owned());
        Err(Error::Parameter { name: "labels", value, allowed })
    };
    for (name, value) in &patch.labels {
        let fits = (1..=63).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        if !fits {
            return refused(
                name,
                "names of 1 to 63 letters, digits, `.`, `_`, `-` or `/`, starting with a letter \
                 or digit",
            );
        }
        if value.len() > 253 {
            return refused(value, "values of at most 253 characters");
        }
    }
    Ok(())
}

/// How many voters answer besides `id`; `None` if that one has no vote.
fn voters_left(voters: &[u64], id: u64, answers: impl Fn(&u64) -> bool) -> Option<usize> {
    voters.contains(&id).then(|| voters.iter().filter(|it| **it != id && answers(it)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_that_is_needed_is_told_from_one_that_is_not() {
        let all = |_: &u64| true;
        assert_eq!(voters_left(&[1, 2, 3], 3, all), Some(2));
        assert_eq!(voters_left(&[1, 2, 3], 3, |it| *it != 2), Some(1), "too few of three");
        assert_eq!(voters_left(&[1, 2, 3], 4, |it| *it != 2), None, "a learner is in nobody's way");
    }
}
