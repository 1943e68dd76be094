//! The cluster as a whole: who is in it, who leads; and what the modules about members, tokens,
//! certificates and settings share.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use smr_model::{Event, Kind, Member, NodeHealth, ObjectKey};
use smr_state::{CmpOp, Compare, KeyRange, KeyValue, RangeQuery, Revision, Target, Txn};
use smr_wire::{ClusterStatus, MemberInfo, RaftRole};

use crate::{Actor, Control, Error, control::now, keyspace};

/// How often a change is tried again when others change the same records meanwhile.
pub(crate) const ATTEMPTS: usize = 64;

/// What the store knows of the members.
pub(crate) struct Consensus {
    pub(crate) leader: Option<u64>,
    pub(crate) term: u64,
    pub(crate) voters: Vec<u64>,
    pub(crate) learners: Vec<u64>,
    lag: BTreeMap<u64, u64>,
}

impl Consensus {
    pub(crate) fn role(&self, id: u64) -> Option<RaftRole> {
        if self.voters.contains(&id) {
            Some(RaftRole::Voter)
        } else if self.learners.contains(&id) {
            Some(RaftRole::Learner)
        } else {
            None
        }
    }

    pub(crate) fn lag(&self, id: u64) -> Option<u64> {
        self.lag.get(&id).copied()
    }
}

impl Control {
    /// Who is in the cluster and who leads. Answers without a quorum too, from the local copy, if
    /// this handle is [stale](Control::reading).
    pub async fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        self.barrier().await?;
        let consensus = self.consensus();
        let health: BTreeMap<u64, NodeHealth> = self.records_by_id(keyspace::HEALTH)?;
        let info = |member: Member| MemberInfo {
            raft: consensus.role(member.id),
            leader: consensus.leader == Some(member.id),
            health: health.get(&member.id).map(|health| health.state),
            lag: consensus.lag(member.id),
            member,
        };
        Ok(ClusterStatus {
            id: self.cluster_id()?.unwrap_or_default(),
            node: self.node_id(),
            leader: consensus.leader,
            term: consensus.term,
            quorum: consensus.voters.len() / 2 + 1,
            revision: self.revision(),
            members: self.members()?.into_iter().map(info).collect(),
            settings: self.settings()?,
            voters: consensus.voters,
            learners: consensus.learners,
        })
    }

    /// Id of the cluster, from the local copy; `None` before there is one.
    pub fn cluster_id(&self) -> Result<Option<String>, Error> {
        let found = self.inner.store.get(keyspace::CLUSTER_ID)?;
        Ok(found.map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
    }

    pub(crate) fn consensus(&self) -> Consensus {
        let status = self.inner.store.status();
        let members = self.inner.store.members_status().into_iter();
        Consensus {
            leader: status.leader,
            term: status.term,
            voters: status.voters,
            learners: status.learners,
            lag: members.filter_map(|member| Some((member.id, member.lag?))).collect(),
        }
    }

    /// Runs a change together with its event; `None` when something it looked at had changed.
    pub(crate) async fn change(&self, txn: Txn, event: Event) -> Result<Option<Revision>, Error> {
        let txn = txn.then(self.event_op(&[event]).await?);
        let outcome = self.inner.store.txn(txn).await?;
        Ok(outcome.succeeded.then_some(outcome.revision))
    }

    /// An event about a part of the cluster: a `node`, a `token`, a `certificate`, ...
    pub(crate) fn cluster_event(
        &self,
        kind: &str,
        what: &str,
        name: &str,
        verb: &str,
        actor: &Actor,
    ) -> Event {
        self.event(kind, cluster_object(what, name), verb, actor)
    }

    /// The record under a key of the local copy, with the revision of its last change.
    pub(crate) fn record<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Revision)>, Error> {
        let found = self.inner.store.get(key)?;
        found.map(|kv| Ok((parse(&kv)?, kv.mod_revision))).transpose()
    }

    /// The records under a prefix of the local copy whose keys end in the id of a node.
    pub(crate) fn records_by_id<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<u64, T>, Error> {
        let found = self.scan(RangeQuery::prefix(prefix))?;
        let mut records = BTreeMap::new();
        for kv in &found.kvs {
            if let Some(id) = keyspace::parse_id(prefix, &kv.key) {
                records.insert(id, parse(kv)?);
            }
        }
        Ok(records)
    }
}

/// What events about parts of the cluster are about. It is no object that can be applied.
pub(crate) fn cluster_object(what: &str, name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Custom, what, name)
}

/// Holds as long as no key under the prefix was written after `seen`. Deletes go unnoticed.
pub(crate) fn untouched(prefix: &str, seen: Revision) -> Compare {
    let target = Target::ModRevision(seen + 1);
    Compare { range: KeyRange::prefix(prefix), op: CmpOp::Less, target }
}

/// Holds as long as the key is as it was seen; 0 stands for absent.
pub(crate) fn unchanged(key: impl Into<String>, seen: Revision) -> Compare {
    Compare::mod_revision(key, CmpOp::Equal, seen)
}

pub(crate) fn parse<T: DeserializeOwned>(kv: &KeyValue) -> Result<T, Error> {
    serde_json::from_slice(&kv.value)
        .map_err(|source| Error::Damaged { key: kv.key.clone(), source })
}

pub(crate) fn encode(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records are plain data with string keys")
}

/// An id that nobody else has: 32 hexadecimal digits.
pub(crate) fn fresh_id(control: &Control, label: &str) -> String {
    let seed = format!("{} {} {label}", control.node_id(), now().as_nanosecond());
    let mut id = control.inner.data_key.fingerprint(label, seed.as_bytes());
    id.truncate(32);
    id
}
