//! 50 replicas from `apply` to all running, beside a plain parallel client of the Docker API.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use smr_integration::{Docker, Lab, Node, cpu, docker, events::Events, wait};

use super::{
    node,
    stats::{median, ratio, s, table, verdict},
};

/// Containers per round.
const COUNT: usize = 50;

/// Parallel calls of the plain client. The engine is the bound from 4 on.
const PARALLEL: usize = 8;

/// Rounds of each kind, taken in turn.
const ROUNDS: usize = 3;

const LIMIT: Duration = Duration::from_mins(5);

/// Wall time, engine's processor time, our processor time.
struct Round {
    wall: Duration,
    engine: Duration,
    own: Duration,
}

pub(super) fn deploy(lab: &Lab) -> Result<()> {
    let node = node(lab, "")?;
    let (mut peer, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        peer.push(plain_round(lab)?);
        ours.push(smr_round(lab, &node)?);
    }
    let of = |rounds: &[Round], what: fn(&Round) -> Duration| {
        median(&rounds.iter().map(what).collect::<Vec<_>>())
    };
    let walls = (of(&ours, |r| r.wall), of(&peer, |r| r.wall));
    let (engine, own) = (of(&ours, |r| r.engine), of(&ours, |r| r.own));
    println!("\n{COUNT} containers until all run, median of {ROUNDS} rounds taken in turn\n");
    table(
        &["", "wall", "engine cpu", "own cpu"],
        &[
            vec![
                format!("Docker API, {PARALLEL} parallel calls"),
                s(walls.1),
                s(of(&peer, |r| r.engine)),
                "-".to_owned(),
            ],
            vec!["smrctl apply".to_owned(), s(walls.0), s(engine), s(own)],
        ],
    );
    println!("\nwall, ours / peer: {}", verdict(ratio(walls.0, walls.1), 1.10));
    if !engine.is_zero() {
        println!("own cpu / engine cpu: {}", verdict(ratio(own, engine), 0.05));
    }
    Ok(())
}

fn plain_round(lab: &Lab) -> Result<Round> {
    let engine = lab.engine_cpu().unwrap_or_default();
    let start = Instant::now();
    let ids = in_parallel(lab.docker(), |connection, _| {
        let body = json!({"Image": "busybox:latest", "Cmd": ["sleep", "3600"]});
        let created = docker::call(connection, "POST", "/containers/create", Some(&body))?;
        let id = created["Id"].as_str().context("no id")?.to_owned();
        docker::call(connection, "POST", &format!("/containers/{id}/start"), None)?;
        Ok(id)
    })?;
    let wall = start.elapsed();
    let engine = lab.engine_cpu().unwrap_or_default().saturating_sub(engine);
    in_parallel(lab.docker(), |connection, index| {
        let path = format!("/containers/{}?force=1&v=1", ids[index]);
        docker::call(connection, "DELETE", &path, None).map(|_| String::new())
    })?;
    Ok(Round { wall, engine, own: Duration::ZERO })
}

/// Calls `work` once for each of the containers, on kept-alive connections.
fn in_parallel(
    docker: &Docker,
    work: impl Fn(&mut smr_integration::http::Connection, usize) -> Result<String> + Sync,
) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut connection = docker.connect();
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= COUNT {
                return Ok(done);
            }
            done.push(work(&mut connection, index)?);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let done: Result<Vec<String>> =
                worker.join().map_err(|_| anyhow!("a worker panicked"))?;
            all.extend(done?);
        }
        Ok(all)
    })
}

fn smr_round(lab: &Lab, node: &Node) -> Result<Round> {
    let path = node.file("deploy.yaml", &definition("deploy", COUNT))?;
    let mut events = Events::subscribe(lab.docker(), &["start"])?;
    let engine = lab.engine_cpu().unwrap_or_default();
    let own = own_cpu(node)?;
    let start = Instant::now();
    node.ok(&["apply", &path])?;
    events.wait_started("bench-deploy-", COUNT, LIMIT)?;
    let wall = start.elapsed();
    let engine = lab.engine_cpu().unwrap_or_default().saturating_sub(engine);
    let own = own_cpu(node)?.saturating_sub(own);
    remove(node, "deploy")?;
    Ok(Round { wall, engine, own })
}

/// The node's processor time and that of the clients that have ended.
fn own_cpu(node: &Node) -> Result<Duration> {
    Ok(cpu::of_process(node.pid())? + cpu::of_ended_children()?)
}

/// Containers that only sleep, and go at once when told to.
pub(super) fn definition(name: &str, replicas: usize) -> String {
    format!(
        "prefix: simplecontainer.io/v1\nkind: containers\nmeta: {{group: bench, name: {name}}}\n\
         spec:\n  image: busybox\n  tag: latest\n  replicas: {replicas}\n  args: [sleep, '3600']\n  \
         stopSignal: SIGKILL\n"
    )
}

/// Removes an object made by [`definition`] and waits until its containers are gone.
pub(super) fn remove(node: &Node, name: &str) -> Result<()> {
    node.ok(&["remove", &format!("containers/bench/{name}")])?;
    let prefix = format!("bench-{name}-");
    wait("removed replicas to go", LIMIT, || match node.containers(&prefix) {
        Ok(left) if left.is_empty() => Ok(()),
        Ok(left) => Err(format!("{} left", left.len())),
        Err(error) => Err(format!("{error:#}")),
    })
}
