//! Whatever happens to statuses, no more ready replicas are given up than allowed; in a healthy world
//! every rollout ends.

use super::*;

#[derive(Debug, Clone)]
enum Happening {
    Pass(i64),
    Obey(u32),
    State(u32, usize),
    Node(u32, bool),
    Apply,
    Evaluate,
    Pause,
    Resume,
    Promote,
}

const STATES: [ReplicaState; 8] = [
    ReplicaState::Running,
    ReplicaState::Running,
    ReplicaState::Dead,
    ReplicaState::Backoff,
    ReplicaState::Start,
    ReplicaState::ReadinessCheck,
    ReplicaState::Pending,
    ReplicaState::Completed,
];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0i64..30).prop_map(Happening::Pass),
        6 => (1u32..8).prop_map(Happening::Obey),
        3 => (1u32..8, 0..STATES.len()).prop_map(|(index, state)| Happening::State(index, state)),
        1 => (1u32..8, any::<bool>()).prop_map(|(index, up)| Happening::Node(index, up)),
        1 => Just(Happening::Apply),
        6 => Just(Happening::Evaluate),
        1 => Just(Happening::Pause),
        1 => Just(Happening::Resume),
        1 => Just(Happening::Promote),
    ]
}

fn policy() -> impl Strategy<Value = UpdatePolicy> {
    let action = prop_oneof![
        Just(None),
        Just(Some(FailureAction::Rollback)),
        Just(Some(FailureAction::Continue))
    ];
    (0u32..4, 0u64..5, action, 0u32..4).prop_map(|(parallelism, delay, on_failure, canary)| {
        UpdatePolicy {
            parallelism: (parallelism > 0).then_some(parallelism),
            delay: Some(GoDuration::from_secs(delay)),
            on_failure,
            canary: (canary > 2).then_some(canary),
            ..UpdatePolicy::default()
        }
    })
}

/// Whether a replica is ready under the definition it is assigned.
fn serves(replica: &RolloutReplica) -> bool {
    let status = replica.status.as_ref();
    status.is_some_and(|status| status.ready && status.generation == replica.generation)
}

/// Replicas that the rollout took from service and that are not back yet.
fn given_up(it: &Story, taken: &BTreeSet<u32>) -> usize {
    let failed = |index: &u32| it.record.as_ref().is_some_and(|r| r.failed.contains(index));
    taken
        .iter()
        .filter(|index| {
            it.replicas[index].reachable && !failed(index) && !serves(&it.replicas[index])
        })
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_more_ready_replicas_are_given_up_than_allowed(
        count in 1u32..8,
        policy in policy(),
        happenings in proptest::collection::vec(happening(), 1..80),
    ) {
        let mut it = Story::new(count);
        it.policy = policy;
        let limit = it.policy.parallelism.unwrap_or(1) as usize;
        // Ready replicas taken out of service since they were last ready again.
        let mut taken = BTreeSet::new();
        for happening in happenings {
            match happening {
                Happening::Pass(seconds) => it.pass(seconds),
                Happening::Obey(index) if index <= count => {
                    let generation = it.replicas[&index].generation;
                    it.set(index, generation, ReplicaState::Running);
                }
                Happening::State(index, state) if index <= count => {
                    let generation = it.replicas[&index].status.as_ref().map_or(1, |s| s.generation);
                    it.set(index, generation, STATES[state]);
                }
                Happening::Node(index, up) if index <= count => {
                    it.replicas.get_mut(&index).unwrap().reachable = up;
                }
                Happening::Apply => it.apply(),
                Happening::Pause => {
                    if let Some(record) = it.record.as_mut().filter(|r| !r.state.is_over()) {
                        record.state = RolloutState::Paused;
                    }
                }
                Happening::Resume => it.resume(),
                Happening::Promote => {
                    if let Some(record) = &mut it.record {
                        record.promoted = true;
                    }
                }
                Happening::Evaluate => {
                    let ready: BTreeSet<u32> = it.replicas.iter()
                        .filter(|(_, replica)| replica.reachable && serves(replica))
                        .map(|(index, _)| *index)
                        .collect();
                    taken.retain(|index| !serves(&it.replicas[index]));
                    let changed = it.step();
                    let fresh: Vec<u32> =
                        changed.into_iter().filter(|index| ready.contains(index)).collect();
                    if !fresh.is_empty() {
                        let others = given_up(&it, &taken.iter().copied()
                            .filter(|index| !fresh.contains(index)).collect());
                        prop_assert!(others + fresh.len() <= limit,
                            "{fresh:?} while {taken:?}: {:?}", it.record);
                    }
                    taken.extend(fresh);
                }
                Happening::Obey(_) | Happening::State(..) | Happening::Node(..) => {}
            }
        }
        // In the end all is well, and whatever was left of the rollout completes.
        for index in 1..=count {
            it.replicas.get_mut(&index).unwrap().reachable = true;
            let generation = it.replicas[&index].generation;
            it.set(index, generation, ReplicaState::Running);
        }
        if let Some(record) = it.record.as_mut().filter(|record| record.to == it.generation) {
            record.promoted = true;
        }
        it.resume();
        it.run();
        if it.state() == Some(RolloutState::Paused) {
            it.resume();
            it.run();
        }
        if it.state() == Some(RolloutState::Canary) {
            it.record.as_mut().unwrap().promoted = true;
            it.run();
        }
        let target = match it.state() {
            Some(RolloutState::RolledBack) => it.record.as_ref().unwrap().from,
            _ => it.generation,
        };
        prop_assert!(it.generations().iter().all(|g| *g == target), "{:?}", it.record);
    }

    #[test]
    fn with_healthy_replicas_it_completes(count in 1u32..12, policy in policy()) {
        let mut it = Story::new(count);
        it.policy = policy;
        it.run();
        if it.state() == Some(RolloutState::Canary) {
            it.record.as_mut().unwrap().promoted = true;
            it.run();
        }
        prop_assert_eq!(it.state(), Some(RolloutState::Completed));
        prop_assert!(it.generations().iter().all(|generation| *generation == 2));
    }
}
