//! A node with nothing to do: memory, processor time, and how fast it starts on existing state.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use smr_integration::{Lab, cpu, events::Events};

use super::{
    deploy::definition,
    node,
    stats::{median, ms, s, table, verdict},
};

/// Replicas that run while the node is restarted and measured.
const REPLICAS: usize = 10;

/// Starts measured.
const STARTS: usize = 5;

/// How long the idle node is watched.
const WATCH: Duration = Duration::from_secs(10);

const LIMIT: Duration = Duration::from_mins(1);

pub(super) fn idle(lab: &Lab) -> Result<()> {
    let mut node = node(lab, "")?;
    let path = node.file("idle.yaml", &definition("idle", REPLICAS))?;
    let mut events = Events::subscribe(lab.docker(), &["start"])?;
    node.ok(&["apply", &path])?;
    events.wait_started("bench-idle-", REPLICAS, LIMIT)?;
    let before = node.wait_running("bench-idle-", REPLICAS, LIMIT)?;

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        node.stop()?;
        let start = Instant::now();
        node.restart()?;
        starts.push(start.elapsed());
    }
    let after = node.wait_running("bench-idle-", REPLICAS, LIMIT)?;
    anyhow::ensure!(before == after, "a restart of the node changed containers");

    let used = cpu::of_process(node.pid())?;
    // An idle engine is silent: the stream of events is the clock.
    let silent = events.next(Instant::now() + WATCH, |_| true).is_err();
    let used = cpu::of_process(node.pid())?.saturating_sub(used);
    let memory = cpu::resident_bytes(node.pid())? as f64 / f64::from(1 << 20);
    let binary = super::binary()?;
    let size = fs::metadata(&binary).context("the binary")?.len() as f64 / 1e6;

    println!("\nnode with {REPLICAS} running replicas\n");
    table(
        &["", "figure"],
        &[
            vec!["resident memory, MiB".into(), verdict(memory, 40.0)],
            vec![
                format!("start to ready, existing state, median of {STARTS}, s"),
                verdict(median(&starts).as_secs_f64(), 0.5),
            ],
            vec![
                "the same, all".into(),
                starts.iter().map(|it| ms(*it)).collect::<Vec<_>>().join(", "),
            ],
            vec![format!("processor time in {} idle", s(WATCH)), ms(used)],
            vec!["engine silent meanwhile".into(), silent.to_string()],
            vec!["binary, MB".into(), format!("{size:.1}")],
        ],
    );
    Ok(())
}
