//! `smrmgr`: the node of this machine in the way of the original's scripts.

mod background;

use std::{net::IpAddr, time::Duration};

use smr_config::Override;
use tokio::time::Instant;

use super::{DONE, Outcome, block, context, node};
use crate::{
    args::{ConfigArg, ExportArgs, ManagerCommand, ManagerStartArgs, OverrideArgs, StopArgs},
    error::Error,
    running,
    settings::{Seconds, Settings},
};

const PAUSE: Duration = Duration::from_millis(200);

/// Runs a command of `smrmgr`.
pub(crate) fn run(settings: &Settings, command: ManagerCommand) -> Outcome {
    let replaced = |command, instead| Err(Error::Replaced { command, instead });
    match command {
        ManagerCommand::Start(args) => start(settings, &args),
        ManagerCommand::Stop(args) => node::stop(settings, &args),
        ManagerCommand::Restart(args) => restart(settings, &args),
        ManagerCommand::Wait(args) => block(wait(settings, args.timeout)),
        ManagerCommand::Export(args) => {
            let args = ExportArgs { names: Vec::new(), api: args.api };
            context::run(
                settings,
                crate::args::ContextArgs {
                    command: Some(crate::args::ContextCommand::Export(args)),
                },
            )
        }
        ManagerCommand::Import(args) => context::import(settings, &args),
        ManagerCommand::Install(_) => replaced(
            "install",
            "`smr`, `smrctl` and `smrmgr` are one file; link it to the three names",
        ),
        ManagerCommand::Upgrade(_) => replaced(
            "upgrade",
            "replace the file and run `smrmgr restart`; containers go on running",
        ),
        ManagerCommand::ServiceInstall(_) => {
            replaced("service-install", "install the unit `smr.service`, or use the package")
        }
        ManagerCommand::ServiceStart(_) => replaced("service-start", "run `systemctl start smr`"),
        ManagerCommand::ServiceStop(_) => replaced("service-stop", "run `systemctl stop smr`"),
    }
}

fn start(settings: &Settings, args: &ManagerStartArgs) -> Outcome {
    if args.join.is_some() {
        return Err(Error::usage(
            "this version runs clusters of one node; it cannot join another",
            "start it without `-j`",
        ));
    }
    let overrides = overrides(args)?;
    let config = ConfigArg { config: args.config.clone() };
    let loaded = node::load(settings, &config)?.override_with(&overrides)?;
    if running::running(&loaded.data.dir)?.is_some() {
        return Err(Error::AlreadyRuns { dir: loaded.data.dir });
    }
    let log = loaded.data.dir.join("smr.log");
    block(background::start(settings, args, &overrides, &log))?;
    settings.printer.line("Node started successfully!")?;
    settings.printer.line(format_args!("name: {}", loaded.node.name))?;
    for address in &loaded.api.listen {
        settings.printer.line(format_args!("control API: https://{address}"))?;
    }
    settings.printer.line(format_args!("log: {}", log.display()))?;
    Ok(DONE)
}

fn restart(settings: &Settings, args: &ManagerStartArgs) -> Outcome {
    let dir = node::load(settings, &ConfigArg { config: args.config.clone() })?
        .override_with(&overrides(args)?)?
        .data
        .dir;
    if running::running(&dir)?.is_some() {
        node::stop(
            settings,
            &StopArgs {
                config: ConfigArg { config: args.config.clone() },
                data_dir: Some(dir.display().to_string()),
                timeout: args.timeout,
            },
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

/// Old and newer flags as keys of the configuration.
fn overrides(args: &ManagerStartArgs) -> Result<Vec<Override>, Error> {
    let mut flags = OverrideArgs {
        name: args.name.clone(),
        domains: args.domain.iter().cloned().collect(),
        listen: args.endpoint.iter().map(|endpoint| listen(endpoint)).collect(),
        option: args.option.clone(),
        ..OverrideArgs::default()
    };
    // `-a` was the node's name in old scripts and is its address in newer ones.
    if let Some(address) = &args.address {
        match address.parse::<IpAddr>() {
            Ok(_) => flags.ips.push(address.clone()),
            Err(_) if flags.name.is_none() => flags.name = Some(address.clone()),
            Err(_) => {
                return Err(Error::usage(
                    format!("`{address}` is not an IP address"),
                    "the name is given by `-n` already",
                ));
            }
        }
    }
    if let Some(text) = &args.client_args {
        client_args(text, &mut flags)?;
    }
    node::overrides(&flags)
}

/// `-c "--port.control 127.0.0.1:1443 --port.overlay 127.0.0.1:9212"`.
fn client_args(text: &str, flags: &mut OverrideArgs) -> Result<(), Error> {
    let bad = |what: String| {
        Error::usage(what, "known is `--port.control IP:PORT`; everything else is in smr.toml")
    };
    let words = shell_words::split(text).map_err(|err| bad(format!("`{text}`: {err}")))?;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, words.next()),
        };
        let value = value.ok_or_else(|| bad(format!("`{flag}` needs a value")))?;
        match flag.as_str() {
            "--port.control" | "--listen" => flags.listen = vec![listen(&value)],
            // One node has no overlay and no raft peers.
            "--port.overlay" | "--overlayport" | "--port.etcd" => {}
            _ => return Err(bad(format!("unknown flag `{flag}` in `{text}`"))),
        }
    }
    Ok(())
}

/// Old scripts say `localhost:1443`; the configuration wants addresses.
fn listen(address: &str) -> String {
    match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Smrmgr;

    fn keys(line: &str) -> Result<Vec<(String, String)>, String> {
        let words = shell_words::split(line).unwrap();
        let parsed = Smrmgr::try_parse_from(words).map_err(|err| err.to_string())?;
        match parsed.command {
            ManagerCommand::Start(args) => overrides(&args)
                .map(|overrides| overrides.into_iter().map(|o| (o.key, o.value)).collect())
                .map_err(|err| err.to_string()),
            _ => unreachable!(),
        }
    }

    #[test]
    fn old_and_newer_flags_mean_the_same_keys() {
        let key = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            keys("smrmgr start -a smr-agent-1 -d smr.example.com"),
            Ok(vec![key("node.name", "smr-agent-1"), key("node.domains", "smr.example.com")])
        );
        assert_eq!(
            keys("smrmgr start -a smr-agent-1 -e localhost:1443"),
            Ok(vec![key("node.name", "smr-agent-1"), key("api.listen", "127.0.0.1:1443")])
        );
        assert_eq!(
            keys(
                r#"smrmgr start -c "--port.control 127.0.0.1:1443 --port.overlay 127.0.0.1:9212""#
            ),
            Ok(vec![key("api.listen", "127.0.0.1:1443")])
        );
        assert_eq!(
            keys("smrmgr start -n n1 -a 10.0.0.1"),
            Ok(vec![key("node.name", "n1"), key("node.ips", "10.0.0.1")])
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(keys("smrmgr start -n a -a b"), Err("`b` is not an IP address".into()));
        assert_eq!(
            keys(r#"smrmgr start -c "--bogus 1""#),
            Err("unknown flag `--bogus` in `--bogus 1`".into())
        );
        assert_eq!(
            keys(r#"smrmgr start -c "--port.control""#),
            Err("`--port.control` needs a value".into())
        );
    }
}
