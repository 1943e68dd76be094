//! Draining a node, and waiting until what ran there runs elsewhere.

use std::{collections::BTreeMap, fmt, time::Duration};

use smr_client::Client;
use smr_model::{Availability, ReplicaState, ReplicaStatus};
use smr_wire::{NodePatch, NodeView, ReplicaQuery, WatchEvent, WatchKind};

use crate::{
    commands::{patiently, waiting},
    error::{Error, count},
    settings::Settings,
    wait::line,
};

/// Drains a node; waits until it is empty if a time is given.
pub(crate) async fn drain(
    settings: &Settings,
    client: &Client,
    node: &str,
    wait: Option<Duration>,
) -> Result<(NodeView, Option<Evacuation>), Error> {
    let id = client.node(node).await?.status.id;
    // Before the change: afterwards a replica that moved is shown where it went.
    let query = ReplicaQuery::default();
    let before = client.replicas(&query).await?.items;
    let change = NodePatch { availability: Some(Availability::Drain), ..NodePatch::default() };
    let changing = client.patch_node(node, &change);
    let view = patiently(settings, "changing the node", changing).await?;
    let Some(timeout) = wait else { return Ok((view, None)) };
    let mut evacuation = Evacuation::new(id, before);
    waiting::evacuated(settings, client, &mut evacuation, timeout).await?;
    for replica in client.replicas(&query).await?.items {
        evacuation.take(replica);
    }
    for line in evacuation.homeless() {
        settings.printer.note(format_args!("warning: {line}"));
    }
    Ok((view, Some(evacuation)))
}

/// The replicas of a node that is drained, and where they are.
#[derive(Debug, Clone)]
pub(crate) struct Evacuation {
    node: u64,
    /// By group and generated name; those that ran on the node, or still do.
    replicas: BTreeMap<(String, String), ReplicaStatus>,
}

impl Evacuation {
    /// Of the node with this id, when these replicas were there.
    pub(crate) fn new(node: u64, replicas: impl IntoIterator<Item = ReplicaStatus>) -> Self {
        let on_it = replicas.into_iter().filter(|replica| replica.node_id == node);
        let replicas = on_it.map(|replica| (place(&replica), replica)).collect();
        Self { node, replicas }
    }

    /// Id of the node.
    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    /// Takes a change in.
    pub(crate) fn see(&mut self, event: WatchEvent) {
        if event.kind == WatchKind::Delete
            && let Some(key) = &event.key
        {
            self.replicas.remove(&(key.group.clone(), key.name.clone()));
        }
        if let Some(replica) = event.replica.filter(|_| event.kind == WatchKind::Put) {
            self.take(replica);
        }
    }

    /// Takes a status in, if it is of one that is or was on the node.
    fn take(&mut self, replica: ReplicaStatus) {
        let place = place(&replica);
        if replica.node_id == self.node || self.replicas.contains_key(&place) {
            self.replicas.insert(place, replica);
        }
    }

    /// Whether it is elsewhere and no longer needs the container it left behind.
    fn has_left(&self, replica: &ReplicaStatus) -> bool {
        let placed = replica.node_id != 0;
        replica.node_id != self.node && (!placed || replica.state.is_done())
    }

    /// A line for each replica that is still there, or not yet ready elsewhere.
    pub(crate) fn missing(&self) -> Vec<String> {
        let left = |replica: &&ReplicaStatus| !self.has_left(replica);
        let shown = |replica: &ReplicaStatus| match replica.node_id == self.node {
            true => format!("{}: still there: {}", replica.key, replica.state),
            false => format!("{} (on {})", line(replica), replica.node),
        };
        self.replicas.values().filter(left).map(shown).collect()
    }

    /// A line for each replica that has no place now.
    fn homeless(&self) -> Vec<String> {
        let pending = |replica: &&ReplicaStatus| {
            replica.node_id == 0 && replica.state == ReplicaState::Pending
        };
        self.replicas.values().filter(pending).map(line).collect()
    }

    /// Replicas that are elsewhere, of how many.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let gone = self.replicas.values().filter(|replica| self.has_left(replica));
        (gone.count(), self.replicas.len())
    }
}

/// ` (3 replicas moved, 1 without a place)`.
impl fmt::Display for Evacuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let homeless = self.homeless().len();
        match (self.replicas.len() - homeless, homeless) {
            (0, 0) => Ok(()),
            (moved, 0) => write!(f, " ({} moved)", count(moved, "replica")),
            (moved, homeless) => {
                write!(f, " ({} moved, {homeless} without a place)", count(moved, "replica"))
            }
        }
    }
}

fn place(replica: &ReplicaStatus) -> (String, String) {
    (replica.key.group.clone(), replica.key.generated_name())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use smr_model::{Kind, ObjectKey, Reason, ReplicaKey};

    use super::*;

    fn on(node: u64, index: u32, state: ReplicaState) -> ReplicaStatus {
        let key = ReplicaKey::new("shop", "web", index);
        let name = if node == 0 { String::new() } else { format!("node-{node}") };
        let status = ReplicaStatus::new(key, name, node, Timestamp::UNIX_EPOCH);
        ReplicaStatus { state, ..status }
    }

    fn put(status: ReplicaStatus) -> WatchEvent {
        let key = ObjectKey::new(Kind::Containers, "shop", status.key.generated_name());
        let (key, replica) = (Some(key), Some(status));
        WatchEvent { kind: WatchKind::Put, revision: 1, key, object: None, replica }
    }

    #[test]
    fn what_is_still_there_on_its_way_and_without_a_place_is_told() {
        let running = ReplicaState::Running;
        let before = [on(2, 1, running), on(2, 2, running), on(1, 3, running)];
        let mut evacuation = Evacuation::new(2, before);
        assert_eq!(evacuation.counts(), (0, 2), "the third is elsewhere");
        evacuation.see(put(on(1, 1, ReplicaState::Start)));
        assert_eq!(
            evacuation.missing(),
            [
                "containers/shop/shop-web-1: start (on node-1)",
                "containers/shop/shop-web-2: still there: running"
            ]
        );
        evacuation.see(put(on(1, 1, running)));
        evacuation.see(put(on(1, 3, ReplicaState::Start)));
        assert_eq!(evacuation.counts(), (1, 2));
        let mut pending = on(0, 2, ReplicaState::Pending);
        pending.reason = Some(Reason::new("NoNode", "no node fits: 1 drained"));
        evacuation.see(put(pending));
        assert!(evacuation.missing().is_empty());
        assert_eq!(evacuation.to_string(), " (1 replica moved, 1 without a place)");
        assert_eq!(
            evacuation.homeless(),
            ["containers/shop/shop-web-2: pending: no node fits: 1 drained"]
        );
    }

    #[test]
    fn what_came_in_between_is_told_too_and_what_was_removed_is_not() {
        let mut evacuation = Evacuation::new(2, [on(2, 1, ReplicaState::Running)]);
        evacuation.see(put(on(2, 5, ReplicaState::Prepare)));
        assert_eq!(evacuation.missing().len(), 2);
        let gone = WatchEvent { kind: WatchKind::Delete, ..put(on(2, 1, ReplicaState::Running)) };
        evacuation.see(gone);
        assert_eq!(evacuation.counts(), (0, 1));
    }
}
