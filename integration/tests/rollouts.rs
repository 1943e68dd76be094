//! A change reaches the replicas while they go on serving: rolling, paused, taken back, tried on a few first,
//! and across the drain of a node.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use smr_integration::{Cluster, Rig, docker::encode, wait};

const LIMIT: Duration = Duration::from_mins(1);
/// A container of [`web`] is good for nothing before.
const WARM_UP: Duration = Duration::from_secs(1);
const WEB: &str = "containers/six/web";

/// Six replicas that need a while to become ready. `say` is what a change changes.
fn web(say: &str, more: &str) -> String {
    format!(
        "prefix: simplecontainer.io/v1\nkind: containers\nmeta: {{group: six, name: web}}\n\
         spec:\n  image: busybox\n  tag: latest\n  replicas: 6\n  spread: {{spread: uniform}}\n  \
         envs: ['SAY={say}']\n  stopSignal: SIGKILL\n  {more}\n  \
         args: [sh, -c, 'sleep 1; touch /tmp/ready; exec sleep 3600']\n  \
         readiness: [{{command: [test, -e, /tmp/ready]}}]\n"
    )
}

/// The same, but each container ends at once.
fn broken(say: &str) -> String {
    web(say, "").replace("sleep 1; touch /tmp/ready; exec sleep 3600", "exit 7")
}

fn formed(rig: &Rig) -> Cluster<'_> {
    let cluster = Cluster::form(rig, "").unwrap();
    cluster[1].apply(&web("one", "")).unwrap();
    cluster
}

/// What `rollout status` says.
fn rollout(cluster: &Cluster<'_>) -> Value {
    let text = cluster[2].ok(&["rollout", "status", WEB, "--output", "json"]).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Waits until the rollout to the stored definition is in this state.
fn wait_state(cluster: &Cluster<'_>, state: &str) -> Value {
    wait(&format!("a rollout that is {state}"), LIMIT, || {
        let view = rollout(cluster);
        let found = &view["rollout"];
        let is_current = found["to"] == view["generation"] || state == "rolled_back";
        if is_current && found["state"] == state { Ok(view) } else { Err(found.to_string()) }
    })
    .unwrap()
}

/// What the replicas that serve say, by index; of a replica that is being changed both may.
fn said(rig: &Rig) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for host in rig.hosts() {
        for container in host.docker().containers(&json!({"label": ["smr.group=six"]})).unwrap() {
            // It may go between the two looks.
            let Ok(inside) = host.docker().inspect(&container.id) else { continue };
            let mut environment = inside["Config"]["Env"].as_array().unwrap().iter();
            let say = environment.find_map(|it| it.as_str()?.strip_prefix("SAY="));
            let index = container.labels["smr.index"].clone();
            found.push((index, say.unwrap_or_default().to_owned()));
        }
    }
    found.sort();
    found
}

/// Whether each of the six says this, and nobody anything else.
fn all_say(rig: &Rig, say: &str) {
    let wanted: Vec<_> = (1..=6).map(|index| (index.to_string(), say.to_owned())).collect();
    assert_eq!(said(rig), wanted);
}

/// The containers that run at one moment, from which the engines' own records are followed.
struct Moment {
    nanos: i64,
    /// Replica of each container, by its id.
    running: BTreeMap<String, String>,
}

fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
}

impl Moment {
    fn note(rig: &Rig) -> Self {
        let nanos = now();
        let filter = json!({"label": ["smr.group=six"], "status": ["running"]});
        let all = rig.hosts().iter().flat_map(|host| host.docker().containers(&filter).unwrap());
        Self { nanos, running: all.map(|it| (it.id, it.labels["smr.index"].clone())).collect() }
    }

    /// Fewest replicas that had a container past its warm-up at the same time, since then. What the
    /// engines recorded counts, so no moment is missed.
    fn fewest_served(self, rig: &Rig) -> usize {
        let mut changes: Vec<(i64, String, Option<String>)> = Vec::new();
        for host in rig.hosts() {
            for event in events(host.docker(), self.nanos) {
                let actor = &event["Actor"];
                let id = actor["ID"].as_str().unwrap().to_owned();
                let index = actor["Attributes"]["smr.index"].as_str().unwrap().to_owned();
                let at = event["timeNano"].as_i64().unwrap();
                let ready = at + i64::try_from(WARM_UP.as_nanos()).unwrap();
                match event["Action"].as_str().unwrap() {
                    "start" => changes.push((ready, id, Some(index))),
                    _ => changes.push((at, id, None)),
                }
            }
        }
        changes.sort();
        let mut serving = self.running;
        let mut ended = BTreeSet::new();
        let count =
            |serving: &BTreeMap<String, String>| serving.values().collect::<BTreeSet<_>>().len();
        let mut fewest = count(&serving);
        let until = now();
        for (_, id, begun) in changes.into_iter().filter(|(at, ..)| *at <= until) {
            match begun {
                // It may have ended before it was warm.
                Some(index) if !ended.contains(&id) => drop(serving.insert(id, index)),
                Some(_) => {}
                None => {
                    serving.remove(&id);
                    ended.insert(id);
                }
            }
            fewest = fewest.min(count(&serving));
        }
        fewest
    }
}

/// Starts and ends of our containers since a moment, as an engine recorded them.
fn events(docker: &smr_integration::Docker, since: i64) -> Vec<Value> {
    let filters = json!({"type": ["container"], "event": ["start", "die"],
        "label": ["smr.group=six"]});
    let time = |nanos: i64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let path = format!(
        "/events?since={}&until={}&filters={}",
        time(since),
        time(now()),
        encode(&filters.to_string())
    );
    let answer = docker.connect().request("GET", &path, None).unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_rolling_change_and_its_undoing_keep_every_replica_served() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = formed(&rig);
    all_say(&rig, "one");
    let before = Moment::note(&rig);
    cluster[1].apply(&web("two", "")).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "two");
    assert_eq!(before.fewest_served(&rig), 6, "during the change");

    let before = Moment::note(&rig);
    cluster[2].ok(&["rollout", "undo", WEB]).unwrap();
    cluster[2].ok(&["rollout", "status", WEB, "--wait"]).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "one");
    assert_eq!(before.fewest_served(&rig), 6, "during the undoing");
    let history = cluster[3].ok(&["rollout", "history", WEB, "--output", "name"]).unwrap();
    assert_eq!(history.lines().collect::<Vec<_>>(), ["3", "2", "1"]);

    // Several at a time are faster and keep what they promise, too.
    let before = Moment::note(&rig);
    cluster[1].apply(&web("three", "update: {parallelism: 3}")).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "three");
    assert_eq!(before.fewest_served(&rig), 6, "three at a time");
    // With the old one stopped first, one at a time is missing.
    let before = Moment::note(&rig);
    cluster[1].apply(&web("four", "update: {order: stop-first}")).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "four");
    assert_eq!(before.fewest_served(&rig), 5, "stop-first");
}

#[test]
fn a_change_that_fails_stops_and_the_old_replicas_serve() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = formed(&rig);
    let before = Moment::note(&rig);
    let path = cluster[1].file("broken.yaml", &broken("broken")).unwrap();
    let applied = cluster[1].smrctl(&["apply", &path, "--wait"]).unwrap();
    assert_eq!(applied.code, 1, "{applied:?}");
    let view = wait_state(&cluster, "paused");
    let message = view["rollout"]["message"].as_str().unwrap();
    assert!(message.starts_with("replica ") && message.contains(" is in state "), "{message}");
    assert_eq!(view["rollout"]["changed"].as_object().unwrap().len(), 1, "{view}");
    let waited = cluster[3].smrctl(&["rollout", "status", WEB, "--wait"]).unwrap();
    assert_eq!(waited.code, 1, "{waited:?}");

    cluster[3].ok(&["rollout", "undo", WEB]).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "one");

    // An image that is nowhere stops nothing that runs; a better definition goes ahead of it.
    let absent = web("absent", "").replace("tag: latest", "tag: absent");
    let path = cluster[1].file("absent.yaml", &absent).unwrap();
    cluster[1].ok(&["apply", &path]).unwrap();
    wait("a replica that wants the image", LIMIT, || {
        let view = rollout(&cluster);
        let changed = view["rollout"]["changed"].as_object().map_or(0, serde_json::Map::len);
        let is_current = view["rollout"]["to"] == view["generation"];
        if is_current && changed == 1 { Ok(()) } else { Err(view.to_string()) }
    })
    .unwrap();
    cluster[1].apply(&web("better", "")).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "better");
    assert_eq!(before.fewest_served(&rig), 6, "all the time");

    // Asked to, it goes back by itself.
    let path = cluster[1]
        .file(
            "back.yaml",
            &broken("worse").replace("envs:", "update: {onFailure: rollback}\n  envs:"),
        )
        .unwrap();
    let applied = cluster[1].smrctl(&["apply", &path, "--wait"]).unwrap();
    assert_eq!(applied.code, 1, "{applied:?}");
    wait_state(&cluster, "rolled_back");
    all_say(&rig, "better");
}

#[test]
fn a_change_waits_when_paused_and_tries_a_canary_first() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = formed(&rig);
    let before = Moment::note(&rig);
    let path = cluster[1].file("two.yaml", &web("two", "")).unwrap();
    cluster[1].ok(&["apply", &path]).unwrap();
    wait("a replica that is changed", LIMIT, || {
        let found = said(&rig);
        if found.iter().any(|(_, say)| say == "two") { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .unwrap();
    cluster[3].ok(&["rollout", "pause", WEB]).unwrap();
    let at_rest = |view: &Value| {
        let replicas = view["replicas"].as_array().unwrap();
        replicas.iter().all(|it| it["ready"] == true && it["generation"] == it["wanted"])
    };
    let view = wait("replicas at rest", LIMIT, || {
        let view = wait_state(&cluster, "paused");
        if at_rest(&view) { Ok(view) } else { Err(view["replicas"].to_string()) }
    })
    .unwrap();
    let new = view["replicas"].as_array().unwrap().iter().filter(|it| it["wanted"] == 2).count();
    assert!((1..6).contains(&new), "some are changed, some are not: {view}");
    cluster[2].ok(&["rollout", "resume", WEB]).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "two");

    cluster[1].apply(&web("three", "update: {canary: 2}")).unwrap();
    wait_state(&cluster, "canary");
    let three = said(&rig).into_iter().filter(|(_, say)| say == "three").count();
    assert_eq!(three, 2, "{:?}", said(&rig));
    cluster[2].ok(&["rollout", "promote", WEB]).unwrap();
    wait_state(&cluster, "completed");
    all_say(&rig, "three");
    assert_eq!(before.fewest_served(&rig), 6);
}

#[test]
fn draining_a_node_moves_its_replicas_without_a_gap() {
    let Some(rig) = Rig::require(3) else { return };
    let cluster = formed(&rig);
    let before = Moment::note(&rig);
    cluster[1].ok(&["node", "drain", "n3", "--wait"]).unwrap();
    assert!(cluster[3].containers("six-").unwrap().is_empty());
    let six =
        |found: &[(String, u32)]| found.len() == 6 && found.iter().all(|(_, host)| *host != 3);
    cluster.wait_running("six on hosts 1 and 2", "six-", LIMIT, six).unwrap();
    assert_eq!(before.fewest_served(&rig), 6);
}
