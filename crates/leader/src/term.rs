//! What runs while this node leads in one term.

use std::sync::Arc;

use smr_control::{Control, Report, keyspace};
use smr_model::{Event, Kind, ObjectKey};
use smr_store::{Error, Store, Txn, TxnOutcome};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    Options, cleaning, health, leader, members,
    nodes::Nodes,
    placement::{self, Failure},
};

/// One term of this node as leader; what the controllers share.
#[derive(Clone)]
pub(crate) struct Term {
    pub(crate) options: leader::Options,
    /// Number of the term; writes end with it.
    pub(crate) number: u64,
    /// What is known of nodes.
    pub(crate) nodes: watch::Sender<Arc<Nodes>>,
    /// Something may be there that nobody needs any more.
    pub(crate) clean: Arc<Notify>,
}

impl Term {
    pub(crate) fn new(options: Options, number: u64) -> Self {
        let nodes = watch::Sender::new(Arc::new(Nodes::default()));
        Self { options, number, nodes, clean: Arc::new(Notify::new()) }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.options.control
    }

    pub(crate) fn store(&self) -> &Store {
        self.options.control.store()
    }

    /// Runs all controllers until one cannot go on. Dropping it ends them all.
    pub(crate) async fn run(self) {
        let mut controllers: JoinSet<(&str, Result<(), Failure>)> = JoinSet::new();
        let term = self.clone();
        controllers.spawn(async move { ("placement", placement::run(term).await) });
        let term = self.clone();
        controllers.spawn(async move { ("health", health::run(term).await) });
        let term = self.clone();
        controllers.spawn(async move { ("members", members::run(term).await) });
        let term = self.clone();
        controllers.spawn(async move { ("cleaning", cleaning::run(term).await) });
        drop(self);
        match controllers.join_next().await {
            Some(Ok((_, Ok(())))) | None => {}
            Some(Ok((controller, Err(error)))) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(controller, error, "a controller of the leader starts over");
            }
            Some(Err(error)) => tracing::error!(%error, "a controller of the leader panicked"),
        }
    }

    /// Writes as the leader of this term; never forwarded.
    pub(crate) async fn write(&self, txn: Txn) -> Result<TxnOutcome, Error> {
        self.store().txn_local(self.number, txn).await
    }

    /// Records what happened to a node.
    pub(crate) async fn tell(&self, kind: &str, node: &str, message: String) {
        let mut object = ObjectKey::new(Kind::Custom, "node", node);
        "cluster/v1".clone_into(&mut object.prefix);
        self.tell_of(kind, object, message).await;
    }

    async fn tell_of(&self, kind: &str, object: ObjectKey, message: String) {
        let report =
            Report { events: vec![self.event(kind, object, message)], ..Report::default() };
        if let Err(error) = self.control().report(report).await {
            tracing::warn!(%error, event = kind, "an event could not be recorded");
        }
    }

    /// An event of this node.
    pub(crate) fn event(&self, kind: &str, object: ObjectKey, message: String) -> Event {
        Event {
            revision: 0,
            kind: kind.to_owned(),
            object,
            time: jiff::Timestamp::now(),
            node: self.control().node_name().to_owned(),
            message,
        }
    }

    /// The name of a node for messages: its name and id.
    pub(crate) fn name_of(&self, id: u64) -> String {
        let nodes = self.nodes.borrow();
        nodes.members.get(&id).map_or_else(|| format!("node {id}"), |member| member.name.clone())
    }

    /// Waits until the first view of the nodes is there; errors when the term is over.
    pub(crate) async fn first_nodes(&self) -> Option<watch::Receiver<Arc<Nodes>>> {
        let mut nodes = self.nodes.subscribe();
        nodes.wait_for(|nodes| nodes.is_loaded).await.ok()?;
        nodes.mark_unchanged();
        Some(nodes)
    }
}

/// Where records about nodes lie.
pub(crate) const NODE_PREFIXES: [&str; 6] = [
    keyspace::MEMBERS,
    keyspace::REMOVED,
    keyspace::HEALTH,
    keyspace::NODE_SETTINGS,
    keyspace::NODES,
    keyspace::CLUSTER_SETTINGS,
];
