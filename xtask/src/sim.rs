//! `cargo xtask sim`: simulates whole clusters, optimised, with the arguments given.

use anyhow::Result;

use crate::run::{cargo, run};

/// Seeds and steps of a full run.
const FULL: [&str; 4] = ["--seeds", "2000", "--steps", "2000"];

pub(crate) fn sim(arguments: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "smr-sim", "--"]);
    if arguments.is_empty() {
        command.args(FULL);
    } else {
        command.args(arguments);
    }
    run(&mut command)
}
