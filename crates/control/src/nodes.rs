//! Nodes: who they are and how they do.

use smr_model::NodeStatus;
use smr_state::{Op, RangeQuery, Revision, Txn};
use smr_wire::{NodeList, NodeView};

use crate::{Control, Error, keyspace};

impl Control {
    /// Known nodes in order of id.
    pub async fn nodes(&self) -> Result<NodeList, Error> {
        self.barrier().await?;
        let found = self.scan(RangeQuery::prefix(keyspace::NODES))?;
        let mut items = Vec::with_capacity(found.kvs.len());
        for kv in found.kvs {
            let node: NodeStatus = serde_json::from_slice(&kv.value)
                .map_err(|source| Error::Damaged { key: kv.key, source })?;
            items.push(NodeView::new(node));
        }
        items.sort_by_key(|node| node.status.id);
        Ok(NodeList { items })
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
}
