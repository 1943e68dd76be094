//! `cargo xtask bench NAME`: our figure and the peer's, from the same run on the same machine.

mod api;
mod deploy;
mod failover;
mod hosts;
mod idle;
mod idle_cluster;
mod requests;
mod restart;
mod schedule;
mod spread;
mod stats;
mod swarm;

use std::{env, path::PathBuf};

use anyhow::{Context, Result, bail};
use smr_integration::{Lab, Rig};

use crate::{
    apt,
    paths::target,
    run::{cargo, run, timed},
};

/// Programs that only the benches of the store call.
const STORE: &[apt::Tool] = &[("etcd", "etcd-server"), ("strace", "strace")];

/// All benches, as they are called.
const NAMES: &str =
    "deploy, restart, api, idle, store, raft, schedule, failover, spread and idle-cluster";

/// Runs one bench. `rest` goes to those of the store; `failover --alone` leaves the peer out.
pub(crate) fn bench(name: &str, rest: &[&str]) -> Result<()> {
    match name {
        "store" => of_store("bench-store", rest),
        "raft" => of_store("bench-raft", rest),
        "schedule" => schedule::schedule(),
        "deploy" => deploy::deploy(&lab()?),
        "restart" => restart::restart(&lab()?),
        "api" => api::api(&lab()?),
        "idle" => idle::idle(&lab()?),
        "failover" => failover::failover(&rig()?, rest.contains(&"--alone")),
        "spread" => spread::spread(&rig()?),
        "idle-cluster" => idle_cluster::idle_cluster(&rig()?),
        other => bail!("no bench `{other}`; there are {NAMES}"),
    }
}

fn of_store(program: &str, rest: &[&str]) -> Result<()> {
    apt::ensure(&[STORE])?;
    run(cargo()
        .args(["run", "--profile", "staging", "--package", "smr-bench"])
        .args(["--bin", program, "--"])
        .args(rest))
}

/// Hosts with an engine each, and the binary built for speed.
fn rig() -> Result<Rig> {
    prepare()?;
    Rig::start(hosts::HOSTS).context("cannot start a rig")
}

/// An engine of its own, and the binary built for speed.
fn lab() -> Result<Lab> {
    prepare()?;
    Lab::start().context("cannot start a lab")
}

fn prepare() -> Result<()> {
    apt::ensure(&[apt::ENGINE, apt::TESTS])?;
    if !apt::is_root() {
        bail!("benches start an engine of their own, which needs root");
    }
    if env::var_os("SMR_BIN").is_none() {
        timed("building smr (profile staging)", || {
            run(cargo().args(["build", "--quiet", "--profile", "staging", "--package", "smr"]))
        })?;
    }
    Ok(())
}

/// Makes a node of the binary built for speed.
fn node<'lab>(lab: &'lab Lab, extra: &str) -> Result<smr_integration::Node<'lab>> {
    smr_integration::Node::start_binary(lab, &binary()?, extra)
}

/// The binary under measurement: `SMR_BIN`, for example the one that is shipped, or the one built
/// for speed.
fn binary() -> Result<PathBuf> {
    match env::var_os("SMR_BIN") {
        Some(path) => Ok(path.into()),
        None => Ok(target()?.join("staging/smr")),
    }
}
