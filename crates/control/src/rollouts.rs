//! Rollouts: how far they are, and what people do about them. The steps are the leader's.

use std::collections::BTreeMap;

use smr_model::{Kind, ObjectKey, Rollout, RolloutState};
use smr_state::{CmpOp, Compare, KeyValue, Op, RangeQuery, Revision, Txn};
use smr_wire::{ApplyAction, RolloutAction, RolloutReplica, RolloutResponse, RolloutView};

use crate::{
    Actor, Control, Error, StoredObject, control::now, history, keyspace, propose::Home,
    replicas::ReplicaView,
};

/// Every rollout by group and name of its object, with the revision it was last changed at.
pub type Rollouts = BTreeMap<GroupName, (Rollout, Revision)>;

/// Group and name of a `containers` object.
pub type GroupName = (String, String);

/// How often a change is tried again when the leader writes the same rollout meanwhile.
const ATTEMPTS: usize = 16;

impl Control {
    /// Every rollout and the revision of that, from the local copy. One that cannot be read is logged
    /// and left out.
    pub async fn rollouts(&self) -> Result<(Revision, Rollouts), Error> {
        let found = self.scan(RangeQuery::prefix(keyspace::ROLLOUTS))?;
        let rollout = |kv: &KeyValue| {
            let (object, rollout) = decode_rollout(kv)
                .inspect_err(|error| {
                    let error = error as &dyn std::error::Error;
                    tracing::error!(key = %kv.key, error, "rollout cannot be read");
                })
                .ok()??;
            Some((object, (rollout, kv.mod_revision)))
        };
        Ok((found.revision, found.kvs.iter().filter_map(rollout).collect()))
    }

    /// How a change reaches the replicas of a `containers` object, and its former definitions.
    pub async fn rollout(&self, group: &str, name: &str) -> Result<RolloutView, Error> {
        self.barrier().await?;
        let key = ObjectKey::new(Kind::Containers, group, name);
        let revision = self.revision();
        let object = self.stored(&key).await?;
        let (_, replicas) = self.merged(Some(group), Some(name))?;
        let replica = |view: ReplicaView| RolloutReplica {
            name: view.status.key.generated_name(),
            index: view.status.key.index,
            wanted: view.wanted(),
            generation: if view.is_reported { view.status.generation } else { 0 },
            state: view.status.state,
            ready: view.status.ready,
            node: view.status.node,
        };
        Ok(RolloutView {
            revision,
            stale: self.is_stale(),
            generation: object.generation,
            rollout: self.stored_rollout(&key)?.map(|(rollout, _)| rollout),
            replicas: replicas.into_iter().map(replica).collect(),
            history: history::entries(&self.history(&key).await?),
            key,
        })
    }

    /// Pauses, resumes, promotes or undoes. `to` is for [`RolloutAction::Undo`]: the generation to go
    /// back to, the one before the present one when absent.
    pub async fn change_rollout(
        &self,
        group: &str,
        name: &str,
        action: RolloutAction,
        to: Option<u64>,
        actor: &Actor,
    ) -> Result<RolloutResponse, Error> {
        let key = ObjectKey::new(Kind::Containers, group, name);
        if action == RolloutAction::Undo {
            return self.undo(&key, to, actor).await;
        }
        for _ in 0..ATTEMPTS {
            self.settled().await?;
            let object = self.stored(&key).await?;
            let (mut rollout, seen) =
                self.stored_rollout(&key)?.ok_or_else(|| Error::NoRollout { key: key.clone() })?;
            let path = keyspace::rollout(group, name);
            let mut revision = self.revision();
            if turn(&mut rollout, &key, action, &actor.name)? {
                rollout.since = now();
                let value = serde_json::to_vec(&rollout).expect("a rollout is plain data");
                let verb = match action {
                    RolloutAction::Pause => "paused",
                    RolloutAction::Resume => "resumed",
                    _ => "promoted",
                };
                let event = self.event(&format!("rollout_{verb}"), key.clone(), verb, actor);
                let txn = Txn::new()
                    .when(Compare::mod_revision(path.clone(), CmpOp::Equal, seen))
                    .then(Op::put(path, value))
                    .then(self.event_op(&[event]).await?);
                let outcome = self.inner.store.txn(txn).await?;
                if !outcome.succeeded {
                    continue;
                }
                revision = outcome.revision;
            }
            let generation = object.generation;
            return Ok(RolloutResponse { revision, generation, rollout: Some(rollout) });
        }
        Err(Error::Contended { key: key.to_string() })
    }

    /// Applies a former definition again, as a new generation.
    async fn undo(
        &self,
        key: &ObjectKey,
        to: Option<u64>,
        actor: &Actor,
    ) -> Result<RolloutResponse, Error> {
        self.settled().await?;
        let object = self.stored(key).await?;
        let kept = self.history(key).await?;
        let former = match to {
            Some(to) => kept.iter().find(|former| former.generation == to),
            None => kept.iter().rev().find(|former| former.generation < object.generation),
        };
        let Some(former) = former else {
            let kept = kept.iter().map(|former| former.generation).collect();
            let generation = to.unwrap_or(0);
            return Err(Error::NoGeneration { key: key.clone(), generation, kept });
        };
        let generation = former.generation;
        let (revision, results) =
            self.propose(vec![former.definition.clone()], None, false, Home::Kept, actor).await?;
        let result = results.first().filter(|result| result.action != ApplyAction::Unchanged);
        let Some(result) = result else {
            return Err(Error::SameDefinition { key: key.clone(), generation });
        };
        Ok(RolloutResponse { revision, generation: result.generation, rollout: None })
    }

    async fn stored(&self, key: &ObjectKey) -> Result<StoredObject, Error> {
        self.object(key).await?.ok_or_else(|| Error::NoObject { key: key.clone() })
    }

    fn stored_rollout(&self, key: &ObjectKey) -> Result<Option<(Rollout, Revision)>, Error> {
        let kv = self.inner.store.get(&keyspace::rollout(&key.group, &key.name))?;
        let Some(kv) = kv else { return Ok(None) };
        let found = decode_rollout(&kv)?;
        Ok(found.map(|(_, rollout)| (rollout, kv.mod_revision)))
    }
}

/// Group and name of the object, and the rollout, of a key that a watch of [`keyspace::ROLLOUTS`]
/// reported; `None` for a key of something else.
pub fn decode_rollout(kv: &KeyValue) -> Result<Option<(GroupName, Rollout)>, Error> {
    let Some(object) = keyspace::parse_rollout(&kv.key) else { return Ok(None) };
    let rollout = serde_json::from_slice(&kv.value)
        .map_err(|source| Error::Damaged { key: kv.key.clone(), source })?;
    Ok(Some((object, rollout)))
}

/// Does to the rollout what was asked for; whether that changes it.
fn turn(
    rollout: &mut Rollout,
    key: &ObjectKey,
    action: RolloutAction,
    by: &str,
) -> Result<bool, Error> {
    use RolloutState as S;
    let (action, changed) = match (action, rollout.state) {
        (RolloutAction::Pause, S::Paused)
        | (RolloutAction::Resume, S::Updating | S::RollingBack) => return Ok(false),
        (RolloutAction::Pause, S::Updating | S::Canary) => {
            rollout.state = S::Paused;
            rollout.message = format!("paused by {by}");
            ("pause", true)
        }
        (RolloutAction::Resume, S::Paused) => {
            rollout.state = S::Updating;
            // What failed so far was looked at.
            rollout.failed.clear();
            rollout.message = format!("resumed by {by}");
            ("resume", true)
        }
        (RolloutAction::Promote, S::Canary | S::Updating | S::Paused) => {
            if rollout.promoted && rollout.state == S::Updating {
                return Ok(false);
            }
            rollout.promoted = true;
            rollout.state = S::Updating;
            rollout.failed.clear();
            rollout.message = format!("promoted by {by}");
            ("promote", true)
        }
        (RolloutAction::Pause, _) => ("pause", false),
        (RolloutAction::Promote, _) => ("be promoted", false),
        (RolloutAction::Resume | RolloutAction::Undo, _) => ("resume", false),
    };
    if changed {
        return Ok(true);
    }
    Err(Error::RolloutState { key: key.clone(), state: rollout.state, action })
}
