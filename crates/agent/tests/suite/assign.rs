//! The leader's part, as simple as can be: every replica gets a node, at the present generation.

use std::collections::BTreeMap;

use smr_control::{Control, keyspace};
use smr_model::{Assignment, ReplicaKey, Spec};

/// Writes the assignments that follow from the stored objects at their present generation; `node`
/// chooses. Tells the revision.
pub(crate) async fn assign(control: &Control, node: impl Fn(&ReplicaKey) -> u64) -> u64 {
    assign_at(control, |key| (node(key), u64::MAX)).await
}

/// The same with a node and a generation for each; one that is not there yet is the present one.
pub(crate) async fn assign_at(control: &Control, node: impl Fn(&ReplicaKey) -> (u64, u64)) -> u64 {
    let smr_control::Loaded { objects, unreadable, .. } = control.objects().await.unwrap();
    let mut wanted: BTreeMap<String, Assignment> = BTreeMap::new();
    for object in objects {
        let Spec::Containers(spec, _) = &object.definition.spec else { continue };
        let key = object.key();
        for index in 1..=spec.replica_count() {
            let replica = ReplicaKey::new(&key.group, &key.name, index);
            let (node, generation) = node(&replica);
            let assignment = Assignment {
                node: Some(node),
                uid: object.uid.clone(),
                generation: generation.min(object.generation),
                reason: None,
                since: object.updated,
            };
            wanted.insert(keyspace::assignment(&replica), assignment);
        }
    }
    let store = control.store();
    let mut revision = store.revision();
    let present = store.list(keyspace::ASSIGNMENTS).unwrap().kvs;
    for kv in &present {
        let object = keyspace::parse_assignment(&kv.key).unwrap().object();
        if !unreadable.contains(&object) && !wanted.contains_key(&kv.key) {
            revision = store.delete(&kv.key).await.unwrap().unwrap_or(revision);
        }
    }
    let mut txn = smr_store::Txn::new();
    for (key, assignment) in wanted {
        let value = serde_json::to_vec(&assignment).unwrap();
        if !present.iter().any(|kv| kv.key == key && kv.value == value) {
            txn.then.push(smr_store::Op::put(key, value));
        }
    }
    if !txn.then.is_empty() {
        revision = store.txn(txn).await.unwrap().revision;
    }
    revision
}
