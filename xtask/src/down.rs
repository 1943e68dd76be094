//! `cargo xtask down`: stops what `up` started.

use std::{fs, process::Command, time::Duration};

use anyhow::Result;
use serde_json::json;
use smr_integration::{Docker, process};

use crate::{
    host,
    paths::dev,
    run::{output, say},
    up,
};

/// Stops the node, and the engine if `up` started it. With `purge`, removes the examples' containers and the
/// node's data.
pub(crate) fn down(purge: bool) -> Result<()> {
    if !dev().exists() {
        say("nothing to stop: `cargo xtask up` has not run here");
        return Ok(());
    }
    match up::running() {
        Some(pid) => {
            if purge {
                for example in ["examples/hello", "examples/shop"] {
                    // What was never applied cannot be removed.
                    let _ = output(up::smrctl().args(["remove", example]));
                }
            }
            say("stopping the node");
            process::stop(pid, Duration::from_secs(30))?;
        }
        None => say("the node was not running"),
    }
    if purge {
        remove_example_containers();
    }
    if host::stop_engine()? {
        say("stopped the dockerd that `up` had started, and with it its containers");
    } else if !purge {
        say("containers keep running; `cargo xtask up` finds them again");
    }
    if purge {
        unmount();
        fs::remove_dir_all(dev())?;
        say("removed .smr-dev");
    }
    Ok(())
}

/// Whatever of the examples is left, told by smr's label and the name.
fn remove_example_containers() {
    let Ok(socket) = host::socket() else { return };
    let docker = Docker::new(&socket);
    let Ok(containers) = docker.containers(&json!({"label": ["managed=smr"]})) else { return };
    for container in containers {
        if ["hello-", "shop-"].iter().any(|prefix| container.name.starts_with(prefix)) {
            // Being removed by the engine at this moment is as good.
            let _ = docker.remove(&container.id);
        }
    }
    for path in ["/networks/shop", "/volumes/shop-data"] {
        let _ = docker.call("DELETE", path, None);
    }
}

/// A dockerd that was killed leaves mounts below its data.
fn unmount() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = format!("{}/", dev().display());
    let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    for point in points.into_iter().rev().filter(|point| point.starts_with(&inside)) {
        let _ = Command::new("umount").args(["-l", point]).output();
    }
}
