//! `smrmgr`: the node of this machine in the way of the original's scripts.

pub(crate) mod background;
mod flags;

use std::{fs, path::Path, time::Duration};

use smr_config::Config;
use smr_pki::ContextStore;
use tokio::time::Instant;

use super::{DONE, Outcome, agent, block, context, local::Local, node};
use crate::{
    args::{
        AgentCommand, ConfigArg, ContextArgs, ContextCommand, ExportArgs, ManagerCommand,
        ManagerStartArgs, ManagerStopArgs, StopArgs,
    },
    error::Error,
    running,
    settings::{Seconds, Settings},
};

const PAUSE: Duration = Duration::from_millis(200);

/// In the data directory of a node that was drained to be stopped: it works again when it is started.
const DRAINED: &str = "drained";

/// How long a node that was started may need until it can be told to work again.
const ACTIVATE: Duration = Duration::from_secs(30);

/// Runs a command of `smrmgr`.
pub(crate) fn run(settings: &Settings, command: ManagerCommand) -> Outcome {
    let replaced = |command, instead| Err(Error::Replaced { command, instead });
    match command {
        ManagerCommand::Start(args) => start(settings, &args),
        ManagerCommand::Stop(args) => stop(settings, &args),
        ManagerCommand::Restart(args) => restart(settings, &args),
        ManagerCommand::Wait(args) => block(wait(settings, args.timeout)),
        ManagerCommand::Export(args) => {
            let export = ContextCommand::Export(ExportArgs { names: Vec::new(), api: args.api });
            context::run(settings, ContextArgs { command: Some(export) })
        }
        ManagerCommand::Import(args) => agent::run(settings, AgentCommand::Import(args)),
        ManagerCommand::Install(_) => replaced(
            "install",
            "`smr`, `smrctl` and `smrmgr` are one file; link it to the three names",
        ),
        ManagerCommand::Upgrade(_) => replaced(
            "upgrade",
            "download the new file and run `smr upgrade FILE`; containers go on running",
        ),
        ManagerCommand::ServiceInstall(_) => {
            replaced("service-install", "install the unit `smr.service`, or use the package")
        }
        ManagerCommand::ServiceStart(_) => replaced("service-start", "run `systemctl start smr`"),
        ManagerCommand::ServiceStop(_) => replaced("service-stop", "run `systemctl stop smr`"),
    }
}

fn start(settings: &Settings, args: &ManagerStartArgs) -> Outcome {
    let config = ConfigArg { config: args.config.clone() };
    let base = node::load(settings, &config)?;
    let overrides = flags::overrides(args, &base, &settings.host())?;
    let loaded = base.override_with(&overrides)?;
    if running::running(&loaded.data.dir)?.is_some() {
        return Err(Error::AlreadyRuns { dir: loaded.data.dir });
    }
    if args.join.is_some() {
        check_join(settings, &loaded)?;
    }
    let log = loaded.data.dir.join("smr.log");
    block(background::start(settings, args, &overrides, &log))?;
    let listen = loaded.api.listen.clone();
    let dir = loaded.data.dir.clone();
    let local = Local::of(loaded);
    settings.printer.line("Node started successfully!")?;
    settings.printer.line(format_args!("name: {}", local.name))?;
    for address in listen {
        settings.printer.line(format_args!("control API: https://{address}"))?;
    }
    settings.printer.line(format_args!("log: {}", log.display()))?;
    work_again(settings, &local, &dir)?;
    Ok(DONE)
}

/// Tells early what the node would only write into its log.
fn check_join(settings: &Settings, config: &Config) -> Result<(), Error> {
    if config.data.dir.join("store/format").exists() {
        settings.printer.note(format_args!(
            "note: the node in {} has been started before and stays in its cluster; to join \
             another one it needs an empty directory",
            config.data.dir.display()
        ));
        return Ok(());
    }
    let has_token =
        config.cluster.token_file.is_some() || std::env::var_os(node::TOKEN_VARIABLE).is_some();
    match has_token || ContextStore::open(&config.contexts.dir).current().is_ok() {
        true => Ok(()),
        false => Err(Error::NoWayIn),
    }
}

/// Lets a node that was drained to be stopped work again.
fn work_again(settings: &Settings, local: &Local, dir: &Path) -> Result<(), Error> {
    let mark = dir.join(DRAINED);
    if !mark.exists() {
        return Ok(());
    }
    block(local.activate(settings, ACTIVATE))?;
    fs::remove_file(&mark).map_err(|source| Error::Write { path: mark, source })
}

fn stop(settings: &Settings, args: &ManagerStopArgs) -> Outcome {
    let config = &args.stop.config;
    let config = node::load_with_data(settings, config, args.stop.data_dir.as_deref())?;
    let dir = config.data.dir.clone();
    if !args.now && running::running(&dir)?.is_some() {
        let drained = block(Local::of(config).drain(settings, args.drain_timeout.0));
        if drained.map_err(|err| Error::NotDrained { source: Box::new(err) })? {
            let mark = dir.join(DRAINED);
            fs::write(&mark, "").map_err(|source| Error::Write { path: mark, source })?;
        }
    }
    node::stop(settings, &args.stop)
}

fn restart(settings: &Settings, args: &ManagerStartArgs) -> Outcome {
    let config = ConfigArg { config: args.config.clone() };
    let base = node::load(settings, &config)?;
    let overrides = flags::overrides(args, &base, &settings.host())?;
    let dir = base.override_with(&overrides)?.data.dir;
    if running::running(&dir)?.is_some() {
        node::stop(
            settings,
            &StopArgs { config, data_dir: Some(dir.display().to_string()), timeout: args.timeout },
        )?;
    }
    start(settings, args)
}

/// Waits until the node of the active context answers and works.
async fn wait(settings: &Settings, timeout: Seconds) -> Outcome {
    let deadline = Instant::now() + timeout.0;
    loop {
        let asked = async { Ok::<_, Error>(settings.client()?.health().await?) }.await;
        if matches!(&asked, Ok(health) if health.ok) {
            return Ok(DONE);
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(match asked {
                Ok(_) => Error::Unhealthy,
                Err(err) => err,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
