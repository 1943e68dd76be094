//! `cargo xtask bench NAME`.

use anyhow::{Result, bail};

use crate::run::{cargo, run};

/// Runs one bench.
pub(crate) fn bench(name: &str, rest: &[&str]) -> Result<()> {
    match name {
        "store" => run(cargo()
            .args(["run", "--profile", "staging", "--package", "smr-bench", "--bin", "bench-store"])
            .arg("--")
            .args(rest)),
        other => bail!("no bench `{other}`; there are deploy, restart, api, idle and store"),
    }
}
