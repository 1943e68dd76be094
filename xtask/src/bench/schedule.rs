//! The scheduler alone: 100,000 replicas on 1,000 nodes, against its bounds.

use anyhow::{Context, Result};

use super::stats::{table, verdict};
use crate::run::{cargo, output, timed};

/// Most milliseconds for everything from nothing.
const FROM_NOTHING: f64 = 1_000.0;
/// Most milliseconds after the loss of a node.
const ONE_LOST: f64 = 20.0;
/// Most memory, MiB.
const MEMORY: f64 = 200.0;

pub(super) fn schedule() -> Result<()> {
    let example = ["--release", "--package", "smr-scheduler", "--example", "bench-schedule"];
    timed("building the scheduler (profile release)", || {
        output(cargo().args(["build", "--quiet"]).args(example))
    })?;
    let printed = output(cargo().args(["run", "--quiet"]).args(example))?;
    println!("\n{printed}");
    let mut rows = Vec::new();
    for line in printed.lines() {
        if let Some((shape, figures)) = line.split_once(" on ") {
            let all = between(figures, " decisions in ", " ms")?;
            let lost = between(figures, "at worst ", " ms")?;
            rows.push(vec![shape.to_owned(), verdict(all, FROM_NOTHING), verdict(lost, ONE_LOST)]);
        }
    }
    table(&["", "from nothing, ms", "one of 1,000 nodes lost, ms"], &rows);
    let memory = between(&printed, "peak memory of all: ", " MiB")?;
    println!("\npeak memory, MiB: {}", verdict(memory, MEMORY));
    Ok(())
}

/// The number in a text between two others.
fn between(text: &str, before: &str, after: &str) -> Result<f64> {
    let rest = text.split_once(before).map(|(_, rest)| rest);
    let number = rest.and_then(|rest| rest.split_once(after)).map(|(number, _)| number);
    number
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("no number between `{before}` and `{after}` in: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_out_of_sentences() {
        let found = between("7 decisions in 120 ms, 3 pending", " decisions in ", " ms").unwrap();
        assert!((found - 120.0).abs() < 1e-9, "{found}");
        assert!(between("nothing", "a", "b").is_err());
    }
}
