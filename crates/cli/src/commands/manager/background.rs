//! Starting a node that goes on when its starter has gone.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use smr_config::Override;
use tokio::{net::UnixDatagram, process::Command};

use crate::{args::ManagerStartArgs, error::Error, settings::Settings};

/// The running file, even if it was replaced or removed meanwhile.
fn own_program() -> PathBuf {
    let named = std::env::current_exe().ok().filter(|path| path.is_file());
    named.unwrap_or_else(|| "/proc/self/exe".into())
}

/// Runs `smr start` in a session of its own and waits until it says that it is ready.
pub(super) async fn start(
    settings: &Settings,
    args: &ManagerStartArgs,
    overrides: &[Override],
    log: &Path,
) -> Result<(), Error> {
    let mut command = Command::new(own_program());
    command.arg0("smr").arg("start").arg("--detached");
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    for Override { key, value, .. } in overrides {
        command.arg("--option").arg(format!("{key}={value}"));
    }
    command.env("HOME", &settings.home);
    launch(command, log, args.timeout.0).await
}

/// Runs a node in the background, with output to its log, and waits until it says that it is ready.
pub(crate) async fn launch(
    mut command: Command,
    log: &Path,
    timeout: Duration,
) -> Result<(), Error> {
    let dir = log.parent().unwrap_or(Path::new("/"));
    let failed = |source| Error::Write { path: log.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let out = OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(failed)?;
    let err = out.try_clone().map_err(failed)?;
    // Not in the data directory, which a new node takes only if nothing but its own is in it.
    let private = Private::new()?;
    let socket_path = private.0.join("ready");
    let socket = UnixDatagram::bind(&socket_path)
        .map_err(|source| Error::Write { path: socket_path.clone(), source })?;
    command.env("NOTIFY_SOCKET", &socket_path);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    let mut child = command.spawn().map_err(|source| Error::Start { source: source.into() })?;

    let ready = async {
        let mut message = [0; 4096];
        loop {
            let length = socket
                .recv(&mut message)
                .await
                .map_err(|source| Error::Start { source: source.into() })?;
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(());
            }
        }
    };
    let result = tokio::select! {
        ready = ready => ready,
        status = child.wait() => Err(Error::StartedAndEnded {
            status: status.map_or_else(|err| err.to_string(), |status| status.to_string()),
            log: log.to_owned(),
        }),
        () = tokio::time::sleep(timeout) => Err(Error::WaitTimeout {
            what: "ready".to_owned(),
            seconds: timeout.as_secs(),
            missing: vec![format!("the node still starts; its log is {}", log.display())],
        }),
    };
    drop(private);
    result
}

/// A new directory that nobody else can look into; gone with this.
struct Private(PathBuf);

impl Drop for Private {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Private {
    fn new() -> Result<Self, Error> {
        let base = std::env::temp_dir();
        let mut number = 0;
        loop {
            let path = base.join(format!("smr-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(source) => return Err(Error::Write { path, source }),
                Ok(()) => return Ok(Self(path)),
            }
        }
    }
}
