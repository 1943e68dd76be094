//! Commands about the cluster, against a control API that answers what the test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{
    fake::{Fake, error, ok, stream},
    run::Place,
};

const TIME: &str = "2026-01-31T10:00:00Z";

fn node(id: u64, leader: bool, replicas: u64, availability: &str) -> Value {
    json!({
        "id": id, "name": format!("node-{id}"), "addresses": [], "version": "0.1.0",
        "engine": "docker 28.0", "engineReady": true, "os": "linux", "kernel": "6.12",
        "arch": "x86_64", "cpus": 8, "memory": 1 << 30, "labels": {}, "startedAt": TIME,
        "member": {
            "id": id, "name": format!("node-{id}"), "peer": format!("node-{id}:9212"),
            "api": format!("https://node-{id}:1443"), "joined": TIME,
        },
        "health": { "state": "ready", "since": TIME },
        "raft": "voter", "leader": leader, "availability": availability, "replicas": replicas,
    })
}

fn cluster(leader: Option<u64>) -> Value {
    let members: Vec<Value> = [1, 2]
        .map(|id| {
            json!({
                "id": id, "name": format!("node-{id}"), "peer": format!("node-{id}:9212"),
                "joined": TIME, "raft": "voter", "leader": leader == Some(id),
            })
        })
        .to_vec();
    json!({
        "id": "c1", "node": 1, "leader": leader, "term": 4, "voters": [1, 2], "learners": [],
        "quorum": 2, "revision": 17, "members": members, "settings": {},
    })
}

fn replica(index: u32, node: u64, generation: u64, state: &str) -> Value {
    json!({
        "key": { "group": "shop", "name": "web", "index": index },
        "node": format!("node-{node}"), "nodeId": node, "state": state, "since": TIME,
        "ready": state == "running", "generation": generation,
    })
}

#[test]
fn nodes_are_listed_as_a_table_and_as_data() {
    let place = Place::new();
    let nodes = json!({ "items": [node(1, true, 3, "active"), node(2, false, 0, "pause")] });
    let answer = ok(&nodes);
    let fake = Fake::start(&place, move |_| answer.clone());
    let ran = place.run(&["smrctl", "node", "ls"]);
    let rows: Vec<&str> = ran.stdout.lines().collect();
    assert!(rows[0].starts_with("NODE    ID  ROLE     HEALTH  AVAILABILITY  REPLICAS"), "{ran:?}");
    assert!(rows[2].starts_with("node-1  1   voter *  ready   active        3"), "{ran:?}");
    assert!(rows[3].starts_with("node-2  2   voter    ready   pause         0"), "{ran:?}");
    for line in [&["smrctl", "node", "ls"][..], &["smrctl", "nodes"], &["smr", "node"]] {
        let ran = place.run(&[line, &["--output", "json"]].concat());
        let list: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(list["items"][1]["name"], "node-2");
    }
    let ran = place.run(&["smrctl", "node", "ls", "--output", "name", "--stale"]);
    assert_eq!(ran.stdout, "node-1\nnode-2\n");
    let note = fake.clean(&ran.stderr);
    assert!(note.starts_with("note: this is the copy of the node at https://FAKE, read at 20"));
    assert_eq!(fake.lines().last().unwrap(), "GET /api/v1/nodes?stale=true");
}

#[test]
fn the_leader_comes_first_in_its_line() {
    let place = Place::new();
    let leads = AtomicUsize::new(2);
    let _fake = Fake::start(&place, move |request| {
        if request.is("POST /api/v1/cluster/transfer") {
            let to: Value = serde_json::from_str(&request.body).unwrap();
            assert_eq!(to, json!({ "to": "node-1" }));
            leads.store(1, Ordering::Relaxed);
        }
        ok(&cluster(Some(leads.load(Ordering::Relaxed) as u64)))
    });
    assert_eq!(place.run(&["smrctl", "cluster", "leader"]).stdout, "node-2 (2)\n");
    assert_eq!(
        place.run(&["smrctl", "cluster", "transfer", "node-1"]).stdout,
        "node-1 (1) leads\n"
    );
    let status = place.run(&["smrctl", "cluster", "status"]).stdout;
    let head = "cluster:  c1\nleader:   node-1 (1), term 4\nvoters:   2 of at most 5, 2 have to agree\n\
                revision: 17\n\nNODE    ID  ROLE";
    assert!(status.starts_with(head), "{status}");
}

#[test]
fn without_a_leader_the_reason_and_what_to_do_are_told() {
    let place = Place::new();
    let _fake = Fake::start(&place, |request| match request.line.as_str() {
        "GET /api/v1/cluster" => ok(&cluster(None)),
        _ => error(503, "no_quorum", "1 of 3 voters answers"),
    });
    let ran = place.run(&["smrctl", "cluster", "leader"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.starts_with("error: no node leads just now\nhint: more than half"));
    let ran = place.run(&["smrctl", "node", "pause", "node-1"]);
    assert_eq!(ran.stderr, "error: 1 of 3 voters answers\nhint: do what helps\n");
    assert_eq!(ran.code, 1);
}

#[test]
fn a_token_is_printed_alone_or_with_its_use_beside_it() {
    let place = Place::new();
    let _fake = Fake::start(&place, |request| {
        assert!(request.is("POST /api/v1/tokens"), "{request:?}");
        let wanted: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!((&wanted["uses"], &wanted["ttlSeconds"]), (&json!(3), &json!(172_800)));
        assert_eq!(wanted["endpoints"], json!(["https://a:1443"]));
        ok(&json!({
            "id": "k3", "state": "valid", "role": "worker", "uses": 3, "createdBy": "me",
            "created": TIME, "expires": TIME, "token": "smr-token-1",
        }))
    });
    let create = ["smrctl", "token", "create", "--role", "worker", "--uses", "3", "--ttl", "2d"];
    let create = [&create[..], &["--endpoint", "a:1443"]].concat();
    let ran = place.run(&[&create[..], &["--quiet"]].concat());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("smr-token-1\n", ""));
    let ran = place.run(&create);
    assert_eq!(ran.stdout, "smr-token-1\n");
    assert!(ran.stderr.contains("smr start --token-file join-token"), "{ran:?}");
    assert!(!ran.stderr.contains("smr-token-1"));
    let ran = place.run(&[&create[..], &["--output", "json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["token"], "smr-token-1");
}

#[test]
fn a_drain_waits_until_nothing_is_left() {
    let place = Place::new();
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(&place, move |request| match request.line.split('?').next().unwrap() {
        "GET /api/v1/nodes/node-2" => ok(&node(2, false, 1, "active")),
        "PATCH /api/v1/nodes/node-2" => {
            assert_eq!(request.body, r#"{"availability":"drain"}"#);
            ok(&node(2, false, 1, "drain"))
        }
        // The one that was moved is gone only when it was asked for the third time.
        "GET /api/v1/nodes/2" => {
            let left = u64::from(asked.fetch_add(1, Ordering::Relaxed) < 2);
            ok(&node(2, false, left, "drain"))
        }
        "GET /api/v1/replicas" => {
            let on = if asked.load(Ordering::Relaxed) == 0 { 2 } else { 1 };
            ok(&json!({ "revision": 3, "items": [replica(1, on, 1, "running")] }))
        }
        "GET /api/v1/watch" => stream(&[]),
        _ => error(404, "not_found", &request.line),
    });
    let ran = place.run(&["smrctl", "node", "drain", "node-2", "--wait"]);
    assert_eq!(ran.stdout, "node node-2 is drained (1 replica moved)\n", "{ran:?}");
    assert_eq!(ran.code, 0);
    let asked = fake.lines().iter().filter(|line| line.ends_with("/nodes/2")).count();
    assert_eq!(asked, 3);
}

fn rollout(state: &str, ready: bool) -> Value {
    json!({
        "revision": 9,
        "key": { "prefix": "simplecontainer.io/v1", "kind": "containers", "group": "shop",
                 "name": "web" },
        "generation": 2,
        "rollout": { "uid": "u", "from": 1, "to": 2, "state": state, "message": "1 replica failed",
                     "started": TIME, "since": TIME },
        "replicas": [{ "name": "shop-web-1", "index": 1, "node": "node-1", "wanted": 2,
                       "generation": 2, "state": "running", "ready": ready }],
        "history": [
            { "generation": 2, "time": TIME, "by": "me", "message": "spec.tag", "current": true },
            { "generation": 1, "time": TIME },
        ],
    })
}

#[test]
fn an_apply_that_waits_ends_with_what_stopped_its_rollout() {
    let place = Place::new();
    place.file("web.yaml", "kind: containers\n");
    let key = rollout("paused", false)["key"].clone();
    let _fake = Fake::start(&place, move |request| match request.line.split('?').next().unwrap() {
        "POST /api/v1/apply" => ok(&json!({
            "revision": 8, "results": [{ "key": key, "action": "updated", "generation": 2 }],
        })),
        "GET /api/v1/rollouts/shop/web" => ok(&rollout("paused", false)),
        "GET /api/v1/watch" => stream(&[]),
        _ => error(404, "not_found", &request.line),
    });
    let ran = place.run(&["smrctl", "apply", "web.yaml", "--wait"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "object proposed for apply: containers\n"));
    assert!(ran.stderr.starts_with("containers/shop/web: changed\n"), "{ran:?}");
    let told = "error: the rollout of `containers/shop/web` is paused: 1 replica failed\n";
    assert!(ran.stderr.contains(told), "{ran:?}");
}

#[test]
fn rollouts_are_shown_and_waited_for() {
    let place = Place::new();
    let asked = AtomicUsize::new(0);
    let _fake = Fake::start(&place, move |request| match request.line.as_str() {
        "GET /api/v1/rollouts/shop/web" => ok(&match asked.fetch_add(1, Ordering::Relaxed) {
            0 => rollout("updating", false),
            _ => rollout("completed", true),
        }),
        "POST /api/v1/rollouts/shop/web/undo?to=1" => {
            ok(&json!({ "revision": 10, "generation": 3 }))
        }
        _ => error(409, "conflict", &request.line),
    });
    let ran = place.run(&["smrctl", "rollout", "status", "containers/shop/web", "--wait"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr, "0 of 1 replica ready with generation 2\n");
    assert!(ran.stdout.starts_with("containers/shop/web: generation 2, completed (1 to 2, for "));
    let ran = place.run(&["smrctl", "rollout", "history", "containers/shop/web"]);
    assert!(ran.stdout.lines().nth(2).unwrap().starts_with("2 *         "), "{ran:?}");
    let ran = place.run(&["smrctl", "rollout", "undo", "containers/shop/web", "--to", "1"]);
    assert_eq!(ran.stdout, "containers/shop/web: goes back, as generation 3\n");
    let ran = place.run(&["smrctl", "rollout", "pause", "containers/shop/web"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
}

#[test]
fn what_scripts_wait_for_is_a_state_of_a_node() {
    let place = Place::new();
    let _fake = Fake::start(&place, |request| match request.line.as_str() {
        "GET /api/v1/health" => ok(&json!({ "ok": true, "checks": [], "store": {
                "revision": 1, "compacted": 0, "leader": 1, "term": 1, "applied": 1 } })),
        "GET /api/v1/nodes/node-2" => ok(&node(2, false, 0, "drain")),
        "GET /api/v1/nodes/fake" => ok(&node(1, true, 0, "active")),
        _ => error(404, "not_found", &request.line),
    });
    for persona in [&["smrctl", "events"][..], &["smr", "agent", "events"]] {
        let wait = [persona, &["--timeout", "20s", "--wait"]].concat();
        // The context has this name, as that of a node has its name.
        assert_eq!(
            place.run(&[&wait[..], &["cluster_started", "--node", "fake"]].concat()).code,
            0
        );
        let drained = ["drain_success", "--node", "node-2"];
        assert_eq!(place.run(&[&wait[..], &drained].concat()).code, 0);
        let ran = place.run(&[&wait[..], &["drain_success", "--node", "node-9"]].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
    }
}

#[test]
fn rotating_stops_before_users_are_locked_out() {
    let place = Place::new();
    let step = AtomicUsize::new(0);
    let fake = Fake::start(&place, move |request| {
        if request.line.starts_with("POST") {
            step.fetch_add(1, Ordering::Relaxed);
        }
        let step = step.load(Ordering::Relaxed);
        let state = ["stable", "begun", "switched"][step.min(2)];
        let node = json!({ "node": 1, "name": "node-1", "ready": true, "current": true,
                           "renewed": step == 2 });
        ok(&json!({ "state": state, "authorities": [], "nodes": [node], "oldUsers": ["me"] }))
    });
    let ran = place.run(&["smrctl", "cert", "rotate-ca"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "error: certificates of the old authority are in use by me\nhint: give them new";
    assert!(ran.stderr.contains(told), "{ran:?}");
    let posts = fake.lines().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(posts, 2, "begun and switched, not finished");
}

#[test]
fn the_node_of_this_machine_is_the_one_it_wrote_down() {
    let place = Place::new();
    place.file("data/node.json", r#"{ "id": 1, "name": "node-1" }"#);
    let data = place.work().join("data").display().to_string();
    let fake = Fake::start(&place, |request| match request.line.as_str() {
        "GET /api/v1/replicas" => ok(&json!({ "revision": 3, "items": [] })),
        line if line.ends_with(" /api/v1/nodes/node-1") => ok(&node(1, true, 2, "drain")),
        _ => error(404, "not_found", &request.line),
    });
    let ran = place.run(&["smr", "agent", "drain", "--data-dir", &data]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "controls batch applied\n"), "{ran:?}");
    assert_eq!(fake.lines().last().unwrap(), "PATCH /api/v1/nodes/node-1");
}
