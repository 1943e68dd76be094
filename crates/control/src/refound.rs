//! After a disaster: one node goes on as the only member.

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{Member, NodeRole, NodeStatus};
use smr_state::{Compare, Op, Txn};

use crate::{
    Actor, Control, Error, MemberFacts,
    cluster::{ATTEMPTS, encode, fresh_id, untouched},
    keyspace,
};

impl Control {
    /// Makes this node the only member, whatever is stored: for a node that was restored from a
    /// backup, or that survived when a quorum was lost. All others count as removed: they are
    /// refused should they come back, and their ids are not used again. The cluster keeps its id,
    /// its authorities and its objects.
    pub async fn refound(
        &self,
        facts: &MemberFacts,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Member, Error> {
        let id = self.node_id();
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let seen = self.revision();
            let mut members: BTreeMap<u64, Member> = self.records_by_id(keyspace::MEMBERS)?;
            // A node alone has a status before it is a member.
            for (id, status) in self.records_by_id::<NodeStatus>(keyspace::NODES)? {
                members.entry(id).or_insert_with(|| unknown(status, now));
            }
            let old = members.remove(&id);
            let member = Member {
                id,
                name: facts.name.clone(),
                peer: facts.peer.clone(),
                api: facts.api.clone(),
                role: NodeRole::Voter,
                key_id: facts.key_id.clone(),
                epoch: facts.epoch,
                joined: old.map_or(now, |old| old.joined),
            };
            let mut txn = Txn::new()
                .when(untouched(keyspace::MEMBERS, seen))
                .when(untouched(keyspace::CERTIFICATES, seen))
                .then(Op::delete(keyspace::removed(id)))
                .then(Op::delete(keyspace::health(id)))
                .then(Op::put(keyspace::CLUSTER_RECOVERED, now.to_string()))
                .then(Op::put(keyspace::member(id), encode(&member)))
                .then(Op::put(keyspace::instance(id), facts.instance.as_str()));
            if self.cluster_id()?.is_none() {
                txn = txn
                    .when(Compare::absent(keyspace::CLUSTER_ID))
                    .then(Op::put(keyspace::CLUSTER_ID, fresh_id(self, "cluster")));
            }
            for lost in members.values() {
                txn.then.extend(self.removal(lost, actor, now)?.1);
            }
            let event =
                self.cluster_event("cluster_recovered", "node", &member.name, "recovered", actor);
            if self.change(txn, event).await?.is_some() {
                return Ok(member);
            }
        }
        Err(Error::Contended { key: "the list of members".to_owned() })
    }
}

/// A node of which nobody made a member.
fn unknown(status: NodeStatus, now: Timestamp) -> Member {
    Member {
        id: status.id,
        name: status.name,
        peer: status.peer,
        api: String::new(),
        role: NodeRole::Worker,
        key_id: String::new(),
        epoch: 0,
        joined: now,
    }
}
