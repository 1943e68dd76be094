//! Anything in any order, then quiet: exactly what is wanted runs, each once, made from what is
//! wanted.

use std::{collections::BTreeMap, time::Duration};

use smr_engine::{ErrorClass, Operation};
use smr_model::{Definition, Kind, ObjectKey, ReplicaKey, ReplicaState, Spec};
use smr_reconcile::{NodeFacts, render};

use crate::support::{Node, configuration, containers, secret};

/// Numbers that look random and are the same for the same seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn object(numbers: &mut Numbers) -> String {
    let name = NAMES[numbers.below(4) as usize];
    let tag = ["1", "2"][numbers.below(2) as usize];
    let replicas = 1 + numbers.below(4) as u32;
    let spec = match numbers.below(5) {
        0 => "envs: ['V=(( lookup \"secret/shop/s:key\" ))']".to_owned(),
        1 => "envs: ['V=(( lookup \"configuration/shop/c:key\" ))']".to_owned(),
        // Only on names before it: no two wait for each other.
        2 if name != "a" => "dependencies: [{group: shop, name: a, timeout: 100ms}]".to_owned(),
        3 => "stopTimeout: 100ms\nlabels: {x: '(( .index ))'}".to_owned(),
        _ => String::new(),
    };
    containers(name, tag, replicas, &spec)
}

async fn disturb(node: &mut Node, numbers: &mut Numbers) {
    let some_container = |numbers: &mut Numbers| {
        let names = node.engine.names();
        (!names.is_empty()).then(|| names[numbers.below(names.len() as u64) as usize].clone())
    };
    match numbers.below(16) {
        0..=4 => node.apply(&object(numbers)).await,
        5 => {
            let name = NAMES[numbers.below(4) as usize];
            node.remove(Kind::Containers, "shop", name).await;
        }
        6 => node.apply(&secret("s", &format!("v{}", numbers.below(3)))).await,
        7 => node.apply(&configuration("c", &format!("v{}", numbers.below(3)))).await,
        8 => node.remove(Kind::Secret, "shop", "s").await,
        9 => {
            if let Some(name) = some_container(numbers) {
                node.engine.kill(&name, numbers.below(2) as i64);
            }
        }
        10 => {
            if let Some(name) = some_container(numbers) {
                node.engine.vanish(&name);
            }
        }
        11 => node.engine.set_reachable(numbers.below(2) == 0),
        12 => {
            let operations = [
                Operation::Create,
                Operation::Start,
                Operation::Stop,
                Operation::Remove,
                Operation::List,
                Operation::Events,
            ];
            let classes = [
                ErrorClass::Unavailable,
                ErrorClass::NotFound,
                ErrorClass::Conflict,
                ErrorClass::Refused,
                ErrorClass::Other,
            ];
            let operation = operations[numbers.below(6) as usize];
            node.engine.fail(operation, 1, classes[numbers.below(5) as usize]);
        }
        13 => node.engine.break_events(),
        14 => {
            node.kill_agent().await;
            node.start_agent().await;
        }
        _ => {
            let statuses = node.statuses().await;
            let count = statuses.len() as u64;
            if count > 0 {
                let status = statuses.values().nth(numbers.below(count) as usize).unwrap();
                let name = status.key.generated_name();
                // It may be gone by now.
                let _ = node.control.restart("shop", &name, &crate::support::kim()).await;
            }
        }
    }
}

/// The digest of every container that should run, by name.
async fn wanted(node: &Node) -> BTreeMap<String, String> {
    let stored = node.control.objects().await.unwrap().objects;
    let updated: BTreeMap<ObjectKey, _> = stored.iter().map(|o| (o.key(), o.updated)).collect();
    let objects: BTreeMap<ObjectKey, Definition> =
        stored.into_iter().map(|o| (o.key(), o.definition)).collect();
    let facts = NodeFacts { name: "node-1".to_owned() };
    let mut wanted = BTreeMap::new();
    for (key, definition) in &objects {
        let Spec::Containers(spec, _) = &definition.spec else { continue };
        for index in 1..=spec.replica_count() {
            let replica = ReplicaKey::new(&key.group, &key.name, index);
            let (rendered, _) = render(&replica, definition, &objects, &facts, updated[key]);
            let rendered = rendered.unwrap_or_else(|reason| panic!("{reason:?}"));
            wanted.insert(replica.generated_name(), node.control.fingerprint(&rendered.main));
        }
    }
    wanted
}

#[tokio::test]
async fn any_history_ends_at_what_is_wanted() {
    let begun = std::time::Instant::now();
    for seed in 1..=40 {
        // On a slow machine fewer histories have to do.
        if begun.elapsed() > Duration::from_secs(12) {
            break;
        }
        let mut numbers = Numbers(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut node = Node::start().await;
        for _ in 0..30 {
            disturb(&mut node, &mut numbers).await;
        }
        node.engine.set_reachable(true);
        // Everything can be rendered, and `a` exists for those that depend on it.
        node.apply(&(secret("s", "last") + &configuration("c", "last"))).await;
        node.apply(&containers("a", "2", 2, "")).await;
        // Restarts end the delays after what went wrong.
        for name in NAMES {
            let _ = node.control.restart("shop", name, &crate::support::kim()).await;
        }
        let wanted = wanted(&node).await;
        println!("seed {seed}: {} replicas", wanted.len());
        node.until("exactly what is wanted runs", |all| {
            all.keys().eq(wanted.keys())
                && all.values().all(|s| {
                    let name = s.key.generated_name();
                    s.state == ReplicaState::Running
                        && s.ready
                        && s.spec_hash == wanted[&name]
                        && s.reason.is_none()
                        && node.engine.container(&name).is_some_and(|c| {
                            c.is_running()
                                && c.id == s.container_id
                                && c.ownership.is_some_and(|o| o.spec_hash == wanted[&name])
                        })
                })
                && node.engine.names().iter().eq(wanted.keys())
        })
        .await;
    }
}
