//! A real image registry on the loopback of a [`Lab`].

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::{Lab, docker::encode, process, ready::tail, wait};

/// Where it listens. Engines speak plain HTTP with a registry of this name.
pub const ADDRESS: &str = "localhost:5000";

/// What an image of the docker client is in a registry.
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Programs it needs beside those of the lab.
const PROGRAMS: &[&str] = &["docker-registry", "htpasswd"];

/// How long it may take to answer; it takes a tenth of a second on a quiet machine.
const START: Duration = Duration::from_secs(30);

/// A running registry. What was pushed outlives [`stop`](Self::stop); dropping it ends the process.
pub struct Registry<'lab> {
    lab: &'lab Lab,
    dir: PathBuf,
    private: bool,
    child: Option<Child>,
}

impl<'lab> Registry<'lab> {
    /// A registry for a test, open to everybody or, with `user` and password, to that user only. `None`, with
    /// the reason on standard error, on a machine that lacks the programs; with `SMR_LAB=required` that
    /// is a failure.
    ///
    /// # Panics
    /// When it cannot be started although the machine has what it needs.
    pub fn require(lab: &'lab Lab, user: Option<(&str, &str)>) -> Option<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        let found =
            |program: &str| path.split(':').any(|dir| Path::new(dir).join(program).exists());
        if let Some(missing) = PROGRAMS.iter().find(|program| !found(program)) {
            let reason = format!("a registry needs `{missing}`; see CONTRIBUTING.md");
            assert!(std::env::var_os("SMR_LAB").is_none_or(|v| v != "required"), "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        }
        Some(Self::start(lab, user).unwrap_or_else(|error| panic!("no registry: {error:#}")))
    }

    fn start(lab: &'lab Lab, user: Option<(&str, &str)>) -> Result<Self> {
        let dir = lab.dir().join("registry");
        fs::create_dir_all(dir.join("storage"))?;
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": false}},
            "storage": {"filesystem": {"rootdirectory": dir.join("storage")}},
            "http": {"addr": "127.0.0.1:5000"},
        });
        if let Some((name, password)) = user {
            let mut hash = Command::new("htpasswd");
            let line = with_input(hash.args(["-niBC", "5", name]), password)?;
            fs::write(dir.join("htpasswd"), line)?;
            config["auth"] = json!({"htpasswd": {"realm": "lab", "path": dir.join("htpasswd")}});
        }
        // JSON is YAML.
        fs::write(dir.join("config.yml"), config.to_string())?;
        let mut registry = Self { lab, dir, private: user.is_some(), child: None };
        registry.resume()?;
        if let Some((name, password)) = user {
            let login = ["login", "--username", name, "--password-stdin", ADDRESS];
            with_input(registry.docker_cli().args(login), password)?;
        }
        Ok(registry)
    }

    /// Starts it again with what it had.
    pub fn resume(&mut self) -> Result<()> {
        let log = self.log_path();
        let out = fs::File::options().create(true).append(true).open(&log)?;
        let mut child = self
            .lab
            .command("docker-registry")
            .arg("serve")
            .arg(self.dir.join("config.yml"))
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("cannot run docker-registry")?;
        let expected = if self.private { "401" } else { "200" };
        let url = format!("http://{ADDRESS}/v2/");
        let answered = wait("the registry to answer", START, || match child.try_wait() {
            Ok(None) => {
                let status = self.lab.curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]);
                match status {
                    Ok(status) if status == expected => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
            ended => Err(format!("it ended: {ended:?}")),
        });
        self.child = Some(child);
        answered.with_context(|| tail(&log))
    }

    /// Ends it: from now on connections are refused.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Makes it take connections and not answer, until [`thaw`](Self::thaw).
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it answer again.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Everything it has logged; one line for each request, among others.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Makes an image with a layer of its own, in which `version` is in the file `/version`, pushes it as
    /// `name` (`pull/app:1`) and removes it from the engine. Returns the full reference. For a moment the
    /// engine has it: do this before anything wants the image.
    pub fn push(&self, name: &str, version: &str) -> Result<String> {
        let reference = format!("{ADDRESS}/{name}");
        let docker = self.lab.docker();
        let maker = docker.run(
            "registry-maker",
            "busybox:latest",
            &["sh", "-c", &format!("echo {version} >/version")],
        )?;
        docker.call("POST", &format!("/containers/{maker}/wait"), None)?;
        let (repository, tag) = reference.rsplit_once(':').context("a name without a tag")?;
        let path =
            format!("/commit?container={maker}&repo={}&tag={}", encode(repository), encode(tag));
        docker.call("POST", &path, Some(&json!({})))?;
        docker.remove(&maker)?;
        with_input(self.docker_cli().args(["push", "--quiet", &reference]), "")?;
        docker.call("DELETE", &format!("/images/{reference}"), None)?;
        Ok(reference)
    }

    /// Gives what is `name` (`pull/app:1`) another tag in the registry, which the other thing that had it loses;
    /// the engine does not notice. Returns the digest. For open registries.
    pub fn tag(&self, name: &str, tag: &str) -> Result<String> {
        let (repository, old) = name.rsplit_once(':').context("a name without a tag")?;
        let url = |tag: &str| format!("http://{ADDRESS}/v2/{repository}/manifests/{tag}");
        let manifest = self.dir.join("manifest.json");
        let file = manifest.to_string_lossy();
        self.lab.curl(&["-f", "-H", &format!("Accept: {MANIFEST}"), "-o", &file, &url(old)])?;
        let (kind, body) = (format!("Content-Type: {MANIFEST}"), format!("@{file}"));
        let put = ["-fi", "-X", "PUT", "-H", &kind, "--data-binary", &body, &url(tag)];
        let answer = self.lab.curl(&put)?;
        let digest = answer.lines().find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case("docker-content-digest").then(|| value.trim().to_owned())
        });
        digest.with_context(|| format!("no digest in the answer: {answer}"))
    }

    /// Pulls with the docker client, as the user the registry knows.
    pub fn pull(&self, reference: &str) -> Result<()> {
        with_input(self.docker_cli().args(["pull", "--quiet", reference]), "").map(drop)
    }

    /// The docker client with credentials for this registry, kept apart from everybody else's.
    fn docker_cli(&self) -> Command {
        let mut command = self.lab.docker_cli();
        command.arg("--config").arg(self.dir.join("client"));
        command
    }

    fn signal(&self, name: &str) -> Result<()> {
        let child = self.child.as_ref().context("the registry does not run")?;
        process::signal(child.id(), name)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("registry.log")
    }
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("registry `{}`: {error:#}", self.dir.display());
        }
    }
}

/// Runs a command with this standard input; returns its standard output.
fn with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", command.get_program().display()))?;
    // Closed at the end of the statement: the input ends there.
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let program = command.get_program().display();
        bail!("`{program}` ended with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
