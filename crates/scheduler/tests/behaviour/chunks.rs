//! `spread` and the home node (spec 5).

use crate::support::*;
use smr_model::{
    Availability, Health,
    spec::SpreadKind::{self, Specific, Uniform},
};
use smr_scheduler::{Node, Replica, Workload};

/// Checks which indexes each of `nodes` gets.
#[track_caller]
fn check(replicas: u32, rule: Option<(SpreadKind, &[u64])>, nodes: &[u64], expected: &[&[u32]]) {
    let spec = match rule {
        Some((kind, agents)) => spread(replicas, kind, agents),
        None => smr_model::spec::ContainersSpec { replicas: Some(replicas), ..plain() },
    };
    let mut web = object("web", &spec);
    web.home = 2;
    let cluster = cluster(nodes.iter().map(|id| node(*id)).collect(), vec![web]);
    let placement = smr_scheduler::schedule(&cluster);
    let of = |id: u64| -> Vec<u32> {
        let on = placement.decisions.iter().filter(|(_, it)| it.node() == Some(id));
        on.map(|(key, _)| key.index).collect()
    };
    let actual: Vec<Vec<u32>> = nodes.iter().map(|id| of(*id)).collect();
    assert_eq!(actual, expected);
}

#[test]
fn published_examples_hold() {
    check(2, Some((Specific, &[1, 2])), &[1, 2], &[&[1], &[2]]);
    check(2, Some((Specific, &[1])), &[1, 2], &[&[1, 2], &[]]);
    check(2, Some((Specific, &[2])), &[1, 2], &[&[], &[1, 2]]);
    check(2, Some((Specific, &[2, 1, 2])), &[1, 2], &[&[1], &[2]]);
    check(3, Some((Uniform, &[])), &[1], &[&[1, 2, 3]]);
    check(3, Some((Uniform, &[])), &[1, 2], &[&[1, 2], &[3]]);
    check(3, Some((Uniform, &[])), &[1, 2, 3], &[&[1], &[2], &[3]]);
    check(2, Some((Uniform, &[])), &[1, 2, 3], &[&[1], &[2], &[]]);
    check(5, Some((Uniform, &[])), &[1, 2], &[&[1, 2, 3], &[4, 5]]);
    check(1, Some((Uniform, &[])), &[1, 2, 3], &[&[1], &[], &[]]);
    check(2, None, &[1, 2], &[&[], &[1, 2]]);
    check(4, Some((Uniform, &[])), &[3, 7], &[&[1, 2], &[3, 4]]);
    check(2, Some((Specific, &[])), &[1, 2], &[&[], &[1, 2]]);
}

/// The same object applied again with other agents: replicas follow.
#[test]
fn applying_again_moves_replicas() {
    let nodes = || vec![node(1), node(2)];
    let again = |agents: &[u64], now: [u64; 2]| {
        let replicas = [1, 2].map(|i| Replica { changed: true, ..on(i, now[i as usize - 1]) });
        let web = object("web", &spread(2, Specific, agents)).with_replicas(replicas.into());
        shown(&cluster(nodes(), vec![web]))
    };
    assert_eq!(again(&[1], [1, 2]), "web-1 1, web-2 1");
    assert_eq!(again(&[2], [1, 1]), "web-1 2, web-2 2");
    // Not stepped by the rollout yet: they stay.
    let held = |i: u32| Replica { changed: true, held: Some(Box::default()), ..on(i, 1) };
    let web = object("web", &spread(2, Specific, &[2])).with_replicas(vec![held(1), held(2)]);
    assert_eq!(shown(&cluster(nodes(), vec![web])), "web-1 1, web-2 1");
}

fn down(id: u64) -> Node {
    Node { health: Health::Down, down_since: Some(now()), ..node(id) }
}

#[test]
fn replicas_of_a_lost_node_go_to_the_fittest_other() {
    let uniform = object("web", &spread(3, Uniform, &[]));
    let replicas = vec![on(1, 1), on(2, 1), on(3, 2)];
    let lost = |workload: Workload| {
        let workload = workload.with_replicas(replicas.clone());
        shown(&cluster(vec![node(1), down(2), node(3)], vec![workload]))
    };
    assert_eq!(lost(uniform), "web-1 1, web-2 1, web-3 3");
    let named = object("web", &spread(3, Specific, &[1, 2]));
    assert_eq!(lost(named), "web-1 1, web-2 1, web-3 1");
    let only = object("web", &spread(3, Specific, &[2]));
    let only = only.with_replicas(vec![on(3, 2)]);
    let why = "3 nodes: 1 is down, 2 are not in `spread.agents`";
    assert_eq!(
        shown(&cluster(vec![node(1), down(2), node(3)], vec![only])),
        format!("web-1 ({why}), web-2 ({why}), web-3 ({why})"),
    );
}

#[test]
fn a_returning_node_gets_nothing_back_by_itself() {
    let web = object("web", &spread(3, Uniform, &[]));
    let web = web.with_replicas(vec![on(1, 1), on(2, 1), on(3, 3)]);
    let nodes = vec![node(1), node(2), node(3)];
    assert_eq!(shown(&cluster(nodes, vec![web])), "web-1 1, web-2 1, web-3 3");
}

#[test]
fn the_home_node_is_strict_while_it_is_open() {
    let first = object("a", &published(plain(), "80", "80"));
    let second = object("b", &published(plain(), "80", "80"));
    let both = vec![first, second.clone()];
    let why = "2 nodes: 1 has port 80 taken, 1 is not its home (node 1)";
    assert_eq!(shown(&cluster(vec![node(1), node(2)], both)), format!("a-1 1, b-1 ({why})"));
    let drained = Node { availability: Availability::Drain, ..node(1) };
    assert_eq!(shown(&cluster(vec![drained, node(2)], vec![second.clone()])), "b-1 2");
    let asleep = Node { engine_ready: false, ..node(1) };
    let why = "2 nodes: 1 has no engine that answers, 1 is not its home (node 1)";
    assert_eq!(shown(&cluster(vec![asleep, node(2)], vec![second])), format!("b-1 ({why})"));
}
