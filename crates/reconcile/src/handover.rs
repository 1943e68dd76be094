//! Whether a node runs a replica, waits for another node to let go of it, or lets go of it.

use smr_model::{
    Assignment, EngineState, ReplicaState, ReplicaStatus,
    spec::{ContainersSpec, RestartPolicy, UpdateOrder, VolumeType},
};

/// What one node says of a replica, as far as others have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Lifecycle state.
    pub state: ReplicaState,
    /// Whether it is ready.
    pub ready: bool,
    /// Generation it is about.
    pub generation: u64,
    /// Whether the node has, or may be about to have, a container of it.
    pub container: bool,
}

impl Sighting {
    /// What has to be known of a status.
    pub fn of(status: &ReplicaStatus) -> Self {
        let container = has_container(status.state, status.engine_state, &status.container_id);
        let ReplicaStatus { state, ready, generation, .. } = *status;
        Self { state, ready, generation, container }
    }
}

/// Whether a node with this status has, or may be about to have, a container. While its engine does
/// not answer only the id tells.
pub fn has_container(state: ReplicaState, engine: Option<EngineState>, id: &str) -> bool {
    engine.is_some() || !id.is_empty() || matches!(state, ReplicaState::Init | ReplicaState::Start)
}

/// Another node's view of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherNode {
    /// Its id.
    pub node: u64,
    /// The leader says that it is down: nothing it said counts.
    pub down: bool,
    /// What it says.
    pub sighting: Sighting,
}

/// What a node does about a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Runs it.
    Run,
    /// Is to run it once that node no longer does.
    Wait(u64),
    /// Goes on with the container it has until that node is ready.
    Keep(u64),
    /// Has nothing to do with it: what is there is removed.
    Leave,
}

/// Decides what node `me` does about a replica, from its assignment, whether a container of it runs
/// here, and what other nodes say. `order` is that of the definition it is assigned at.
pub fn handover(
    me: u64,
    assignment: Option<&Assignment>,
    runs_here: bool,
    others: &[OtherNode],
    order: impl FnOnce() -> UpdateOrder,
) -> Duty {
    let Some((assignment, node)) = assignment.and_then(|a| Some((a, a.node?))) else {
        return Duty::Leave;
    };
    if node == me {
        let has = |other: &&OtherNode| other.node != me && !other.down && other.sighting.container;
        return match others.iter().find(has) {
            // What runs already is not stopped for the sake of an order that was missed.
            Some(other) if !runs_here && order() == UpdateOrder::StopFirst => {
                Duty::Wait(other.node)
            }
            _ => Duty::Run,
        };
    }
    if !runs_here {
        return Duty::Leave;
    }
    // What a node said before it went down does not count: until the replica gets another node, or
    // that one is back, this container is all there is.
    let successor = others.iter().find(|other| other.node == node && !other.down);
    let done = successor.is_some_and(|other| {
        (other.sighting.ready && other.sighting.generation == assignment.generation)
            || other.sighting.state == ReplicaState::Completed
    });
    if done || order() == UpdateOrder::StopFirst { Duty::Leave } else { Duty::Keep(node) }
}

/// The order in which a replica moves from one node to another: as the definition says, otherwise
/// `start-first` unless it writes to a volume or runs once.
pub fn handover_order(spec: &ContainersSpec) -> UpdateOrder {
    match ordered(spec) {
        Some(order) => order,
        None if writes_to_volume(spec) || spec.restart != RestartPolicy::Always => {
            UpdateOrder::StopFirst
        }
        None => UpdateOrder::StartFirst,
    }
}

/// The order in which a container is replaced on its node: as [`handover_order`], but `stop-first`
/// where both at once cannot work, because a port of the host is published, and by default also with
/// the host's network.
pub fn replacement_order(spec: &ContainersSpec) -> UpdateOrder {
    let published = spec.ports.iter().any(|port| !port.host.is_empty());
    let in_host = spec.network_mode == "host" && ordered(spec).is_none();
    if published || in_host { UpdateOrder::StopFirst } else { handover_order(spec) }
}

fn ordered(spec: &ContainersSpec) -> Option<UpdateOrder> {
    spec.update.as_ref().and_then(|update| update.order)
}

fn writes_to_volume(spec: &ContainersSpec) -> bool {
    spec.volumes.iter().any(|volume| volume.kind != VolumeType::Tmpfs && !volume.read_only)
}

#[cfg(test)]
mod tests {
    use smr_model::spec::{Port, UpdatePolicy, Volume};

    use super::*;

    fn assigned(node: Option<u64>) -> Assignment {
        let since = jiff::Timestamp::UNIX_EPOCH;
        Assignment { node, uid: "u".to_owned(), generation: 2, reason: None, since }
    }

    fn other(node: u64, container: bool) -> OtherNode {
        let sighting =
            Sighting { state: ReplicaState::Running, ready: container, generation: 1, container };
        OtherNode { node, down: false, sighting }
    }

    #[track_caller]
    fn check(to: u64, runs_here: bool, others: &[OtherNode], order: UpdateOrder, expected: Duty) {
        let assignment = assigned(Some(to));
        assert_eq!(handover(1, Some(&assignment), runs_here, others, || order), expected);
    }

    #[test]
    fn what_comes_here_waits_only_when_the_other_has_to_stop_first() {
        use UpdateOrder::{StartFirst, StopFirst};
        check(1, false, &[], StopFirst, Duty::Run);
        check(1, false, &[other(2, true)], StartFirst, Duty::Run);
        check(1, false, &[other(2, true)], StopFirst, Duty::Wait(2));
        check(1, false, &[other(2, false)], StopFirst, Duty::Run);
        check(1, true, &[other(2, true)], StopFirst, Duty::Run);
        let down = OtherNode { down: true, ..other(2, true) };
        check(1, false, &[down], StopFirst, Duty::Run);
        check(1, false, &[down, other(3, true)], StopFirst, Duty::Wait(3));
    }

    #[test]
    fn what_goes_elsewhere_stays_until_it_is_ready_there() {
        use UpdateOrder::{StartFirst, StopFirst};
        check(2, true, &[], StopFirst, Duty::Leave);
        check(2, true, &[], StartFirst, Duty::Keep(2));
        check(2, false, &[], StartFirst, Duty::Leave);
        // Ready, but with another definition than the one it is assigned at.
        check(2, true, &[other(2, true)], StartFirst, Duty::Keep(2));
        let mut there = other(2, true);
        there.sighting.generation = 2;
        check(2, true, &[there], StartFirst, Duty::Leave);
        there.down = true;
        check(2, true, &[there], StartFirst, Duty::Keep(2));
        there.down = false;
        there.sighting.ready = false;
        check(2, true, &[there], StartFirst, Duty::Keep(2));
        check(2, true, &[there], StopFirst, Duty::Leave);
    }

    #[test]
    fn what_is_assigned_nowhere_is_left() {
        let order = || UpdateOrder::StartFirst;
        assert_eq!(handover(1, None, true, &[], order), Duty::Leave);
        assert_eq!(handover(1, Some(&assigned(None)), true, &[], order), Duty::Leave);
    }

    #[test]
    fn nothing_runs_twice_where_that_cannot_work() {
        use UpdateOrder::{StartFirst, StopFirst};
        let check = |spec: &ContainersSpec, moved, replaced| {
            assert_eq!((handover_order(spec), replacement_order(spec)), (moved, replaced));
        };
        let mut spec = ContainersSpec::default();
        check(&spec, StartFirst, StartFirst);
        spec.network_mode = "host".to_owned();
        check(&spec, StartFirst, StopFirst);
        spec.update = Some(UpdatePolicy { order: Some(StartFirst), ..UpdatePolicy::default() });
        check(&spec, StartFirst, StartFirst);
        spec.ports.push(Port { container: "80".to_owned(), host: "8080".to_owned() });
        check(&spec, StartFirst, StopFirst);
        spec = ContainersSpec::default();
        spec.volumes.push(Volume { read_only: true, ..Volume::default() });
        check(&spec, StartFirst, StartFirst);
        spec.volumes.push(Volume { kind: VolumeType::Volume, ..Volume::default() });
        check(&spec, StopFirst, StopFirst);
        spec = ContainersSpec { restart: RestartPolicy::Never, ..ContainersSpec::default() };
        check(&spec, StopFirst, StopFirst);
    }
}
