//! Changes of the voters, one by one and from random starts.

use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn member(id: u64, role: NodeRole) -> Member {
    Member {
        id,
        name: format!("node-{id}"),
        peer: format!("host-{id}:9212"),
        api: String::new(),
        role,
        key_id: String::new(),
        epoch: 1,
        joined: now(),
    }
}

fn health(state: Health, minutes: i64) -> NodeHealth {
    let since = now() - jiff::SignedDuration::from_mins(minutes);
    NodeHealth { state, since, message: String::new() }
}

/// Members 1 to `count`, of which some vote already and the others are learners that caught up.
fn electorate(count: u64, voters: &[u64]) -> Electorate {
    let voters: BTreeSet<u64> = voters.iter().copied().collect();
    let learners: BTreeSet<u64> = (1..=count).filter(|id| !voters.contains(id)).collect();
    Electorate {
        leader: *voters.first().unwrap(),
        members: (1..=count).map(|id| (id, member(id, NodeRole::Voter))).collect(),
        caught_up: learners.clone(),
        voters,
        learners,
        ..Default::default()
    }
}

/// Makes the change happen.
fn carry_out(it: &mut Electorate, change: &Change) {
    match change {
        Change::AddLearner(id) => {
            it.learners.insert(*id);
            it.caught_up.insert(*id);
        }
        Change::SetVoters(voters) => {
            let all: BTreeSet<u64> = it.voters.union(&it.learners).copied().collect();
            it.learners = all.difference(voters).copied().collect();
            it.voters = voters.clone();
            it.caught_up.extend(it.learners.iter().copied());
        }
        Change::Remove(id) => {
            it.learners.remove(id);
        }
        Change::Transfer(id) => it.leader = *id,
    }
}

#[track_caller]
fn check(it: &Electorate, expected: Option<Change>) {
    assert_eq!(voters(now(), &Settings::default(), it), expected);
}

fn set(ids: &[u64]) -> Option<Change> {
    Some(Change::SetVoters(ids.iter().copied().collect()))
}

#[test]
fn new_members_become_learners_one_after_the_other() {
    let mut it = electorate(3, &[1]);
    it.learners.clear();
    check(&it, Some(Change::AddLearner(2)));
    it.learners.insert(2);
    it.caught_up = BTreeSet::from([2]);
    check(&it, Some(Change::AddLearner(3)));
    it.learners.insert(3);
    it.caught_up.clear();
    check(&it, None);
    it.caught_up = BTreeSet::from([2, 3]);
    check(&it, set(&[1, 2, 3]));
}

#[test]
fn the_number_of_voters_is_odd_and_limited() {
    check(&electorate(1, &[1]), None);
    check(&electorate(2, &[1]), None);
    check(&electorate(4, &[1, 2, 3]), None);
    check(&electorate(5, &[1, 2, 3]), set(&[1, 2, 3, 4, 5]));
    check(&electorate(9, &[1, 2, 3, 4, 5]), None);
    check(&electorate(2, &[1, 2]), set(&[1]));
}

#[test]
fn workers_do_not_vote() {
    let mut it = electorate(4, &[1]);
    it.members.insert(2, member(2, NodeRole::Worker));
    check(&it, set(&[1, 3, 4]));
    it.members.insert(3, member(3, NodeRole::Worker));
    check(&it, None);
}

#[test]
fn a_demoted_leader_hands_over_first() {
    let mut it = electorate(4, &[1, 2, 3]);
    it.members.insert(1, member(1, NodeRole::Worker));
    check(&it, Some(Change::Transfer(2)));
    it.leader = 2;
    check(&it, set(&[2, 3, 4]));
    let mut alone = electorate(2, &[1]);
    alone.members.insert(1, member(1, NodeRole::Worker));
    check(&alone, set(&[1, 2]));
}

#[test]
fn a_dead_voter_is_replaced_after_a_while_if_somebody_is_fit() {
    let mut it = electorate(4, &[1, 2, 3]);
    it.health.insert(3, health(Health::Down, 4));
    check(&it, None);
    it.health.insert(3, health(Health::Down, 5));
    check(&it, set(&[1, 2, 4]));
    it.health.insert(4, health(Health::Down, 1));
    check(&it, None);
    let mut three = electorate(3, &[1, 2, 3]);
    three.health.insert(3, health(Health::Down, 500));
    check(&three, None);
}

#[test]
fn removed_members_go() {
    let mut it = electorate(4, &[1, 2, 3]);
    it.removed.insert(3);
    check(&it, set(&[1, 2, 4]));
    carry_out(&mut it, &set(&[1, 2, 4]).unwrap());
    check(&it, Some(Change::Remove(3)));
    carry_out(&mut it, &Change::Remove(3));
    check(&it, None);
}

#[test]
fn without_a_majority_that_is_ready_nothing_changes() {
    let mut it = electorate(5, &[1, 2, 3, 4, 5]);
    for id in [3, 4, 5] {
        it.health.insert(id, health(Health::Down, 60));
    }
    check(&it, None);
}

fn world() -> impl Strategy<Value = Electorate> {
    let node = (any::<bool>(), 0u8..4, 0u8..3, any::<bool>(), any::<bool>(), 0i64..10);
    proptest::collection::vec(node, 1..9).prop_map(|nodes| {
        let mut it = Electorate { leader: 1, ..Default::default() };
        for (index, (worker, place, state, caught_up, removed, minutes)) in
            nodes.into_iter().enumerate()
        {
            let id = index as u64 + 1;
            let role = if worker { NodeRole::Worker } else { NodeRole::Voter };
            it.members.insert(id, member(id, role));
            match place {
                0 | 1 => drop(it.voters.insert(id)),
                2 => drop(it.learners.insert(id)),
                _ => {}
            }
            if state == 0 {
                it.health.insert(id, health(Health::Down, minutes));
            }
            if caught_up {
                it.caught_up.insert(id);
            }
            if removed && state == 0 {
                it.removed.insert(id);
            }
        }
        // Who leads, answers and is no copy.
        it.learners.remove(&1);
        it.removed.remove(&1);
        it.health.remove(&1);
        it.voters.insert(1);
        it
    })
}

proptest! {
    #[test]
    fn changes_are_safe_and_come_to_an_end(start in world()) {
        let mut it = start;
        let ready = |it: &Electorate| it.is_safe(&it.voters);
        for _ in 0..40 {
            let Some(change) = voters(now(), &Settings::default(), &it) else {
                prop_assert!(!it.learners.iter().any(|id| it.removed.contains(id)));
                return Ok(());
            };
            let before = ready(&it);
            if let Change::SetVoters(new) = &change {
                prop_assert!(new.contains(&it.leader));
                prop_assert!(new.iter().all(|id| it.voters.contains(id) || it.caught_up.contains(id)));
                prop_assert!(new.iter().all(|id| *id == it.leader || it.voters.contains(id)
                    || it.members[id].role == NodeRole::Voter));
            }
            if let Change::Remove(id) = &change {
                prop_assert!(!it.voters.contains(id));
            }
            carry_out(&mut it, &change);
            prop_assert!(!before || ready(&it), "{:?} leaves {:?}", change, it.voters);
        }
        prop_assert!(false, "no end: {:?}", it);
    }
}
