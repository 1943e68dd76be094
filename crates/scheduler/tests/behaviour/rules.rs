//! Filters, strategies, and when replicas stay.

use std::collections::BTreeMap;

use crate::support::*;
use jiff::SignedDuration;
use smr_model::{
    Availability, GoDuration, Health, ReplicaKey,
    spec::{ContainersSpec, Reschedule, SpreadKind, Strategy, Volume, VolumeType},
};
use smr_scheduler::{Decision, Node, Replica, Request, Scheduler, Workload, explain, schedule};

#[test]
fn reasons_are_counted_with_numbers() {
    let big = sized(placed(1, |_| {}), 0, 10 << 30);
    let big = published(big, "80", "80");
    let taken = published(placed(2, |it| it.max_per_node = Some(1)), "80", "80");
    let taken = object("a", &taken).with_replicas(vec![on(1, 1), on(2, 2)]);
    let nodes = vec![node(1), node(2), Node { memory: 2 << 30, ..node(3) }];
    let why = "3 nodes: 2 have port 80 taken, 1 lacks memory (need 10 GiB, free 2 GiB)";
    let actual = shown(&cluster(nodes, vec![taken, object("b", &big)]));
    assert_eq!(actual, format!("a-1 1, a-2 2, b-1 ({why})"));
    assert_eq!(
        shown(&cluster(Vec::new(), vec![object("b", &placed(1, |_| {}))])),
        "b-1 (the cluster has no node)"
    );
    let cpu = object("c", &sized(placed(1, |_| {}), 5000, 0));
    let nodes = vec![node(1), Node { reserved_cpu_millis: 500, ..node(2) }];
    assert_eq!(
        shown(&cluster(nodes, vec![cpu])),
        "c-1 (2 nodes: 2 lack processors (need 5, at most free 4))"
    );
}

#[test]
fn reasons_stay_short() {
    let constraints: Vec<String> =
        (0..30).map(|i| format!("node.labels.k{i}==v{}", "x".repeat(70))).collect();
    let web = object("web", &placed(1, |it| it.constraints = constraints));
    let nodes = (0..30_u64).map(|i| {
        let labels = (0..30)
            .filter(|it| *it < i)
            .map(|it| (format!("k{it}"), format!("v{}", "x".repeat(70))));
        Node { labels: labels.collect(), ..node(i + 1) }
    });
    let cluster = cluster(nodes.collect(), vec![web]);
    let text = shown(&cluster);
    assert!(text.len() < 450 && text.contains("more reasons"), "{text}");
}

#[test]
fn strategies_rank_nodes() {
    let by = |strategy: Strategy| placed(3, |it| it.strategy = Some(strategy));
    let nodes = || vec![node(1), node(2), node(3)];
    let one = |spec| shown(&cluster(nodes(), vec![object("web", &sized(spec, 1000, 1 << 30))]));
    assert_eq!(one(by(Strategy::Binpack)), "web-1 1, web-2 1, web-3 1");
    assert_eq!(one(by(Strategy::Spread)), "web-1 1, web-2 2, web-3 3");
    assert_eq!(one(by(Strategy::Global)), "web-1 1, web-2 2, web-3 3");
    assert_eq!(one(by(Strategy::Random)), one(by(Strategy::Random)));
    // Full nodes are left.
    let big = sized(placed(3, |_| {}), 3000, 0);
    assert_eq!(one(placed(3, |_| {})), "web-1 1, web-2 1, web-3 1");
    assert_eq!(shown(&cluster(nodes(), vec![object("web", &big)])), "web-1 1, web-2 2, web-3 3");
}

#[test]
fn random_uses_many_nodes_and_never_changes_its_mind() {
    let web = object("web", &placed(40, |it| it.strategy = Some(Strategy::Random)));
    let few = cluster((1..=4).map(node).collect(), vec![web.clone()]);
    let counts = |placement: &smr_scheduler::Placement| {
        let mut counts = BTreeMap::new();
        for decision in placement.decisions.values() {
            *counts.entry(decision.node()).or_insert(0) += 1;
        }
        counts
    };
    let placement = schedule(&few);
    assert!(counts(&placement).values().all(|count| *count >= 4), "{:?}", counts(&placement));
    // One more node takes only what is its own.
    let more = schedule(&cluster((1..=5).map(node).collect(), vec![web]));
    for (key, decision) in &more.decisions {
        assert!(decision.node() == Some(5) || Some(decision) == placement.decisions.get(key));
    }
}

#[test]
fn global_has_one_replica_per_node_that_suits() {
    let spec = placed(1, |it| {
        it.strategy = Some(Strategy::Global);
        it.constraints = vec!["node.labels.disk==ssd".to_owned()];
    });
    let spec = sized(spec, 0, 4 << 30);
    let nodes = vec![
        labelled(3, "disk", "ssd"),
        labelled(7, "disk", "hdd"),
        Node { memory: 1 << 30, ..labelled(9, "disk", "ssd") },
        Node { availability: Availability::Pause, ..labelled(11, "disk", "ssd") },
        Node { availability: Availability::Drain, ..labelled(12, "disk", "ssd") },
        Node { health: Health::Down, ..labelled(13, "disk", "ssd") },
    ];
    let there = [11, 12, 13].map(|id| on(id as u32, id)).to_vec();
    let web = object("web", &spec).with_replicas(there);
    assert_eq!(
        shown(&cluster(nodes, vec![web])),
        "web-3 3, \
         web-9 (6 nodes: 1 lacks memory (need 4 GiB, free 1 GiB), 5 are not its node), \
         web-11 11, web-13 13 (node `n13` is down)"
    );
}

#[test]
fn preferences_come_first_and_are_dropped() {
    let web = |constraint: &str| {
        object("web", &placed(1, |it| it.constraints = vec![constraint.to_owned()]))
    };
    let nodes = || vec![labelled(1, "disk", "hdd"), labelled(2, "disk", "ssd")];
    let one = |text: &str| shown(&cluster(nodes(), vec![web(text)]));
    assert_eq!(one("node.labels.disk==~ssd"), "web-1 2");
    assert_eq!(one("node.labels.disk==~nvme"), "web-1 1");
    assert_eq!(
        one("node.labels.disk==nvme"),
        "web-1 (2 nodes: 2 do not match `node.labels.disk==nvme`)"
    );
    let arm = object("web", &placed(1, |it| it.platforms = vec!["linux/arm64".to_owned()]));
    assert_eq!(shown(&cluster(nodes(), vec![arm])), "web-1 (2 nodes: 2 are not linux/arm64)");
}

#[test]
fn replicas_are_spread_over_labels() {
    let nodes = vec![
        labelled(1, "zone", "a"),
        labelled(2, "zone", "a"),
        labelled(3, "zone", "b"),
        labelled(4, "zone", "c"),
    ];
    let web = object("web", &placed(6, |it| it.spread_over = vec!["node.labels.zone".to_owned()]));
    assert_eq!(
        shown(&cluster(nodes, vec![web])),
        "web-1 1, web-2 3, web-3 4, web-4 1, web-5 3, web-6 4"
    );
}

fn beside(name: &str, replicas: u32, affinity: &str) -> Workload {
    object(name, &placed(replicas, |it| it.affinity = vec![affinity.to_owned()]))
}

#[test]
fn affinities_hold_both_ways() {
    let nodes = || vec![node(1), node(2)];
    // `z` is placed after `a`, and `a` waits for it.
    let follows = beside("a", 1, "containers/shop/z");
    let z = object("z", &placed(1, |it| it.constraints = vec!["node.id==2".to_owned()]));
    assert_eq!(shown(&cluster(nodes(), vec![follows.clone(), z])), "a-1 2, z-1 2");
    let why = "2 nodes: 2 do not run `containers/shop/z`";
    assert_eq!(shown(&cluster(nodes(), vec![follows])), format!("a-1 ({why})"));
    // Whoever names the other, they are apart.
    let apart = beside("a", 1, "!containers/shop/z");
    let z = object("z", &placed(1, |_| {}));
    assert_eq!(shown(&cluster(nodes(), vec![apart, z.clone()])), "a-1 1, z-1 2");
    let apart = beside("zz", 1, "!label.tier==db");
    let labels = [("tier".to_owned(), "db".to_owned())].into();
    let db = Workload::new("shop", "db", &labels, 1, &placed(1, |_| {}));
    assert_eq!(shown(&cluster(nodes(), vec![apart, db])), "db-1 1, zz-1 2");
    // With itself.
    let own = beside("web", 3, "!containers/shop/web");
    let why = "2 nodes: 2 run `containers/shop/web`";
    assert_eq!(shown(&cluster(nodes(), vec![own])), format!("web-1 1, web-2 2, web-3 ({why})"));
    let together = object(
        "web",
        &placed(2, |it| {
            it.strategy = Some(Strategy::Spread);
            it.affinity = vec!["containers/shop/web".to_owned()];
        }),
    );
    assert_eq!(shown(&cluster(nodes(), vec![together])), "web-1 1, web-2 1");
    let soft = beside("web", 3, "~!containers/shop/web");
    assert_eq!(shown(&cluster(nodes(), vec![soft])), "web-1 1, web-2 2, web-3 1");
}

#[test]
fn ports_collide_by_address_and_protocol() {
    let check = |one: (&str, &str), other: (&str, &str), expected: bool| {
        let web = |name: &str, (container, host)| {
            object(name, &published(placed(1, |_| {}), container, host))
        };
        let text = shown(&cluster(vec![node(1)], vec![web("a", one), web("b", other)]));
        assert_eq!(text.contains("taken"), expected, "{one:?} {other:?}: {text}");
    };
    check(("80", "80"), ("81", "80"), true);
    check(("80", "80"), ("80/udp", "80"), false);
    check(("80", "10.0.0.1:80"), ("80", "10.0.0.2:80"), false);
    check(("80", "10.0.0.1:80"), ("80", "80"), true);
    check(("80", "0.0.0.0:80"), ("80", "10.0.0.2:80"), true);
    check(("80", "0"), ("80", "0"), false);
    check(("80", ""), ("80", ""), false);
    check(("8000-8010", "8000-8010"), ("80", "8005"), true);
}

#[test]
fn what_fits_stays_and_policies_are_kept() {
    let moved = Node { labels: BTreeMap::new(), ..node(1) };
    let nodes = vec![moved, labelled(2, "disk", "ssd")];
    let web = |reschedule: Reschedule, changed: bool| {
        let mut spec = placed(1, |it| it.constraints = vec!["node.labels.disk==ssd".to_owned()]);
        spec.reschedule = reschedule;
        let replicas = vec![Replica { changed, ..on(1, 1) }];
        shown(&cluster(nodes.clone(), vec![object("web", &spec).with_replicas(replicas)]))
    };
    assert_eq!(web(Reschedule::OnNodeFailure, false), "web-1 1");
    assert_eq!(web(Reschedule::OnNodeFailure, true), "web-1 2");
    assert_eq!(web(Reschedule::Always, false), "web-1 2");
    assert_eq!(web(Reschedule::Never, false), "web-1 1");
    assert_eq!(web(Reschedule::Never, true), "web-1 2");
    let mut spec = placed(1, |it| it.constraints = vec!["node.labels.disk==nvme".to_owned()]);
    spec.reschedule = Reschedule::Always;
    let stuck = object("web", &spec).with_replicas(vec![on(1, 1)]);
    assert_eq!(
        shown(&cluster(nodes, vec![stuck])),
        "web-1 1 (node `n1` no longer fits: it does not match `node.labels.disk==nvme`; \
         no other node fits)"
    );
}

#[test]
fn what_ran_to_its_end_is_not_run_again_elsewhere() {
    let place = |node: Node, done: bool, reschedule: Reschedule| {
        let mut spec = placed(1, |it| it.constraints = vec!["node.name==n2".to_owned()]);
        spec.reschedule = reschedule;
        let replicas = vec![Replica { done, ..on(1, 1) }];
        let nodes = vec![node, self::node(2)];
        shown(&cluster(nodes, vec![object("job", &spec).with_replicas(replicas)]))
    };
    assert_eq!(place(down(1), false, Reschedule::OnNodeFailure), "job-1 2");
    assert_eq!(place(down(1), true, Reschedule::OnNodeFailure), "job-1 1");
    assert_eq!(place(node(1), false, Reschedule::Always), "job-1 2");
    assert_eq!(place(node(1), true, Reschedule::Always), "job-1 1");
    let drained = Node { availability: Availability::Drain, ..node(1) };
    assert_eq!(place(drained, true, Reschedule::OnNodeFailure), "job-1 2");
}

fn down(id: u64) -> Node {
    Node { health: Health::Down, down_since: Some(now()), ..node(id) }
}

#[test]
fn a_lost_node_is_waited_for_as_long_as_said() {
    let mut spec = placed(1, |_| {});
    spec.reschedule_grace = Some(GoDuration::from_secs(30));
    let web = object("web", &spec).with_replicas(vec![on(1, 1)]);
    let mut cluster = cluster(vec![down(1), node(2)], vec![web.clone()]);
    let placement = schedule(&cluster);
    let until = now() + SignedDuration::from_secs(30);
    assert_eq!(placement.recheck, Some(until));
    assert!(matches!(placement.decisions[&key("web", 1)], Decision::Waiting { node: 1, .. }));
    cluster.now = until;
    assert_eq!(schedule(&cluster).decisions[&key("web", 1)], Decision::Node(2));
    // The same without beginning anew.
    let mut scheduler = Scheduler::new();
    for node in [down(1), node(2)] {
        scheduler.set_node(node);
    }
    scheduler.set_workload(web);
    scheduler.settle(now());
    assert!(scheduler.settle(now() + SignedDuration::from_secs(29)).is_empty());
    let changes = scheduler.settle(until);
    assert_eq!(changes[0].decision, Some(Decision::Node(2)));
    assert_eq!(scheduler.recheck(), None);
    spec.reschedule = Reschedule::Never;
    let web = object("web", &spec).with_replicas(vec![on(1, 1)]);
    cluster.workloads = vec![web];
    assert_eq!(shown(&cluster), "web-1 1 (node `n1` is down, and `reschedule` is `never`)");
}

#[test]
fn volumes_pin_replicas_to_their_data() {
    let volume = |movable| Volume {
        name: "data".to_owned(),
        kind: VolumeType::Volume,
        mount_point: "/d".to_owned(),
        movable,
        ..Volume::default()
    };
    let mut spec = placed(1, |_| {});
    spec.volumes = vec![volume(false)];
    let with = |node: Option<u64>, spec: &ContainersSpec| {
        let replica = Replica { index: 1, node, data_on: Some(1), ..Replica::default() };
        object("db", spec).with_replicas(vec![replica])
    };
    let lost = shown(&cluster(vec![down(1), node(2)], vec![with(Some(1), &spec)]));
    assert_eq!(lost, "db-1 1 (node `n1` is down, and has the data of its volumes)");
    let drained = Node { availability: Availability::Drain, ..node(1) };
    let gone = shown(&cluster(vec![drained, node(2)], vec![with(Some(1), &spec)]));
    assert_eq!(gone, "db-1 (2 nodes: 1 is drained, 1 does not have its data (on node 1))");
    let back = shown(&cluster(vec![node(1), node(2)], vec![with(None, &spec)]));
    assert_eq!(back, "db-1 1");
    spec.volumes = vec![volume(true)];
    assert_eq!(shown(&cluster(vec![down(1), node(2)], vec![with(Some(1), &spec)])), "db-1 2");
}

#[test]
fn pause_keeps_and_drain_clears() {
    let web = || object("web", &placed(2, |_| {})).with_replicas(vec![on(1, 1)]);
    let one = |availability| {
        shown(&cluster(vec![Node { availability, ..node(1) }, node(2)], vec![web()]))
    };
    assert_eq!(one(Availability::Active), "web-1 1, web-2 1");
    assert_eq!(one(Availability::Pause), "web-1 1, web-2 2");
    assert_eq!(one(Availability::Drain), "web-1 2, web-2 2");
}

#[test]
fn held_replicas_count_as_they_were() {
    let held = Request { memory: 6 << 30, ..Request::default() };
    let old = Replica { held: Some(Box::new(held)), changed: true, ..on(1, 1) };
    let a = object("a", &sized(placed(1, |_| {}), 0, 1 << 30)).with_replicas(vec![old]);
    let b = object("b", &sized(placed(1, |_| {}), 0, 4 << 30));
    assert_eq!(shown(&cluster(vec![node(1), node(2)], vec![a, b])), "a-1 1, b-1 2");
}

#[test]
fn every_node_is_explained() {
    let spec = sized(placed(2, |it| it.constraints = vec!["node.cpus>2".to_owned()]), 0, 6 << 30);
    let nodes = vec![
        node(1),
        Node { cpu_millis: 2000, memory: 1 << 30, ..node(2) },
        Node { availability: Availability::Drain, ..node(3) },
    ];
    let cluster = cluster(nodes, vec![object("web", &spec)]);
    let text = |index| explain(&cluster, &key("web", index)).unwrap().to_string();
    assert_eq!(
        text(1),
        "containers/shop/shop-web-1: strategy binpack\n\
         * n1 (1): fits: 0 other of its replicas, 0 replicas, 37 % reserved\n  \
           n2 (2): does not match `node.cpus>2`; lacks memory (need 6 GiB, free 1 GiB)\n  \
           n3 (3): is drained"
    );
    assert_eq!(
        text(2),
        "containers/shop/shop-web-2: strategy binpack; 3 nodes: 1 is drained, \
         1 does not match `node.cpus>2`, 1 lacks memory (need 6 GiB, free 2 GiB)\n  \
           n1 (1): lacks memory (need 6 GiB, free 2 GiB)\n  \
           n2 (2): does not match `node.cpus>2`; lacks memory (need 6 GiB, free 1 GiB)\n  \
           n3 (3): is drained"
    );
    assert_eq!(explain(&cluster, &ReplicaKey::new("shop", "web", 3)), None);
}

#[test]
fn rebalancing_is_bounded_and_leaves_the_pinned() {
    let uniform = spread(6, SpreadKind::Uniform, &[]);
    let all_on_one: Vec<Replica> = (1..=6).map(|index| on(index, 1)).collect();
    let mut scheduler = Scheduler::new();
    for id in 1..=2 {
        scheduler.set_node(node(id));
    }
    scheduler.set_workload(object("web", &uniform).with_replicas(all_on_one.clone()));
    assert_eq!(scheduler.settle(now()).len(), 6);
    assert_eq!(scheduler.rebalance(Some(&[3].into()), 9), []);
    let moves = scheduler.rebalance(None, 2);
    let shown: Vec<_> = moves.iter().map(|it| (it.key.index, it.from, it.to)).collect();
    assert_eq!(shown, [(6, 1, 2), (5, 1, 2)]);
    assert_eq!(scheduler.rebalance(None, 9).len(), 1);
    assert_eq!(scheduler.rebalance(None, 9), []);
    assert!(scheduler.settle(now()).is_empty());

    let mut pinned = uniform;
    pinned.volumes = vec![Volume { mount_point: "/d".to_owned(), ..Volume::default() }];
    let there = all_on_one.into_iter().map(|it| Replica { data_on: Some(1), ..it }).collect();
    scheduler.set_workload(object("web", &pinned).with_replicas(there));
    scheduler.settle(now());
    assert_eq!(scheduler.rebalance(None, 9), []);
}

#[test]
fn removals_are_reported() {
    let mut scheduler = Scheduler::new();
    scheduler.set_node(node(1));
    scheduler.set_workload(object("web", &placed(3, |_| {})));
    assert_eq!(scheduler.settle(now()).len(), 3);
    assert_eq!(scheduler.promised_on(1), (0, 0));
    let now_there = scheduler.replicas_on(1).iter().map(|it| on(it.index, 1)).collect();
    scheduler.set_workload(object("web", &placed(1, |_| {})).with_replicas(now_there));
    let gone: Vec<_> =
        scheduler.settle(now()).into_iter().map(|it| (it.key.index, it.decision)).collect();
    assert_eq!(gone, [(2, None), (3, None)]);
    scheduler.remove_workload("shop", "web");
    assert_eq!(scheduler.settle(now()).len(), 1);
    assert!(scheduler.placement().decisions.is_empty());
    assert!(scheduler.replicas_on(1).is_empty());
}
