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
    replicas: BTreeMap<(String, String), Option<ReplicaStatus>>,
    synced: bool,
}

impl Evacuation {
    /// Of the node with this id, when these replicas were there.
    pub(crate) fn new(node: u64, replicas: impl IntoIterator<Item = ReplicaStatus>) -> Self {
        let on_it = replicas.into_iter().filter(|replica| replica.node_id == node);
        let replicas = on_it.map(|replica| (place(&replica), Some(replica))).collect();
        Self { node, replicas, synced: false }
    }

    /// Forgets what became of them: the stream begins again.
    pub(crate) fn restart(&mut self) {
        self.synced = false;
        for replica in self.replicas.values_mut() {
            *replica = None;
        }
    }

    /// Takes a change in.
    pub(crate) fn see(&mut self, event: WatchEvent) {
        match event.kind {
            WatchKind::Synced => self.synced = true,
            WatchKind::Delete => {
                if let Some(key) = event.key {
                    self.replicas.remove(&(key.group, key.name));
                }
            }
            WatchKind::Put => {
                let Some(replica) = event.replica else { return };
                let place = place(&replica);
                if replica.node_id == self.node || self.replicas.contains_key(&place) {
                    self.replicas.insert(place, Some(replica));
                }
            }
        }
    }

    /// Whether nothing runs on the node any more.
    pub(crate) fn is_done(&self) -> bool {
        self.synced && self.replicas.values().flatten().all(|replica| self.has_left(replica))
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
        self.replicas.values().flatten().filter(left).map(shown).collect()
    }

    /// A line for each replica that has no place now.
    fn homeless(&self) -> Vec<String> {
        let pending = |replica: &&ReplicaStatus| {
            replica.node_id == 0 && replica.state == ReplicaState::Pending
        };
        self.replicas.values().flatten().filter(pending).map(line).collect()
    }

    /// Replicas that are elsewhere, of how many.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let gone = self.replicas.values().flatten().filter(|replica| self.has_left(replica));
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

    fn synced() -> WatchEvent {
        let (key, object, replica) = (None, None, None);
        WatchEvent { kind: WatchKind::Synced, revision: 1, key, object, replica }
    }

    #[test]
    fn a_node_is_empty_when_what_ran_there_is_ready_elsewhere_or_has_no_place() {
        let running = ReplicaState::Running;
        let before = [on(2, 1, running), on(2, 2, running), on(1, 3, running)];
        let mut evacuation = Evacuation::new(2, before);
        assert_eq!(evacuation.counts(), (0, 2), "the third is elsewhere");
        evacuation.see(synced());
        evacuation.see(put(on(1, 1, ReplicaState::Start)));
        assert_eq!(
            evacuation.missing(),
            [
                "containers/shop/shop-web-1: start (on node-1)",
                "containers/shop/shop-web-2: still there: running"
            ]
        );
        evacuation.see(put(on(1, 1, running)));
        assert!(!evacuation.is_done());
        let mut pending = on(0, 2, ReplicaState::Pending);
        pending.reason = Some(Reason::new("NoNode", "no node fits: 1 drained"));
        evacuation.see(put(pending));
        assert!(evacuation.is_done());
        assert_eq!(evacuation.to_string(), " (1 replica moved, 1 without a place)");
        assert_eq!(
            evacuation.homeless(),
            ["containers/shop/shop-web-2: pending: no node fits: 1 drained"]
        );
    }

    #[test]
    fn what_came_in_between_is_waited_for_too() {
        let mut evacuation = Evacuation::new(2, []);
        assert!(!evacuation.is_done(), "nothing was seen yet");
        evacuation.see(put(on(2, 5, ReplicaState::Prepare)));
        evacuation.see(synced());
        assert!(!evacuation.is_done());
        evacuation.restart();
        evacuation.see(put(on(3, 5, ReplicaState::Running)));
        evacuation.see(synced());
        assert!(evacuation.is_done());
    }
}
