//! What agents read and hand in.

use std::collections::BTreeMap;

use smr_model::{Event, ReplicaKey, ReplicaStatus};
use smr_state::{Op, RangeQuery, Revision, Txn};

use crate::{Control, Error, keyspace};

/// Operations of one transaction.
const OPS: usize = 1000;

/// What became of replicas, as one agent saw it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// New statuses.
    pub put: Vec<ReplicaStatus>,
    /// Replicas that are gone from this node.
    pub remove: Vec<ReplicaKey>,
    /// What happened, oldest first. Revision and an empty node name are filled in.
    pub events: Vec<Event>,
}

impl Report {
    /// Whether there is nothing to hand in.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty() && self.events.is_empty()
    }
}

impl Control {
    /// Every status any node has of a replica, in key order, and the revision of that; from the
    /// local copy. A replica that moves has one on each of its two nodes, see
    /// [`ReplicaStatus::node_id`]; [`Control::replicas`] shows the one that counts.
    pub async fn statuses(&self) -> Result<(Revision, Vec<ReplicaStatus>), Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::STATUSES))?;
        let statuses = found.kvs.iter().filter_map(|kv| {
            serde_json::from_slice(&kv.value)
                .inspect_err(|error| {
                    tracing::error!(key = %kv.key, %error, "replica status cannot be read");
                })
                .ok()
        });
        Ok((found.revision, statuses.collect()))
    }

    /// The restart token of every replica that has one; a replica whose status carries another
    /// token is to be restarted. From the local copy.
    pub async fn restart_tokens(&self) -> Result<BTreeMap<ReplicaKey, String>, Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::RESTARTS))?;
        let token = |kv: smr_state::KeyValue| {
            Some((keyspace::parse_restart(&kv.key)?, String::from_utf8(kv.value).ok()?))
        };
        Ok(found.kvs.into_iter().filter_map(token).collect())
    }

    /// Stores a report: the node's own statuses and events in one transaction, in several only when there are
    /// more than about 1,000 changes. Answers with the revision afterwards.
    pub async fn report(&self, report: Report) -> Result<Revision, Error> {
        let Report { put, remove, mut events } = report;
        for event in &mut events {
            event.revision = 0;
            if event.node.is_empty() {
                event.node.clone_from(&self.inner.options.node_name);
            }
        }
        let mut ops = Vec::with_capacity(put.len() + remove.len() + 1);
        for replica in &remove {
            ops.push(Op::delete(keyspace::status(replica, self.node_id())));
        }
        for status in &put {
            let value = serde_json::to_vec(status).expect("a status is plain data");
            ops.push(Op::put(keyspace::status(&status.key, status.node_id), value));
        }
        for events in events.chunks(OPS) {
            ops.push(self.event_op(events).await?);
        }
        let mut revision = self.revision();
        let mut ops = ops.into_iter().peekable();
        while ops.peek().is_some() {
            let mut txn = Txn::new();
            txn.then.extend(ops.by_ref().take(OPS));
            revision = self.inner.store.txn(txn).await?.revision;
        }
        Ok(revision)
    }
}
