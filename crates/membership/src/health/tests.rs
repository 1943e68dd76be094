//! Verdicts, told second by second.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A leader (node 1) of some nodes, and what the others do.
struct Story {
    seen: Observations,
    now: Duration,
    settings: Settings,
    /// Nodes that do not answer the leader.
    silent: Vec<u64>,
    /// Nodes that answer nobody.
    dead: Vec<u64>,
}

impl Story {
    fn new(nodes: u64) -> Self {
        let leading_since = SECOND * 100;
        let nodes = (1..=nodes)
            .map(|id| (id, Observation { verdict: Some(Health::Ready), ..Default::default() }))
            .collect();
        let seen = Observations { me: 1, leading_since, nodes };
        let settings = Settings::default();
        Self { seen, now: leading_since, settings, silent: Vec::new(), dead: Vec::new() }
    }

    /// A second passes: pings, verdicts, answers to questions. Returns the verdicts.
    fn second(&mut self) -> Vec<Action> {
        self.now += SECOND;
        for (id, it) in &mut self.seen.nodes {
            let answered = !self.silent.contains(id) && !self.dead.contains(id);
            if *id != self.seen.me {
                it.pinged(self.now, answered);
            }
        }
        let mut given = Vec::new();
        loop {
            let actions = verdicts(self.now, &self.settings, &self.seen);
            let mut asked = false;
            for action in actions {
                match &action {
                    Action::ProbeVia { target, via } => {
                        asked = true;
                        let testimony = if self.dead.contains(via) {
                            Testimony::NoAnswer
                        } else if self.dead.contains(target) {
                            Testimony::Unreachable
                        } else {
                            Testimony::Reached
                        };
                        let it = self.seen.nodes.get_mut(target).unwrap();
                        it.asked(self.now, *via);
                        it.testified(self.now, *via, testimony);
                    }
                    Action::Down { node, .. } => {
                        self.seen.nodes.get_mut(node).unwrap().verdict = Some(Health::Down);
                        given.push(action);
                    }
                    Action::Ready { node } => {
                        self.seen.nodes.get_mut(node).unwrap().verdict = Some(Health::Ready);
                        given.push(action);
                    }
                }
            }
            if !asked {
                return given;
            }
        }
    }

    fn seconds(&mut self, count: u32) -> Vec<Action> {
        (0..count).flat_map(|_| self.second()).collect()
    }
}

fn down(actions: &[Action]) -> Vec<u64> {
    let node = |action: &Action| match action {
        Action::Down { node, .. } => Some(*node),
        _ => None,
    };
    actions.iter().filter_map(node).collect()
}

#[test]
fn a_silent_node_is_down_once_a_second_node_confirms() {
    let mut it = Story::new(3);
    assert_eq!(it.seconds(20), []);
    it.dead = vec![3];
    assert_eq!(it.seconds(4), []);
    let given = it.second();
    assert_eq!(
        given,
        [Action::Down {
            node: 3,
            message: "no answer for 5 s; node 2 cannot reach it either".to_owned()
        }]
    );
    assert_eq!(it.seconds(60), []);
}

#[test]
fn a_node_that_others_reach_stays() {
    let mut it = Story::new(3);
    it.seconds(10);
    it.silent = vec![3];
    assert_eq!(it.seconds(120), []);
    it.dead = vec![3];
    assert_eq!(down(&it.seconds(12)), [3], "a testimony is good for a while only");
}

#[test]
fn a_leader_that_hears_nobody_judges_nobody() {
    let mut it = Story::new(4);
    it.seconds(10);
    it.silent = vec![2, 3, 4];
    assert_eq!(it.seconds(120), []);
}

#[test]
fn a_new_leader_waits_before_it_judges() {
    let mut it = Story::new(3);
    it.dead = vec![3];
    assert_eq!(it.seconds(3), []);
    assert_eq!(down(&it.seconds(2)), [3], "it was silent before, or there were no new leader");
}

#[test]
fn the_only_other_node_gets_twice_the_time() {
    let mut it = Story::new(2);
    it.seconds(10);
    it.dead = vec![2];
    assert_eq!(it.seconds(9), []);
    assert_eq!(down(&it.second()), [2]);
}

#[test]
fn a_flapping_node_stays_down_until_it_is_steady() {
    let mut it = Story::new(3);
    it.seconds(10);
    it.dead = vec![3];
    assert_eq!(down(&it.seconds(5)), [3]);
    for round in 0..20 {
        it.dead = if round % 3 == 2 { vec![3] } else { Vec::new() };
        assert_eq!(it.second(), [], "round {round}");
    }
    it.dead.clear();
    assert_eq!(it.seconds(3), [Action::Ready { node: 3 }]);
}

#[test]
fn who_never_had_a_verdict_gets_one() {
    let mut it = Story::new(3);
    for node in it.seen.nodes.values_mut() {
        node.verdict = None;
    }
    let ready = |node| Action::Ready { node };
    assert_eq!(it.seconds(6), [ready(1), ready(2), ready(3)]);
    let mut it = Story::new(3);
    it.seen.nodes.get_mut(&3).unwrap().verdict = None;
    it.dead = vec![3];
    assert_eq!(down(&it.seconds(10)), [3]);
}

#[test]
fn a_witness_that_dies_is_replaced_by_another() {
    let mut it = Story::new(5);
    it.seconds(10);
    it.dead = vec![3, 4];
    assert_eq!(down(&it.seconds(6)), [3, 4]);
}

#[test]
fn nothing_is_asked_twice_while_it_is_under_way() {
    let mut it = Story::new(4);
    it.seconds(10);
    it.now += SECOND * 3;
    for id in [2, 3] {
        it.seen.nodes.get_mut(&id).unwrap().pinged(it.now, true);
    }
    let ask = |via| Action::ProbeVia { target: 4, via };
    assert_eq!(verdicts(it.now, &it.settings, &it.seen), [ask(2), ask(3)]);
    let silent = it.seen.nodes.get_mut(&4).unwrap();
    silent.asked(it.now, 2);
    silent.asked(it.now, 3);
    assert_eq!(verdicts(it.now, &it.settings, &it.seen), []);
}

proptest! {
    /// Whoever is silent: who answers is never called down, and who is dead is, if anybody can tell.
    #[test]
    fn verdicts_are_right_in_the_end(
        nodes in 3u64..8,
        dead in proptest::collection::btree_set(2u64..8, 0..4),
        before in 0u32..30,
    ) {
        let mut it = Story::new(nodes);
        let mut given = it.seconds(before);
        it.dead = dead.iter().copied().filter(|id| *id <= nodes).collect();
        given.extend(it.seconds(30));
        let mut called = down(&given);
        called.sort_unstable();
        let anybody = (it.dead.len() as u64) < nodes - 1;
        prop_assert_eq!(called, if anybody { it.dead.clone() } else { Vec::new() });
        it.dead.clear();
        let back = it.seconds(30);
        prop_assert!(it.seen.nodes.values().all(|it| it.verdict == Some(Health::Ready)), "{:?}", back);
    }

    /// Losing single pings changes no verdict.
    #[test]
    fn single_losses_do_not_matter(lost in proptest::collection::vec(2u64..6, 100)) {
        let mut it = Story::new(5);
        it.seconds(6);
        for node in lost {
            it.silent = vec![node];
            prop_assert_eq!(it.second(), []);
            it.silent.clear();
            prop_assert_eq!(it.second(), []);
        }
    }
}
