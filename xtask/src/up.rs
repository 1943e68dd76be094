//! `cargo xtask up`: from a checkout to a node with a running container.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use smr_integration::{
    Docker, ReadySocket,
    images::{self, Installed},
    process, wait,
};

use crate::{
    apt, host,
    paths::{dev, root, target},
    run::{cargo, output, run, say, timed},
};

/// The replica of examples/hello.
const REPLICA: &str = "containers/hello/hello-web-1";

/// Programs that one binary answers to.
const NAMES: &[&str] = &["smr", "smrctl", "smrmgr"];

/// How long a node may take to be ready; it takes well under a second.
const START: Duration = Duration::from_secs(30);

/// How long the published port of a ready container may take to answer.
const PAGE: Duration = Duration::from_secs(5);

/// Starts whatever is not there yet. `sets` names further examples whose images are wanted.
pub(crate) fn up(sets: &[&str]) -> Result<()> {
    let start = Instant::now();
    apt::ensure(&[apt::ENGINE])?;
    fs::create_dir_all(dev())?;
    let docker = host::engine()?;
    let changed = [install_images(&docker, sets)?, build()?, write_config(&docker)?];
    let started = start_node(changed.contains(&true))?;
    let applied = output(smrctl().args(["apply", "examples/hello", "--wait"]))
        .context("examples/hello was not applied")?;
    if started {
        print!("{applied}");
    } else {
        say("the node was running already; nothing to change");
    }
    // After a restart of the engine a replica may have been ready before and not be now.
    let table = wait("the replica to run", START, || {
        let table = output(smrctl().arg("ps")).map_err(|error| format!("{error:#}"))?;
        let runs = |line: &str| line.contains(REPLICA) && line.matches("running").count() == 2;
        if table.lines().any(runs) { Ok(table) } else { Err(table) }
    })?;
    println!("{table}");
    let page = wait("the page", PAGE, || greeting().map_err(|error| format!("{error:#}")));
    match page {
        Ok(text) => println!("http://127.0.0.1:8080 says: {}", text.trim()),
        Err(error) => bail!("http://127.0.0.1:8080 does not answer: {error:#}"),
    }
    next_steps(start.elapsed());
    Ok(())
}

fn next_steps(took: Duration) {
    let bin = dev().join("bin");
    println!(
        "
Ready after {:.0} s. Try next:
  export PATH={}:$PATH
  smrctl ps
  smrctl logs {REPLICA}
  $EDITOR examples/hello/definitions/hello.yaml && smrctl apply examples/hello --wait
  cargo xtask up --images shop && smrctl apply examples/shop --wait && curl http://127.0.0.1:8090/stock
  cargo xtask down            (keeps data; add --purge to remove it)
Node log: {}",
        took.as_secs_f64(),
        bin.display(),
        log_file().display()
    );
}

/// Images of the examples, by name of the example.
fn image_names(set: &str) -> Result<&'static [&'static str]> {
    match set {
        "hello" => Ok(&["busybox"]),
        "shop" => Ok(&["nginx", "app", "postgres", "redis"]),
        other => bail!("no example `{other}`; there are hello and shop"),
    }
}

/// Builds and imports what is missing. New images do not concern a running node.
fn install_images(docker: &Docker, sets: &[&str]) -> Result<bool> {
    for set in ["hello"].iter().chain(sets) {
        for name in image_names(set)? {
            if images::install(docker, name, &say)? == Installed::Imported {
                say(&format!("imported image {}", images::image_name(name)));
            }
        }
    }
    Ok(false)
}

/// Builds the binary and links its names; returns whether it is another one than before.
fn build() -> Result<bool> {
    timed(
        "building smr (dev profile: quickest to build; `cargo xtask image` makes the release)",
        || run(cargo().args(["build", "--quiet", "--package", "smr"])),
    )?;
    let binary = target()?.join("debug/smr");
    let bin = dev().join("bin");
    fs::create_dir_all(&bin)?;
    for name in NAMES {
        let link = bin.join(name);
        if fs::read_link(&link).ok().as_ref() != Some(&binary) {
            let _ = fs::remove_file(&link);
            symlink(&binary, &link)?;
        }
    }
    replace_if_other(&dev().join("binary"), &identity(&binary)?)
}

/// Tells one build of a file from another.
fn identity(file: &Path) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(file).with_context(|| format!("`{}`", file.display()))?;
    Ok(format!("{} {} {}.{}\n", meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

fn write_config(docker: &Docker) -> Result<bool> {
    let text = format!(
        "# Written by `cargo xtask up`; every other key has its default (`smr config show --defaults`).\n\
         [data]\ndir = \"{}\"\n\n[docker]\nhost = \"unix://{}\"\n",
        dev().join("data").display(),
        docker.socket().display()
    );
    replace_if_other(&config_file(), &text)
}

/// Writes a file unless it has that text already; returns whether it did.
fn replace_if_other(file: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    fs::write(file, text).with_context(|| format!("write `{}`", file.display()))?;
    Ok(true)
}

/// Starts the node, or starts it again when its binary or configuration changed; returns whether it did.
fn start_node(changed: bool) -> Result<bool> {
    if let Some(pid) = running() {
        if !changed {
            return Ok(false);
        }
        say("binary or configuration changed: restarting the node (containers keep running)");
        process::stop(pid, START)?;
    }
    say("starting the node");
    // A socket path may have 108 bytes, a checkout may be deeper.
    let socket = std::env::temp_dir().join(format!("smr-dev-{}.sock", std::process::id()));
    let ready = ReadySocket::bind(&socket)?;
    let out = fs::File::options().create(true).append(true).open(log_file())?;
    let mut child = Command::new("setsid")
        .arg(dev().join("bin/smr"))
        .arg("start")
        .arg("--config")
        .arg(config_file())
        .env("NOTIFY_SOCKET", ready.path())
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .context("cannot run smr")?;
    fs::write(pid_file(), format!("{}\n", child.id()))?;
    ready.wait(&mut child, &log_file(), START, || output(smrctl().arg("ps")).is_ok())?;
    Ok(true)
}

/// What the example's web server says.
fn greeting() -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", 8080))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    if !head.contains(" 200 ") {
        bail!("{}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// The client, with the contexts of the person who runs this.
pub(crate) fn smrctl() -> Command {
    let mut command = Command::new(dev().join("bin/smrctl"));
    command.current_dir(root());
    command
}

/// Pid of the development node, if it runs.
pub(crate) fn running() -> Option<u32> {
    host::recorded(&pid_file(), &config_file().to_string_lossy())
}

fn config_file() -> PathBuf {
    dev().join("smr.toml")
}

fn pid_file() -> PathBuf {
    dev().join("smr.pid")
}

fn log_file() -> PathBuf {
    dev().join("smr.log")
}
