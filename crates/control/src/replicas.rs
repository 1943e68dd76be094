//! Replicas: statuses, details, restarts, images.

use std::cmp::Ordering;

use smr_model::{Kind, ObjectKey, ReplicaKey, ReplicaStatus, Spec, natural_cmp};
use smr_state::{Op, RangeQuery, Txn};
use smr_wire::{
    EventQuery, Image, ImageList, ReplicaDetail, ReplicaList, ReplicaQuery, RestartResponse,
};

use crate::{Actor, Control, Error, control::now, events::Filter, keyspace};

/// Events shown with a replica.
const EVENTS: usize = 20;

impl Control {
    /// Statuses of replicas in natural order.
    pub async fn replicas(&self, query: &ReplicaQuery) -> Result<ReplicaList, Error> {
        self.barrier().await?;
        let (revision, items) = self.statuses_of(query.group.as_deref(), query.name.as_deref())?;
        Ok(ReplicaList { revision, items })
    }

    /// The replica with this generated name.
    pub async fn find_replica(&self, group: &str, generated: &str) -> Result<ReplicaStatus, Error> {
        let (_, statuses) = self.statuses_of(Some(group), None)?;
        let mut known = Vec::new();
        for status in statuses {
            let name = status.key.generated_name();
            if name == generated {
                return Ok(status);
            }
            known.push(name);
        }
        known.truncate(10);
        Err(Error::NoReplica { group: group.to_owned(), name: generated.to_owned(), known })
    }

    /// Everything known about the replica with this generated name.
    pub async fn replica(&self, group: &str, generated: &str) -> Result<ReplicaDetail, Error> {
        self.barrier().await?;
        let status = self.find_replica(group, generated).await?;
        let definition = match self.get(&status.key.object(), false).await {
            Ok(object) => object.definition,
            // The object is deleted and the replica is about to be.
            Err(Error::NoObject { .. }) => serde_json::Value::Null,
            Err(error) => return Err(error),
        };
        let query = EventQuery {
            resource: Some(format!("{}/{group}/{generated}", Kind::Containers)),
            limit: Some(EVENTS),
            ..EventQuery::default()
        };
        let events = self.past_events(&query, &Filter::parse(&query)?)?.items;
        Ok(ReplicaDetail { status, definition, events })
    }

    /// Asks for a restart of the replica with this generated name, or, if `name` is that of a
    /// `containers` object, of all its replicas.
    pub async fn restart(
        &self,
        group: &str,
        name: &str,
        actor: &Actor,
    ) -> Result<RestartResponse, Error> {
        self.barrier().await?;
        let replicas = match self.find_replica(group, name).await {
            Ok(status) => vec![status.key],
            Err(missing) => {
                let key = ObjectKey::new(Kind::Containers, group, name);
                let object = self.object(&key).await?.ok_or(missing)?;
                self.replicas_of(&key, &object.definition.spec)?
            }
        };
        // The time alone would do for one node; the node keeps two apart that ask at once.
        let token = format!("{}-{}", now().as_nanosecond(), self.node_id());
        let mut txn = Txn::new();
        let mut events = Vec::with_capacity(replicas.len());
        let mut names = Vec::with_capacity(replicas.len());
        for replica in replicas {
            txn = txn.then(Op::put(keyspace::restart(&replica), token.clone()));
            let generated = replica.generated_name();
            let object = ObjectKey::new(Kind::Containers, group, &generated);
            events.push(self.event("restart", object, "restart asked for", actor));
            names.push(generated);
        }
        txn = txn.then(self.event_op(&events).await?);
        let revision = self.inner.store.txn(txn).await?.revision;
        Ok(RestartResponse { revision, replicas: names })
    }

    /// Images of replicas, in natural order of the replicas.
    pub async fn images(&self) -> Result<ImageList, Error> {
        let replicas = self.replicas(&ReplicaQuery::default()).await?;
        let image = |status: ReplicaStatus| Image {
            container: status.key.to_string(),
            image: status.image,
            state: status.image_state,
        };
        Ok(ImageList { items: replicas.items.into_iter().map(image).collect() })
    }

    /// Replicas that exist, and before an agent has seen the object those that will.
    fn replicas_of(&self, key: &ObjectKey, spec: &Spec) -> Result<Vec<ReplicaKey>, Error> {
        let (_, statuses) = self.statuses_of(Some(&key.group), Some(&key.name))?;
        if !statuses.is_empty() {
            return Ok(statuses.into_iter().map(|status| status.key).collect());
        }
        let Spec::Containers(spec, _) = spec else { return Ok(Vec::new()) };
        let replica = |index| ReplicaKey::new(&key.group, &key.name, index);
        Ok((1..=spec.replica_count()).map(replica).collect())
    }

    fn statuses_of(
        &self,
        group: Option<&str>,
        name: Option<&str>,
    ) -> Result<(u64, Vec<ReplicaStatus>), Error> {
        let mut prefix = keyspace::STATUSES.to_owned();
        for element in [group, name] {
            let Some(element) = element else { break };
            prefix.push_str(element);
            prefix.push('/');
        }
        let found = self.scan(RangeQuery::prefix(prefix))?;
        let mut items = Vec::with_capacity(found.kvs.len());
        for kv in found.kvs {
            let status: ReplicaStatus = serde_json::from_slice(&kv.value)
                .map_err(|source| Error::Damaged { key: kv.key, source })?;
            if group.is_none_or(|group| group == status.key.group)
                && name.is_none_or(|name| name == status.key.name)
            {
                items.push(status);
            }
        }
        items.sort_by(|a, b| natural(&a.key, &b.key));
        Ok((found.revision, items))
    }
}

fn natural(a: &ReplicaKey, b: &ReplicaKey) -> Ordering {
    natural_cmp(&a.group, &b.group)
        .then_with(|| natural_cmp(&a.name, &b.name))
        .then_with(|| a.index.cmp(&b.index))
}
