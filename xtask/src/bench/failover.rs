//! Hosts that vanish and replicas that die: how long until all is as it was, beside Swarm mode.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use smr_integration::{Docker, Rig, wait};

use super::{
    hosts::{LIMIT, Starts, containers, definition, formed, others, say_load, wait_gone},
    stats::{median, ms, ratio, s, table, verdict},
    swarm::{self, Swarm},
};

/// Replicas, in equal shares on the hosts.
const REPLICAS: usize = 6;

/// Times of each fault.
const ROUNDS: usize = 3;

/// Longest a peer is watched; Swarm mode without its leader may never come back.
const PATIENCE: Duration = Duration::from_secs(90);

/// Most seconds until writes are accepted and replicas run elsewhere.
const FAILOVER: f64 = 8.0;

/// Most seconds until a killed replica runs again, above what Docker itself takes.
const RESTART: f64 = 0.3;

/// What one product achieved, one sample per round. A thing that did not happen counts [`PATIENCE`].
#[derive(Default)]
struct Times {
    /// A host without the leader cut: until its replicas run elsewhere.
    worker: Vec<Duration>,
    /// The leader's host cut: until a write was accepted through each of the others.
    writes: Vec<Duration>,
    /// The same: until its replicas run elsewhere.
    leader: Vec<Duration>,
    /// A replica killed: until it runs again.
    killed: Vec<Duration>,
    /// Docker's own create and start at that time.
    plain: Vec<Duration>,
}

pub(super) fn failover(rig: &Rig, alone: bool) -> Result<()> {
    let ours = smr(rig)?;
    let peer = if alone { Times::default() } else { swarm_mode(rig)? };
    println!(
        "\n{} hosts, {REPLICAS} replicas, defaults everywhere, median of {ROUNDS}\n",
        rig.hosts().len()
    );
    let above = |times: &Times| median(&times.killed).saturating_sub(median(&times.plain));
    let row = |what: &str, ours: Duration, peer: Duration, limit: f64| {
        let ratio = if alone { "-".to_owned() } else { format!("{:.2}", ratio(ours, peer)) };
        let verdict = verdict(ours.as_secs_f64(), limit);
        let peer = if alone { "-".to_owned() } else { shown(peer) };
        vec![what.to_owned(), peer, shown(ours), ratio, verdict]
    };
    let rows = [
        row("worker cut, replicas elsewhere", median(&ours.worker), median(&peer.worker), FAILOVER),
        row("leader cut, writes accepted", median(&ours.writes), median(&peer.writes), FAILOVER),
        row("leader cut, replicas elsewhere", median(&ours.leader), median(&peer.leader), FAILOVER),
        row("replica killed, above create + start", above(&ours), above(&peer), RESTART),
    ];
    table(&["", "Swarm mode", "smr", "ratio", "seconds"], &rows);
    println!();
    for (name, times) in [("smr", &ours), ("Swarm mode", &peer)] {
        for (what, samples) in [
            ("worker", &times.worker),
            ("writes", &times.writes),
            ("leader", &times.leader),
            ("killed", &times.killed),
            ("create + start", &times.plain),
        ] {
            let all: Vec<String> = samples.iter().copied().map(shown).collect();
            println!("{name}, {what}: {}", all.join(", "));
        }
    }
    Ok(())
}

fn shown(time: Duration) -> String {
    match time {
        PATIENCE => format!("{} or more", s(time)),
        short if short < Duration::from_secs(1) => ms(short),
        long => s(long),
    }
}

fn smr(rig: &Rig) -> Result<Times> {
    let mut times = Times::default();
    let cluster = formed(rig, "")?;
    for round in 0..ROUNDS {
        say_load();
        for cut_leader in [false, true] {
            let leader = cluster.leader(1)?;
            let victim = if cut_leader { leader } else { others(rig, leader)[0] };
            let rest = others(rig, victim);
            let name = if cut_leader { format!("lead{round}") } else { format!("work{round}") };
            let prefix = format!("bench-{name}-");
            cluster[rest[0]].apply(&definition(&name, REPLICAS))?;
            let lost = containers(rig, &[victim], &prefix)?.len();
            ensure!(lost > 0, "no replica on host {victim}");
            if !cut_leader {
                let before = containers(rig, &rest, &prefix)?;
                let (host, killed) = before.first().context("a replica")?.clone();
                kill(rig, host, &killed, &prefix, &mut times)?;
            }
            let starts = Starts::watch(rig, &rest)?;
            let start = Instant::now();
            rig.cut(victim)?;
            let clients: Vec<_> = rest.iter().map(|host| cluster[*host].clone()).collect();
            let writes = cut_leader.then(|| {
                first_writes(clients, move |client, attempt| {
                    let yaml = format!(
                        "prefix: simplecontainer.io/v1\nkind: configuration\n\
                         meta: {{group: bench, name: w{round}-{attempt}}}\nspec: {{data: {{a: b}}}}\n"
                    );
                    let path = client.file("write.yaml", &yaml)?;
                    client.ok(&["apply", &path]).map(drop)
                })
            });
            let back = starts.wait(&prefix, lost, PATIENCE)?;
            let back = back.map_or(PATIENCE, |at| at - start);
            if let Some(writes) = writes {
                times.writes.push(all_written(&writes, rest.len(), start));
                times.leader.push(back);
            } else {
                times.worker.push(back);
            }
            println!("smr, host {victim} cut (leader {leader}): {} of {name} back", shown(back));
            rig.join(victim)?;
            cluster.wait_ready()?;
            cluster[rest[0]].ok(&["remove", &format!("containers/bench/{name}")])?;
            wait_gone(rig, &[1, 2, 3], &prefix)?;
        }
    }
    Ok(times)
}

fn swarm_mode(rig: &Rig) -> Result<Times> {
    let mut times = Times::default();
    for round in 0..ROUNDS {
        say_load();
        // A swarm whose leader was cut is not always one again.
        let swarm = Swarm::form(rig)?;
        for cut_leader in [false, true] {
            let leader = swarm.leader(1)?;
            let victim = if cut_leader { leader } else { others(rig, leader)[0] };
            let rest = others(rig, victim);
            let name = if cut_leader { format!("lead{round}") } else { format!("work{round}") };
            let prefix = format!("{name}.");
            swarm.create(rest[0], &name, REPLICAS, &[])?;
            let lost = containers(rig, &[victim], &prefix)?.len();
            ensure!(lost > 0, "no replica on host {victim}");
            if !cut_leader {
                let before = containers(rig, &rest, &prefix)?;
                let (host, killed) = before.first().context("a replica")?.clone();
                kill(rig, host, &killed, &prefix, &mut times)?;
            }
            let starts = Starts::watch(rig, &rest)?;
            let start = Instant::now();
            rig.cut(victim)?;
            let engines: Vec<Docker> =
                rest.iter().map(|host| rig[*host].docker().clone()).collect();
            let writes = cut_leader.then(|| {
                first_writes(engines, move |docker, attempt| {
                    swarm::write(docker, &format!("w{round}-{attempt}"))
                })
            });
            let back = starts.wait(&prefix, lost, PATIENCE)?;
            let back = back.map_or(PATIENCE, |at| at - start);
            println!("Swarm, host {victim} cut (leader {leader}): {} of {name} back", shown(back));
            if let Some(writes) = writes {
                times.writes.push(all_written(&writes, rest.len(), start));
                times.leader.push(back);
                rig.join(victim)?;
            } else {
                times.worker.push(back);
                rig.join(victim)?;
                swarm.wait_whole(rest[0])?;
                swarm.remove(rest[0], &name, &[1, 2, 3])?;
            }
        }
        swarm.dissolve()?;
        for host in rig.hosts() {
            for (_, name) in containers(rig, &[host.number()], "")? {
                // Gone in the meantime is as good.
                let _ = host.docker().remove(&name);
            }
        }
    }
    Ok(times)
}

/// Kills one replica, beside what Docker takes for a container on the same host.
fn kill(rig: &Rig, host: u32, name: &str, prefix: &str, times: &mut Times) -> Result<()> {
    let docker = rig[host].docker();
    let start = Instant::now();
    docker.run("plain", "busybox:latest", &["sleep", "3600"])?;
    times.plain.push(start.elapsed());
    docker.remove("plain")?;
    let starts = Starts::watch(rig, &[1, 2, 3])?;
    let start = Instant::now();
    docker.kill(name)?;
    let back = starts.all(prefix, 1)? - start;
    times.killed.push(back);
    wait("all replicas to run", LIMIT, || {
        let running = |number: u32| {
            let all = rig[number].docker().containers(&serde_json::json!({"status": ["running"]}));
            all.map(|all| all.iter().filter(|it| it.name.starts_with(prefix)).count()).unwrap_or(0)
        };
        let count: usize = (1..=3).map(running).sum();
        if count == REPLICAS { Ok(()) } else { Err(format!("{count} run")) }
    })
}

/// Writes through each of the targets again and again until one write is accepted there; says when.
fn first_writes<T: Send + 'static>(
    targets: Vec<T>,
    write: impl Fn(&T, String) -> Result<()> + Clone + Send + 'static,
) -> mpsc::Receiver<Instant> {
    let (sender, receiver) = mpsc::channel();
    for (number, target) in targets.into_iter().enumerate() {
        let (sender, write) = (sender.clone(), write.clone());
        thread::spawn(move || {
            let deadline = Instant::now() + PATIENCE;
            for attempt in 0.. {
                let done = write(&target, format!("{number}-{attempt}"));
                if done.is_ok() {
                    let _ = sender.send(Instant::now());
                    return;
                }
                if Instant::now() > deadline {
                    return;
                }
            }
        });
    }
    receiver
}

/// Time until writes were accepted by all targets.
fn all_written(writes: &mpsc::Receiver<Instant>, count: usize, start: Instant) -> Duration {
    let mut last = Duration::ZERO;
    for _ in 0..count {
        let left = (start + PATIENCE).saturating_duration_since(Instant::now());
        match writes.recv_timeout(left) {
            Ok(at) => last = last.max(at - start),
            Err(_) => return PATIENCE,
        }
    }
    last
}
