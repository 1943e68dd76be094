//! `cargo xtask bench NAME`: our figure and the peer's, from the same run on the same machine.

mod api;
mod deploy;
mod idle;
mod requests;
mod restart;
mod stats;

use std::{env, path::PathBuf};

use anyhow::{Context, Result, bail};
use smr_integration::Lab;

use crate::{
    apt,
    paths::target,
    run::{cargo, run, timed},
};

/// Programs that only the store's bench calls.
const STORE: &[apt::Tool] = &[("etcd", "etcd-server"), ("strace", "strace")];

/// Runs one bench. `rest` goes to the bench of the store.
pub(crate) fn bench(name: &str, rest: &[&str]) -> Result<()> {
    match name {
        "store" => {
            apt::ensure(&[STORE])?;
            run(cargo()
                .args(["run", "--profile", "staging", "--package", "smr-bench"])
                .args(["--bin", "bench-store", "--"])
                .args(rest))
        }
        "deploy" => deploy::deploy(&lab()?),
        "restart" => restart::restart(&lab()?),
        "api" => api::api(&lab()?),
        "idle" => idle::idle(&lab()?),
        other => bail!("no bench `{other}`; there are deploy, restart, api, idle and store"),
    }
}

/// An engine of its own, and the binary built for speed.
fn lab() -> Result<Lab> {
    apt::ensure(&[apt::ENGINE, apt::TESTS])?;
    if !apt::is_root() {
        bail!("benches start an engine of their own, which needs root");
    }
    if env::var_os("SMR_BIN").is_none() {
        timed("building smr (profile staging)", || {
            run(cargo().args(["build", "--quiet", "--profile", "staging", "--package", "smr"]))
        })?;
    }
    Lab::start().context("cannot start a lab")
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
