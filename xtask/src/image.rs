//! `cargo xtask image`: the release binary, static, and an image with nothing else in it.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    apt, host,
    paths::{root, target},
    run::{cargo, output, run, say, timed},
};

/// Largest binary.
const LIMIT_MB: f64 = 40.0;

/// Name of the image.
const IMAGE: &str = "smr:dev";

/// Builds, checks, imports, and runs `smr version` in the image.
pub(crate) fn image() -> Result<()> {
    apt::ensure(&[apt::ENGINE])?;
    let binary = release_binary()?;
    let docker = host::engine()?;
    let staging = std::env::temp_dir().join(format!("smr-image-{}", std::process::id()));
    let outcome = pack(&staging, &binary).and_then(|tar| {
        let changes = ["ENTRYPOINT [\"/smr\"]", "CMD [\"start\"]", "ENV PATH=/", "EXPOSE 1443"];
        docker.import(IMAGE, &tar, &changes.map(str::to_owned))
    });
    fs::remove_dir_all(&staging).with_context(|| format!("remove `{}`", staging.display()))?;
    outcome?;
    let client = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["-H", &format!("unix://{}", docker.socket().display())]).args(arguments);
        output(&mut command)
    };
    let version = client(&["run", "--rm", "--network", "none", IMAGE, "version"])?;
    say(&format!("`smr version` in {IMAGE}: {}", version.trim()));
    Ok(())
}

/// The static release binary, checked.
pub(crate) fn release_binary() -> Result<std::path::PathBuf> {
    let host = output(Command::new("rustc").arg("-vV"))?;
    let triple = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?
        .to_owned();
    timed("building the static release binary (several minutes the first time)", || {
        run(cargo().env("RUSTFLAGS", "-C target-feature=+crt-static").args([
            "build",
            "--release",
            "--package",
            "smr",
            "--target",
            &triple,
        ]))
    })?;
    let binary = target()?.join(&triple).join("release/smr");
    // A static program makes `ldd` fail, with the reason on standard error.
    let ldd = Command::new("ldd").arg(&binary).output().context("cannot run `ldd`")?;
    let said = [ldd.stdout, ldd.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if !said
        .iter()
        .any(|text| text.contains("statically linked") || text.contains("not a dynamic executable"))
    {
        bail!("`{}` is not static: {}", binary.display(), said.concat().trim());
    }
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let megabytes = fs::metadata(&binary)?.len() as f64 / 1e6;
    if megabytes > LIMIT_MB {
        bail!("`{}` has {megabytes:.1} MB, at most {LIMIT_MB} MB", binary.display());
    }
    say(&format!("{}: {megabytes:.1} MB, static", binary.display()));
    Ok(binary)
}

/// A root file system of the binary, its names, and the folders it expects.
fn pack(staging: &Path, binary: &Path) -> Result<std::path::PathBuf> {
    let tree = staging.join("root");
    for folder in ["tmp", "etc/smr"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy(binary, tree.join("smr"))?;
    for name in ["smrctl", "smrmgr"] {
        symlink("smr", tree.join(name))?;
    }
    let licence = root().join("LICENSE");
    fs::copy(&licence, tree.join("LICENSE")).with_context(|| format!("`{}`", licence.display()))?;
    let tar = staging.join("image.tar");
    output(
        Command::new("tar")
            .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
            .arg("-cf")
            .arg(&tar)
            .arg("-C")
            .arg(&tree)
            .arg("."),
    )?;
    Ok(tar)
}
