//! What holds for every cluster.

use std::collections::BTreeMap;

use proptest::prelude::*;
use smr_model::{
    Availability, Health,
    spec::{ContainersSpec, Placement, SpreadKind, Strategy as By},
};
use smr_scheduler::{Cluster, Decision, Node, Replica, Request, Scheduler, Workload, schedule};

use crate::support::{cluster, now, on, plain, published, sized, spread};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn a_node(id: u64) -> impl Strategy<Value = Node> {
    let availability = prop_oneof![
        6 => Just(Availability::Active), 1 => Just(Availability::Pause), 1 => Just(Availability::Drain)
    ];
    let facts = (1..5_u64, 1..9_u64, prop::bool::weighted(0.85), prop::bool::weighted(0.9));
    (facts, availability, 0..3_u8).prop_map(
        move |((cpus, gib, ready, engine), availability, zone)| Node {
            health: if ready { Health::Ready } else { Health::Down },
            down_since: (!ready).then(now),
            engine_ready: engine,
            availability,
            cpu_millis: cpus * 1000,
            memory: gib << 30,
            labels: [("zone".to_owned(), format!("z{zone}"))].into(),
            ..crate::support::node(id)
        },
    )
}

#[derive(Debug, Clone)]
struct Object {
    name: &'static str,
    spec: ContainersSpec,
    /// Where replicas are, by index.
    now: Vec<Option<u64>>,
}

fn an_object(name: &'static str) -> impl Strategy<Value = Object> {
    let by = prop::sample::select(vec![By::Binpack, By::Spread, By::Random]);
    let constraint = prop::option::of(prop::sample::select(vec![
        "node.labels.zone==z1",
        "node.labels.zone!=z0",
        "node.labels.zone==~z2",
        "node.cpus>=2",
    ]));
    let affinity = prop::option::of(prop::sample::select(vec![
        "!containers/shop/a",
        "!containers/shop/*",
        "!containers/shop/c",
        "~containers/shop/b",
        "containers/shop/b",
        "!label.side==left",
    ]));
    let most = prop::option::weighted(0.2, 1..3_u32);
    let over = any::<bool>();
    let rules = (by, constraint, affinity, most, over);
    let takes = (0..5_u64, 0..4_u64, prop::option::weighted(0.3, 80..83_u16));
    let kind = 0..6_u8;
    let now = prop::collection::vec(prop::option::weighted(0.4, 1..7_u64), 4);
    (1..5_u32, kind, rules, takes, now).prop_map(move |(replicas, kind, rules, takes, now)| {
        let mut spec = match kind {
            0 => spread(replicas, SpreadKind::Uniform, &[]),
            1 => spread(replicas, SpreadKind::Specific, &[1, 3]),
            _ => ContainersSpec { replicas: Some(replicas), ..plain() },
        };
        let (by, constraint, affinity, max_per_node, over) = rules;
        if kind > 1 {
            spec.placement = Some(Placement {
                strategy: Some(by),
                constraints: constraint.into_iter().map(str::to_owned).collect(),
                affinity: affinity.into_iter().map(str::to_owned).collect(),
                spread_over: over.then(|| "node.labels.zone".to_owned()).into_iter().collect(),
                max_per_node,
                ..Placement::default()
            });
        }
        spec = sized(spec, takes.0 * 250, takes.1 << 29);
        if let Some(port) = takes.2 {
            spec = published(spec, "80", &port.to_string());
        }
        Object { name, spec, now }
    })
}

fn workload(object: &Object, keep: bool) -> Workload {
    let side = if object.name < "d" { "left" } else { "right" };
    let labels = [("side".to_owned(), side.to_owned())].into();
    let there = object.now.iter().take(object.spec.replica_count() as usize).enumerate();
    let there = there.filter_map(|(i, node)| Some(on(i as u32 + 1, (*node)?)));
    Workload::new("shop", object.name, &labels, 1, &object.spec).with_replicas(if keep {
        there.collect()
    } else {
        Vec::new()
    })
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    (a_node(1), a_node(2), a_node(3), a_node(4), a_node(6))
        .prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

fn objects() -> impl Strategy<Value = Vec<Object>> {
    let some = prop::sample::subsequence(vec![0, 1, 2, 3, 4, 5], 1..=6);
    (NAMES.map(an_object), some)
        .prop_map(|(all, some)| some.into_iter().map(|i| all[i].clone()).collect())
}

fn new_cluster(nodes: &[Node], objects: &[Object], keep: bool) -> Cluster {
    cluster(nodes.to_vec(), objects.iter().map(|it| workload(it, keep)).collect())
}

/// Where each replica is: `(object, index)` to node.
type Where = BTreeMap<(String, u32), Option<u64>>;

fn placed(cluster: &Cluster) -> Where {
    let decisions = schedule(cluster).decisions;
    decisions.into_iter().map(|(key, it)| ((key.name, key.index), it.node())).collect()
}

/// Why a new replica of `object` cannot be on `node`, judged without the scheduler.
fn refusal(
    nodes: &[Node],
    objects: &[Object],
    places: &Where,
    object: &Object,
    id: u64,
) -> Option<String> {
    let node = nodes.iter().find(|it| it.id == id)?;
    let there: Vec<&Object> = places
        .iter()
        .filter(|(_, at)| **at == Some(id))
        .filter_map(|((name, _), _)| objects.iter().find(|it| it.name == name))
        .collect();
    let request = Request::of(&object.spec);
    let used = |part: fn(&Request) -> u64| -> u64 {
        there.iter().map(|it| part(&Request::of(&it.spec))).sum()
    };
    let none = Placement::default();
    let rules = object.spec.placement.as_ref().unwrap_or(&none);
    let zone = node.labels["zone"].as_str();
    let side = |it: &Object| if it.name < "d" { "left" } else { "right" };
    let means = |text: &str, other: &Object| match text {
        "containers/shop/*" => true,
        "label.side==left" => side(other) == "left",
        text => text == format!("containers/shop/{}", other.name),
    };
    let anti = |one: &Object, other: &Object| {
        let rules = one.spec.placement.iter().flat_map(|it| &it.affinity);
        rules.filter_map(|it| it.strip_prefix('!')).any(|it| means(it, other))
    };
    let closed = node.health == Health::Down
        || node.availability != Availability::Active
        || !node.engine_ready;
    let checks = [
        ("closed", closed),
        (
            "agents",
            object
                .spec
                .spread
                .as_ref()
                .is_some_and(|it| it.spread == SpreadKind::Specific && !it.agents.contains(&id)),
        ),
        (
            "constraint",
            rules.constraints.iter().any(|it| match it.as_str() {
                "node.labels.zone==z1" => zone != "z1",
                "node.labels.zone!=z0" => zone == "z0",
                "node.cpus>=2" => node.cpu_millis < 2000,
                _ => false,
            }),
        ),
        (
            "cpu",
            request.cpu_millis > 0
                && used(|it| it.cpu_millis) + request.cpu_millis > node.cpu_millis,
        ),
        ("memory", request.memory > 0 && used(|it| it.memory) + request.memory > node.memory),
        (
            "port",
            there.iter().any(|it| {
                Request::of(&it.spec)
                    .ports
                    .iter()
                    .any(|a| request.ports.iter().any(|b| a.overlaps(b)))
            }),
        ),
        ("apart", there.iter().any(|it| anti(object, it) || anti(it, object))),
        (
            "together",
            rules.affinity.iter().filter(|it| !it.starts_with(['!', '~'])).any(|text| {
                let itself = means(text, object)
                    && !places.iter().any(|((name, _), at)| at.is_some() && name == object.name);
                !itself && !there.iter().any(|it| means(text, it))
            }),
        ),
        (
            "most",
            rules.max_per_node.is_some_and(|most| {
                there.iter().filter(|it| it.name == object.name).count() >= most as usize
            }),
        ),
    ];
    checks.into_iter().find(|(_, refused)| *refused).map(|(name, _)| name.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Without anything placed before, everything keeps every rule.
    #[test]
    fn rules_hold_and_only_what_fits_nowhere_is_pending(nodes in nodes(), objects in objects()) {
        let places = placed(&new_cluster(&nodes, &objects, false));
        let count: u32 = objects.iter().map(|it| it.spec.replica_count()).sum();
        prop_assert_eq!(places.len(), count as usize);
        for ((name, index), at) in &places {
            let object = objects.iter().find(|it| it.name == name).unwrap();
            let mut others = places.clone();
            others.remove(&(name.clone(), *index));
            match at {
                Some(id) => {
                    let mut why = refusal(&nodes, &objects, &others, object, *id);
                    // Those that only follow may have been first.
                    if why.as_deref() == Some("together") {
                        why = None;
                    }
                    prop_assert_eq!(why, None, "{}-{} on {}: {:?}", name, index, id, &places);
                }
                None => for node in &nodes {
                    let why = refusal(&nodes, &objects, &others, object, node.id);
                    prop_assert!(why.is_some(), "{}-{} fits on {}: {:?}", name, index, node.id, &places);
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(
        nodes in nodes(), objects in objects(), keep: bool, seed in any::<prop::sample::Index>(),
    ) {
        let one = new_cluster(&nodes, &objects, keep);
        let mut other = one.clone();
        other.nodes.rotate_left(seed.index(nodes.len()));
        other.workloads.reverse();
        for workload in &mut other.workloads {
            workload.replicas.reverse();
        }
        prop_assert_eq!(schedule(&one), schedule(&one));
        prop_assert_eq!(schedule(&one), schedule(&other));
    }

    /// Replicas on nodes that answer and are not drained stay, and a second look changes nothing.
    #[test]
    fn what_is_placed_stays(nodes in nodes(), objects in objects()) {
        let first = new_cluster(&nodes, &objects, true);
        let places = placed(&first);
        for object in &objects {
            for (i, before) in object.now.iter().take(object.spec.replica_count() as usize).enumerate() {
                let Some(before) = before else { continue };
                let keeps = nodes.iter().any(|it| {
                    it.id == *before && it.health == Health::Ready && it.availability != Availability::Drain
                });
                if keeps {
                    prop_assert_eq!(places[&(object.name.to_owned(), i as u32 + 1)], Some(*before));
                }
            }
        }
        let mut second = first.clone();
        for workload in &mut second.workloads {
            let own = places.iter().filter(|((name, _), _)| *name == workload.name);
            workload.replicas = own
                .map(|((_, index), node)| Replica { index: *index, node: *node, ..Replica::default() })
                .collect();
        }
        prop_assert_eq!(placed(&second), places);
    }

    /// Definitions that changed, step by step or at once, never break the rules either.
    #[test]
    fn changed_replicas_keep_the_rules(nodes in nodes(), objects in objects()) {
        // What is there is legal: it was placed by rules.
        let before = placed(&new_cluster(&nodes, &objects, false));
        let mut changed = new_cluster(&nodes, &objects, false);
        for workload in &mut changed.workloads {
            let own = before.iter().filter(|((name, _), _)| *name == workload.name);
            workload.replicas = own
                .map(|((_, index), node)| Replica { changed: true, ..Replica { index: *index, node: *node, ..Replica::default() } })
                .collect();
        }
        let after = placed(&changed);
        for object in &objects {
            let chunked = object.spec.spread.is_some();
            for index in 1..=object.spec.replica_count() {
                let key = (object.name.to_owned(), index);
                // Same rules, so those by rank stay; chunks may become exact.
                if !chunked && before[&key].is_some() {
                    prop_assert_eq!(after[&key], before[&key]);
                }
            }
        }
        for node in &nodes {
            let there: Vec<&Object> = after.iter().filter(|(_, at)| **at == Some(node.id))
                .filter_map(|((name, _), _)| objects.iter().find(|it| it.name == name)).collect();
            let cpu: u64 = there.iter().map(|it| Request::of(&it.spec).cpu_millis).sum();
            prop_assert!(cpu <= node.cpu_millis);
            let mut ports: Vec<_> = there.iter().flat_map(|it| Request::of(&it.spec).ports).collect();
            ports.sort_unstable();
            let all = ports.len();
            ports.dedup();
            prop_assert_eq!(ports.len(), all);
        }
    }

    /// Many equal replicas at once go where they would go one after the other.
    #[test]
    fn many_at_once_are_many_in_a_row(nodes in nodes(), object in an_object("a"), count in 3..12_u32) {
        prop_assume!(object.spec.placement.is_some());
        let spec = ContainersSpec { replicas: Some(count), ..object.spec.clone() };
        let object = Object { spec, ..object };
        let at_once = placed(&new_cluster(&nodes, std::slice::from_ref(&object), false));
        let mut scheduler = Scheduler::from_cluster(&cluster(nodes.clone(), Vec::new()));
        for count in 1..=count {
            let spec = ContainersSpec { replicas: Some(count), ..object.spec.clone() };
            let there = scheduler.placement().decisions.into_iter().map(|(key, it)| {
                Replica { index: key.index, node: it.node(), ..Replica::default() }
            });
            let there = there.collect();
            scheduler.set_workload(workload(&Object { spec, ..object.clone() }, false).with_replicas(there));
            scheduler.settle(now());
        }
        let in_a_row = scheduler.placement().decisions.into_iter();
        let in_a_row: Where = in_a_row.map(|(key, it)| ((key.name, key.index), it.node())).collect();
        prop_assert_eq!(at_once, in_a_row);
    }

    /// Told bit by bit, the scheduler ends with the same counts as told at once.
    #[test]
    fn counting_survives_changes(
        before in nodes(), after in nodes(), objects in objects(), gone in 0..6_usize,
    ) {
        let mut scheduler = Scheduler::from_cluster(&new_cluster(&before, &objects, true));
        scheduler.settle(now());
        for node in &after {
            scheduler.set_node(node.clone());
            scheduler.settle(now());
        }
        if let Some(object) = objects.get(gone) {
            scheduler.remove_workload("shop", object.name);
        }
        scheduler.remove_node(2);
        scheduler.settle(now());
        scheduler.rebalance(None, 3);
        let placement = scheduler.placement();
        for id in [1, 2, 3, 4, 6] {
            let there: Vec<Request> = placement.decisions.iter()
                .filter(|(_, it)| it.node() == Some(id))
                .filter_map(|(key, _)| objects.iter().find(|it| it.name == key.name))
                .map(|it| Request::of(&it.spec)).collect();
            let sums = (there.iter().map(|it| it.cpu_millis).sum(), there.iter().map(|it| it.memory).sum());
            prop_assert_eq!(scheduler.promised_on(id), sums);
            prop_assert_eq!(scheduler.replicas_on(id).len(), there.len());
        }
        prop_assert!(scheduler.replicas_on(2).is_empty());
        for (key, decision) in &placement.decisions {
            if let Decision::Node(id) = decision {
                let explained = scheduler.explain(key).unwrap();
                prop_assert_eq!(explained.node, Some(*id));
            }
        }
    }
}
