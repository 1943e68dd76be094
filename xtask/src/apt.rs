//! Installs missing programs from Debian packages.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::run::{output, say, timed};

/// A program and the package it is in.
pub(crate) type Tool = (&'static str, &'static str);

/// What images and an engine need.
pub(crate) const ENGINE: &[Tool] = &[
    ("dockerd", "docker.io"),
    ("docker", "docker-cli"),
    ("iptables", "iptables"),
    ("readelf", "binutils"),
    ("cc", "build-essential"),
    ("setsid", "util-linux"),
];

/// What the tests need besides.
pub(crate) const TESTS: &[Tool] = &[
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("nft", "nftables"),
    ("curl", "curl"),
    ("umount", "mount"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("faketime", "faketime"),
];

/// Installs what is not there. Says what it installs; without root, says what to run.
pub(crate) fn ensure(tools: &[&[Tool]]) -> Result<()> {
    let mut packages: Vec<&str> = tools
        .iter()
        .flat_map(|list| list.iter())
        .filter(|(program, _)| !on_path(program))
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    if !on_path("apt-get") {
        bail!("missing {}, and there is no apt-get to install them with", packages.join(", "));
    }
    if !is_root() {
        bail!(
            "missing packages; run `sudo apt-get install {}` or this command as root",
            packages.join(" ")
        );
    }
    timed(&format!("installing {}", packages.join(", ")), || {
        output(Command::new("apt-get").args(["-qq", "update"]))?;
        // Before Debian 13 the client came with docker.io.
        let known =
            |package: &str| output(Command::new("apt-cache").args(["show", package])).is_ok();
        if packages.contains(&"docker-cli") && !known("docker-cli") {
            packages.retain(|package| *package != "docker-cli");
            packages.push("docker.io");
        }
        output(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["-qq", "-y", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends", "install"])
                .args(&packages),
        )
        .map(drop)
    })?;
    for (program, package) in tools.iter().flat_map(|list| list.iter()) {
        if !on_path(program) {
            say(&format!("warning: still no `{program}` after installing {package}"));
        }
    }
    Ok(())
}

/// Whether this process may do anything.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether a program can be found. Administration programs count even where PATH lacks them.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|dir| Path::new(dir).join(program).exists())
}
