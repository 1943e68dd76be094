//! `start`, `stop`, `status`: the node of this machine.

mod join_token;

pub(crate) use join_token::VARIABLE as TOKEN_VARIABLE;

use std::path::PathBuf;

use serde::Serialize;
use smr_client::{Client, Options};
use smr_config::{Config, Override};
use smr_model::NodeRole;
use smr_pki::ContextStore;

use super::{DONE, Outcome, block, version};
use crate::{
    args::{ConfigArg, Output, OverrideArgs, StartArgs, StatusArgs, StopArgs},
    error::{Error, exit},
    hooks::Hooks,
    running::{self, Held},
    settings::Settings,
};

/// Runs a node until it is told to stop.
pub(crate) fn start(settings: &Settings, args: &StartArgs, hooks: Hooks) -> Outcome {
    if args.detached {
        // Fails only for a process that leads a group, which then has a session of its own.
        let _ = rustix::process::setsid();
    }
    let mut overrides = overrides(&args.overrides)?;
    join_token::announce(&mut overrides, args);
    let config = load(settings, &args.config)?.override_with(&overrides)?;
    let config = join_token::take(config, args)?;
    let _held = Held::hold(&config.data.dir)?;
    (hooks.start)(config).map_err(|source| Error::Start { source })?;
    Ok(DONE)
}

/// The configuration: a named file must exist, the usual one need not.
pub(crate) fn load(settings: &Settings, arg: &ConfigArg) -> Result<Config, Error> {
    let host = settings.host();
    let Some(path) = &arg.config else {
        return match Config::load(smr_config::DEFAULT_PATH.as_ref(), &host) {
            Err(err) if err.is_missing_file() => Ok(Config::defaults(&host)),
            loaded => Ok(loaded?),
        };
    };
    Ok(Config::load(path, &host)?)
}

/// Flags as keys of the configuration.
pub(crate) fn overrides(args: &OverrideArgs) -> Result<Vec<Override>, Error> {
    let single = |key: &str, flag: &str, value: &Option<String>| {
        let value = value.clone()?;
        Some(Override { key: key.to_owned(), value, origin: flag.to_owned() })
    };
    let list = |key: &str, flag: &str, values: &[String]| {
        (!values.is_empty()).then(|| Override {
            key: key.to_owned(),
            value: values.join(","),
            origin: flag.to_owned(),
        })
    };
    // Standard input is read when everything else is known to be right.
    let token_file = args.token_file.as_ref().filter(|path| **path != *join_token::STDIN);
    let token_file = match token_file.map(std::path::absolute) {
        None => None,
        Some(Ok(path)) => Some(path.display().to_string()),
        Some(Err(source)) => {
            let path = args.token_file.clone().unwrap_or_default();
            return Err(Error::Read { path, source });
        }
    };
    let role = args.role.map(|role| NodeRole::from(role).as_str().to_owned());
    let mut overrides: Vec<Override> = [
        single("node.name", "--name", &args.name),
        list("node.domains", "--domain", &args.domains),
        list("node.ips", "--ip", &args.ips),
        list("api.listen", "--listen", &args.listen),
        list("cluster.join", "--join", &args.join),
        single("cluster.token_file", "--token-file", &token_file),
        single("cluster.role", "--role", &role),
        list("cluster.listen", "--cluster-listen", &args.cluster_listen),
        single("cluster.address", "--cluster-address", &args.cluster_address),
        single("data.dir", "--data-dir", &args.data_dir),
        single("docker.host", "--docker", &args.docker),
        single("bootstrap.manifests", "--manifests", &args.manifests),
    ]
    .into_iter()
    .flatten()
    .collect();
    for option in &args.option {
        overrides.push(option_override(option)?);
    }
    Ok(overrides)
}

/// `KEY=VALUE` of `--option`.
pub(crate) fn option_override(option: &str) -> Result<Override, Error> {
    let Some((key, value)) = option.split_once('=') else {
        return Err(Error::usage(
            format!("`{option}` is not an assignment"),
            "write `--option KEY=VALUE`; `smr config show --defaults` shows all keys",
        ));
    };
    Ok(Override {
        key: key.trim().to_owned(),
        value: value.trim().to_owned(),
        origin: "--option".to_owned(),
    })
}

/// The configuration with another data directory, if one is named.
pub(crate) fn load_with_data(
    settings: &Settings,
    config: &ConfigArg,
    data_dir: Option<&str>,
) -> Result<Config, Error> {
    let overrides = overrides(&OverrideArgs {
        data_dir: data_dir.map(str::to_owned),
        ..OverrideArgs::default()
    })?;
    Ok(load(settings, config)?.override_with(&overrides)?)
}

/// Stops the node and waits for its end.
pub(crate) fn stop(settings: &Settings, args: &StopArgs) -> Outcome {
    let dir = load_with_data(settings, &args.config, args.data_dir.as_deref())?.data.dir;
    let Some(node) = running::running(&dir)? else { return Err(Error::NotRunning { dir }) };
    settings.printer.note(format_args!("stopping process {}", node.pid));
    if !node.stop(args.timeout.0)? {
        return Err(Error::WaitTimeout {
            what: "stopped".to_owned(),
            seconds: args.timeout.0.as_secs(),
            missing: vec![format!("process {} still runs", node.pid)],
        });
    }
    settings.printer.line("node stopped")?;
    Ok(DONE)
}

/// The address in the context that the node of this machine wrote.
pub(crate) fn local_api(config: &Config) -> Option<String> {
    let context = ContextStore::open(&config.contexts.dir).get(&config.node.name).ok()?;
    Some(context.api_url().to_owned())
}

/// A client of the node of this machine: by the context it wrote, else by the one asked for. The
/// active context may be of another cluster.
pub(crate) fn local_client(settings: &Settings, config: &Config) -> Result<Client, Error> {
    if settings.context.is_none() {
        let contexts = ContextStore::open(&config.contexts.dir);
        if let Ok(context) = contexts.get(&config.node.name) {
            return Ok(Client::new(&context, Options::default())?);
        }
    }
    settings.client()
}

#[derive(Serialize)]
struct Status {
    running: bool,
    pid: Option<i32>,
    data: PathBuf,
    health: Option<smr_wire::Health>,
}

/// The process, if it may be seen. If the directory belongs to another user, whether the node
/// answers says enough; if it does not, nothing is known.
fn seen<T>(running: Result<Option<T>, Error>, answers: bool) -> Result<Option<T>, Error> {
    match running {
        Err(Error::Read { path, source })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            if answers {
                Ok(None)
            } else {
                Err(Error::StatusDenied { path })
            }
        }
        running => running,
    }
}

/// Whether the node of this machine runs and works.
pub(crate) fn status(settings: &Settings, args: &StatusArgs) -> Outcome {
    let config = load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    let data = config.data.dir.clone();
    let running = running::running(&data);
    let health = block(async { Ok(local_client(settings, &config)?.health().await?) });
    let node = seen(running, health.is_ok())?;
    let printer = settings.printer;
    let output = args.output.output;
    if let Output::Json | Output::Yaml = output {
        let status = Status {
            running: node.is_some(),
            pid: node.as_ref().map(|node| node.pid),
            data,
            health: health.as_ref().ok().cloned(),
        };
        match output {
            Output::Yaml => printer.yaml(&status)?,
            _ => printer.json(&status)?,
        }
    } else {
        match (&node, &health) {
            (Some(node), _) => {
                printer.line(format_args!("running (process {}, {})", node.pid, data.display()))?;
            }
            (None, Ok(_)) => printer.line("running")?,
            (None, Err(_)) => printer.line(format_args!("not running ({})", data.display()))?,
        }
        if let Ok(health) = &health {
            version::print(settings, health, output)?;
        }
    }
    match (node, health) {
        (_, Ok(health)) if health.ok => Ok(DONE),
        (_, Ok(_)) => Err(Error::Unhealthy),
        (Some(_), Err(err)) => Err(err),
        (None, Err(_)) => Ok(exit::UNREACHABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_seen_is_not_said_to_stand_still() {
        let denied = || {
            let source = std::io::ErrorKind::PermissionDenied.into();
            Err::<Option<()>, _>(Error::Read { path: "data/smr.lock".into(), source })
        };
        assert_eq!(seen(denied(), true).unwrap(), None);
        assert_eq!(
            seen(denied(), false).unwrap_err().report(),
            "error: whether a node runs cannot be told: permission denied to read \
             `data/smr.lock`\nhint: ask as the user the node runs as, or as root\n"
        );
        assert_eq!(seen(Ok(Some(())), false).unwrap(), Some(()));
    }
}
