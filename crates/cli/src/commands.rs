//! What commands do. They see settings and plain arguments, never the command line.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod backup;
pub(crate) mod cert;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod edit;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod list;
mod local;
pub(crate) mod logs;
pub(crate) mod manager;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod placement;
pub(crate) mod ps;
mod relaunch;
pub(crate) mod remove;
mod replica;
pub(crate) mod rollout;
pub(crate) mod template;
pub(crate) mod token;
pub(crate) mod upgrade;
pub(crate) mod user;
pub(crate) mod version;
mod waiting;

use std::{collections::BTreeMap, fmt::Write as _, future::Future, time::Duration};

use futures_util::future::Either;
use smr_model::{Kind, ObjectKey, ObjectRef};

use crate::{
    args::{ClientCommand, ContainersCommand},
    complete,
    error::{Error, exit},
    settings::Settings,
};

/// The exit code of a command that did something.
pub(crate) type Outcome = Result<u8, Error>;

/// Runs a command of the client.
pub(crate) fn client(settings: &Settings, command: ClientCommand) -> Outcome {
    match command {
        ClientCommand::Context(args) => context::run(settings, args),
        ClientCommand::Explain(args) if args.path.contains('/') => {
            block(placement::explain(settings, &args.path, args.output.output))
        }
        ClientCommand::Explain(args) => explain::explain(settings, &args.path),
        ClientCommand::Plan(args) => block(placement::plan(settings, args)),
        ClientCommand::Rollout(command) => block(rollout::run(settings, command)),
        ClientCommand::Cert(command) => block(cert::run(settings, command)),
        ClientCommand::Schema => explain::schema(settings),
        ClientCommand::Completion(args) => complete::script(settings, args.shell),
        ClientCommand::Apply(args) => block(apply::run(settings, args)),
        ClientCommand::Remove(args) => block(remove::run(settings, args)),
        ClientCommand::Diff(args) => block(apply::diff(settings, args)),
        ClientCommand::Template(args) => block(template::run(settings, args)),
        ClientCommand::Ps(args) if args.kind == Kind::Containers => {
            block(ps::replicas(settings, &args.view))
        }
        ClientCommand::Ps(args) => {
            block(list::run(settings, Some(args.kind), None, None, args.view.output.output))
        }
        ClientCommand::Containers(args) => match args.command {
            None => block(ps::replicas(settings, &args.view)),
            Some(ContainersCommand::Images(output)) => block(ps::images(settings, output.output)),
            Some(ContainersCommand::Restart(args)) => block(logs::restart(settings, &args.replica)),
        },
        ClientCommand::List(args) => {
            block(list::run(settings, args.kind, args.selector, args.prefix, args.output.output))
        }
        ClientCommand::Get(args) => block(inspect::get(settings, args)),
        ClientCommand::Inspect(args) => block(inspect::inspect(settings, args)),
        ClientCommand::Edit(args) => block(edit::run(settings, &args.resource.resource)),
        ClientCommand::Restart(args) => block(logs::restart(settings, &args.replica)),
        ClientCommand::Logs(args) => block(logs::logs(settings, args)),
        ClientCommand::Debug(args) => block(logs::debug(settings, args)),
        ClientCommand::Exec(args) => block(exec::run(settings, args)),
        ClientCommand::Events(args) => block(events::run(settings, args)),
        ClientCommand::Images(output) => block(ps::images(settings, output.output)),
        ClientCommand::Node(args) => block(match args.command {
            None => Either::Left(nodes::list(settings, args.output.output)),
            Some(command) => Either::Right(nodes::run(settings, command)),
        }),
        ClientCommand::Nodes(args) => block(nodes::list(settings, args.output.output)),
        ClientCommand::Cluster(command) => block(cluster::run(settings, command)),
        ClientCommand::Token(command) => block(token::run(settings, command)),
        ClientCommand::Health(output) => block(version::health(settings, output.output)),
        ClientCommand::Version(args) => block(version::run(settings, args)),
    }
}

/// Runs a future on a runtime of one thread. Threads that wait for input are left behind.
pub(crate) fn block<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Terminal { what: "the network", source })?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}

/// Nobody is left without a word for longer than this.
const QUIET: Duration = Duration::from_secs(1);

/// Awaits, and says what is going on if that takes longer than a moment.
pub(crate) async fn patiently<T>(
    settings: &Settings,
    what: &str,
    future: impl Future<Output = T>,
) -> T {
    let mut future = std::pin::pin!(future);
    match tokio::time::timeout(QUIET, &mut future).await {
        Ok(done) => done,
        Err(_) => {
            settings.printer.note(format_args!("{what} ..."));
            future.await
        }
    }
}

/// `a=b,c=d`.
pub(crate) fn pairs(map: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in map {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{key}={value}");
    }
    text
}

/// The key a resource argument means.
pub(crate) fn object_key(settings: &Settings, resource: &ObjectRef) -> Result<ObjectKey, Error> {
    resource.key(&settings.group).ok_or_else(|| {
        Error::usage(
            format!("`{}` names a kind, not an object", resource.kind),
            format!(
                "write `{}/GROUP/NAME`; `smrctl list {}` shows them",
                resource.kind, resource.kind
            ),
        )
    })
}

/// Group and generated name a replica argument means.
pub(crate) fn replica_name(
    settings: &Settings,
    resource: &ObjectRef,
) -> Result<(String, String), Error> {
    let key = object_key(settings, resource)?;
    if key.kind != Kind::Containers {
        return Err(Error::usage(
            format!("`{key}` has no containers"),
            "name a replica as `smrctl ps` shows it: `containers/GROUP/NAME-INDEX`",
        ));
    }
    // The seventh element of a canonical key is the replica.
    Ok((key.group, resource.field.clone().unwrap_or(key.name)))
}

/// Success.
pub(crate) const DONE: u8 = exit::DONE;
