//! `agent`: the node of this machine as a member of a cluster.

use std::time::Duration;

use smr_pki::ContextStore;

use super::{DONE, Outcome, block, context, events, local::Local, node, relaunch, upgrade};
use crate::{
    args::{
        AgentCommand, AgentDrainArgs, AgentEventsArgs, AgentExportArgs, AgentUpgradeArgs,
        LocalNodeArgs,
    },
    error::Error,
    running,
    settings::Settings,
};

/// What the original printed when an order was taken.
const TAKEN: &str = "controls batch applied";

/// How often to look whether the node works.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a node that was restarted may take to work again.
const READY: Duration = Duration::from_mins(2);

/// `agent`.
pub(crate) fn run(settings: &Settings, command: AgentCommand) -> Outcome {
    match command {
        AgentCommand::Export(args) => export(settings, &args),
        AgentCommand::Import(args) => {
            // Where the node looks for the credentials to join with.
            let config = node::load(settings, &args.config)?;
            context::import(&settings.with_contexts(&config.contexts.dir), &args.import)
        }
        AgentCommand::Peer(args) => peer(settings, &args),
        AgentCommand::Events(args) => block(follow(settings, args)),
        AgentCommand::Drain(args) => block(drain(settings, &args)),
        AgentCommand::Restart(args) => restart(settings, &args),
        AgentCommand::Upgrade(args) => upgrade_to(settings, &args),
    }
}

fn export(settings: &Settings, args: &AgentExportArgs) -> Outcome {
    let local = Local::find(settings, &args.local)?;
    let contexts = ContextStore::open(&local.config.contexts.dir);
    if contexts.contains(&local.name) {
        let settings = settings.with_contexts(&local.config.contexts.dir);
        return context::print_exported(&settings, &local.name, args.api.as_deref());
    }
    if args.local.node.is_some() {
        return Err(contexts.get(&local.name).err().map_or(Error::Aborted, Error::from));
    }
    context::print_exported(settings, settings.context()?.name(), args.api.as_deref())
}

/// The address of the active context.
fn peer(settings: &Settings, args: &LocalNodeArgs) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    let context = settings.with_contexts(&config.contexts.dir).context()?;
    settings.printer.line(context.api_url())?;
    Ok(DONE)
}

/// Events as this node tells them; what is a state of a node is that of this one.
async fn follow(settings: &Settings, args: AgentEventsArgs) -> Outcome {
    let AgentEventsArgs { mut events, config, data_dir } = args;
    let local = LocalNodeArgs { node: events.node.clone(), config, data_dir };
    let found = Local::find(settings, &local)?;
    let mut settings = settings.with_contexts(&found.config.contexts.dir);
    if events::is_start(events.wait.as_deref()) && events.resource.is_none() {
        let timeout = events.timeout.map_or(Duration::MAX, |timeout| timeout.0);
        let started = started(&settings, &local);
        return tokio::time::timeout(timeout, started).await.unwrap_or_else(|_| {
            let what = "`cluster_started`".to_owned();
            Err(Error::WaitTimeout { what, seconds: timeout.as_secs(), missing: Vec::new() })
        });
    }
    if settings.context.is_none() && settings.contexts.contains(&found.name) {
        settings.context = Some(found.name.clone());
    }
    events.node = Some(found.name);
    events::run(&settings, events).await
}

/// Waits until this node works: before it has joined it has no context, and maybe another name.
async fn started(settings: &Settings, args: &LocalNodeArgs) -> Outcome {
    loop {
        let local = Local::find(settings, args)?;
        if let Some(client) = local.own_client()
            && client.health().await.is_ok_and(|health| health.ok)
        {
            return Ok(DONE);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn drain(settings: &Settings, args: &AgentDrainArgs) -> Outcome {
    let local = Local::find(settings, &args.local)?;
    let client = local.client(settings)?;
    let wait = args.wait.then_some(args.timeout.0);
    let (_, moved) = super::nodes::drain(settings, &client, &local.name, wait).await?;
    settings.printer.line(TAKEN)?;
    if let Some(moved) = moved {
        settings.printer.note(format_args!("node {} is drained{moved}", local.name));
    }
    Ok(DONE)
}

fn restart(settings: &Settings, args: &AgentDrainArgs) -> Outcome {
    let local = Local::find(settings, &args.local)?;
    let dir = local.config.data.dir.clone();
    let Some(process) = running::running(&dir)? else { return Err(Error::NotRunning { dir }) };
    let launched = relaunch::Launched::of(process.pid)?;
    let before = block(async { Ok(local.broken(settings).await) })?;
    let drained = block(local.drain(settings, args.timeout.0))?;
    let restarted = relaunch::restart(settings, &launched, &process, &dir, READY);
    let works = restarted.and_then(|()| block(local.wait(settings, &before, READY)));
    // Also a node that does not work must not stay without work for good.
    if drained {
        block(local.activate(settings, READY))?;
    }
    works?;
    settings.printer.line(TAKEN)?;
    Ok(DONE)
}

fn upgrade_to(settings: &Settings, args: &AgentUpgradeArgs) -> Outcome {
    if !args.file.is_file() {
        return Err(Error::usage(
            format!(
                "`{}` is not a file: this node is a program, not an image",
                args.file.display()
            ),
            "download the new `smr` and run `smr agent upgrade FILE`",
        ));
    }
    let local = Local::find(settings, &args.local)?;
    upgrade::upgrade(settings, &local, &args.file, args.timeout.0)?;
    settings.printer.line(TAKEN)?;
    Ok(DONE)
}
