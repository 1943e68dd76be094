//! Replicas: statuses, details, restarts, images.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
};

use smr_model::{
    Assignment, Kind, ObjectKey, Reason, ReplicaKey, ReplicaState, ReplicaStatus, Spec, natural_cmp,
};
use smr_state::{KeyValue, Op, RangeQuery, Revision, Txn};
use smr_wire::{
    EventQuery, Image, ImageList, ReplicaDetail, ReplicaList, ReplicaQuery, RestartResponse,
};

use crate::{
    Actor, Control, Error, control::now, events::Filter, keyspace, placement::decode_assignment,
};

/// Events shown with a replica.
const EVENTS: usize = 20;

impl Control {
    /// Statuses of replicas in natural order.
    pub async fn replicas(&self, query: &ReplicaQuery) -> Result<ReplicaList, Error> {
        self.barrier().await?;
        let (revision, views) = self.merged(query.group.as_deref(), query.name.as_deref())?;
        let items = views.into_iter().map(|view| view.status).collect();
        Ok(ReplicaList { revision, stale: self.is_stale(), items })
    }

    /// The replica with this generated name; its status says which node has it. From the local copy.
    pub async fn find_replica(&self, group: &str, generated: &str) -> Result<ReplicaStatus, Error> {
        let (_, views) = self.merged(Some(group), None)?;
        let mut known = Vec::new();
        for ReplicaView { status, .. } in views {
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
        self.settled().await?;
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
        let ReplicaList { revision, stale, items } = replicas;
        Ok(ImageList { revision, stale, items: items.into_iter().map(image).collect() })
    }

    /// Replicas that are assigned or exist, and before the leader has seen the object those that will
    /// be.
    fn replicas_of(&self, key: &ObjectKey, spec: &Spec) -> Result<Vec<ReplicaKey>, Error> {
        let (_, views) = self.merged(Some(&key.group), Some(&key.name))?;
        if !views.is_empty() {
            return Ok(views.into_iter().map(|view| view.status.key).collect());
        }
        let Spec::Containers(spec, _) = spec else { return Ok(Vec::new()) };
        let replica = |index| ReplicaKey::new(&key.group, &key.name, index);
        Ok((1..=spec.replica_count()).map(replica).collect())
    }

    /// The replicas that match, one view each, in natural order.
    pub(crate) fn merged(
        &self,
        group: Option<&str>,
        name: Option<&str>,
    ) -> Result<(Revision, Vec<ReplicaView>), Error> {
        // Everything is read at one revision, so that nothing is between two places.
        let revision = self.revision();
        let found = self.parts(group, name, revision)?;
        let names = self.node_names()?;
        let mut views: Vec<ReplicaView> =
            found.iter().filter_map(|(key, parts)| parts.merge(key, &names)).collect();
        views.sort_by(|a, b| natural(&a.status.key, &b.status.key));
        Ok((revision, views))
    }

    /// What is stored of the replicas that match.
    pub(crate) fn parts(
        &self,
        group: Option<&str>,
        name: Option<&str>,
        at: Revision,
    ) -> Result<BTreeMap<ReplicaKey, Parts>, Error> {
        let mut path = String::new();
        for element in [group, name] {
            let Some(element) = element else { break };
            path.push_str(element);
            path.push('/');
        }
        let mut found: BTreeMap<ReplicaKey, Parts> = BTreeMap::new();
        for prefix in [keyspace::STATUSES, keyspace::ASSIGNMENTS] {
            let query = RangeQuery::prefix(format!("{prefix}{path}")).at(at);
            for kv in self.scan(query)?.kvs {
                Parts::put(&mut found, &kv)?;
            }
        }
        found.retain(|key, _| {
            group.is_none_or(|group| group == key.group) && name.is_none_or(|name| name == key.name)
        });
        Ok(found)
    }

    /// The name of every node that is or was known.
    pub(crate) fn node_names(&self) -> Result<BTreeMap<u64, String>, Error> {
        #[derive(serde::Deserialize)]
        struct Named {
            id: u64,
            name: String,
        }
        let mut names = BTreeMap::new();
        for prefix in [keyspace::NODES, keyspace::MEMBERS] {
            for kv in self.scan(RangeQuery::prefix(prefix))?.kvs {
                let named: Named = serde_json::from_slice(&kv.value)
                    .map_err(|source| Error::Damaged { key: kv.key, source })?;
                names.insert(named.id, named.name);
            }
        }
        Ok(names)
    }
}

/// One replica as it is shown: what its node says, or, before that, what is known from where it is
/// assigned.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaView {
    /// The status that counts.
    pub status: ReplicaStatus,
    /// Where it is to be; `None` for one that is being removed.
    pub assignment: Option<Assignment>,
    /// Whether the status comes from a node.
    pub is_reported: bool,
}

impl ReplicaView {
    /// The generation it is to run.
    pub fn wanted(&self) -> u64 {
        self.assignment.as_ref().map_or(self.status.generation, |wanted| wanted.generation)
    }
}

/// What is stored of one replica.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// By id of the node.
    statuses: BTreeMap<u64, ReplicaStatus>,
    assignment: Option<Assignment>,
}

impl Parts {
    /// Takes in what was written; whose it is, and whether its view may have changed. `None` for a key
    /// of something else.
    pub(crate) fn put(
        known: &mut BTreeMap<ReplicaKey, Self>,
        kv: &KeyValue,
    ) -> Result<Option<(ReplicaKey, bool)>, Error> {
        if let Some((replica, assignment)) = decode_assignment(kv)? {
            known.entry(replica.clone()).or_default().assignment = Some(assignment);
            return Ok(Some((replica, true)));
        }
        let Some((replica, node)) = keyspace::parse_status(&kv.key) else { return Ok(None) };
        let status = serde_json::from_slice(&kv.value)
            .map_err(|source| Error::Damaged { key: kv.key.clone(), source })?;
        let parts = known.entry(replica.clone()).or_default();
        parts.statuses.insert(node, status);
        Ok(Some((replica, parts.shows(node))))
    }

    /// Takes in that a key was removed; as [`Parts::put`].
    pub(crate) fn remove(
        known: &mut BTreeMap<ReplicaKey, Self>,
        path: &str,
    ) -> Option<(ReplicaKey, bool)> {
        let (replica, node) = match keyspace::parse_assignment(path) {
            Some(replica) => (replica, None),
            None => keyspace::parse_status(path).map(|(replica, node)| (replica, Some(node)))?,
        };
        let parts = known.entry(replica.clone()).or_default();
        let visible = match node {
            Some(node) => {
                parts.statuses.remove(&node);
                parts.shows(node)
            }
            None => parts.assignment.take().is_some(),
        };
        if parts.statuses.is_empty() && parts.assignment.is_none() {
            known.remove(&replica);
        }
        Some((replica, visible))
    }

    /// Whether the view is made from the status of this node.
    fn shows(&self, node: u64) -> bool {
        self.assignment.as_ref().is_none_or(|assignment| assignment.node == Some(node))
    }

    /// Whether the view has to name a node that has said nothing yet.
    pub(crate) fn needs_name(&self) -> bool {
        let node = self.assignment.as_ref().and_then(|assignment| assignment.node);
        node.is_some_and(|id| !self.statuses.contains_key(&id))
    }

    /// The one view of the replica; `None` if there is none.
    pub(crate) fn merge(
        &self,
        key: &ReplicaKey,
        names: &BTreeMap<u64, String>,
    ) -> Option<ReplicaView> {
        let view = |status, is_reported| {
            Some(ReplicaView { status, assignment: self.assignment.clone(), is_reported })
        };
        let Some(wanted) = &self.assignment else {
            // Being removed; where there is still a container, that is what matters.
            let last = self.statuses.values().max_by_key(|status| {
                (status.engine_state.is_some(), status.since, Reverse(status.node_id))
            })?;
            return view(last.clone(), true);
        };
        if let Some(status) = wanted.node.and_then(|id| self.statuses.get(&id)) {
            return view(status.clone(), true);
        }
        let mut status = match wanted.node {
            Some(id) => {
                let name = names.get(&id).cloned().unwrap_or_else(|| format!("node-{id}"));
                ReplicaStatus::new(key.clone(), name, id, wanted.since)
            }
            None => ReplicaStatus::new(key.clone(), "", 0, wanted.since),
        };
        status.generation = wanted.generation;
        status.reason.clone_from(&wanted.reason);
        if wanted.node.is_none() {
            status.state = ReplicaState::Pending;
            status.reason.get_or_insert_with(|| Reason::new("NoNode", "no node is fit"));
        }
        view(status, false)
    }
}

pub(crate) fn natural(a: &ReplicaKey, b: &ReplicaKey) -> Ordering {
    natural_cmp(&a.group, &b.group)
        .then_with(|| natural_cmp(&a.name, &b.name))
        .then_with(|| a.index.cmp(&b.index))
}
