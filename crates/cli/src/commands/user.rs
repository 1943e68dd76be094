//! `user`: certificates for people and programs.

use std::{net::SocketAddr, time::Duration};

use jiff::Timestamp;
use smr_config::Config;
use smr_pki::{Authority, Context, Role, SecretString, Subject, local_api};
use smr_wire::UserCreate;

use super::{DONE, Outcome, block, node};
use crate::{
    args::{UserCommand, UserCreateArgs, UserRole},
    error::Error,
    settings::Settings,
};

/// Where the authority is, below the data directory.
const PKI: &str = "pki";

/// `user`.
pub(crate) fn run(settings: &Settings, command: UserCommand) -> Outcome {
    match command {
        UserCommand::Create(args) => create(settings, &args),
    }
}

fn create(settings: &Settings, args: &UserCreateArgs) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    let role = match args.role {
        UserRole::Viewer => Role::Viewer,
        UserRole::Operator => Role::Operator,
        UserRole::Admin => Role::Admin,
    };
    let subject = Subject::user(&args.name, role)?;
    if args.save && !args.yes && settings.contexts.contains(&args.name) {
        return Err(Error::ContextExists { name: args.name.clone() });
    }
    let (api, is_local) = match &args.api {
        Some(api) => (api.clone(), false),
        None => match address(&config, args.save)? {
            // The node may listen elsewhere than its file says; its own context knows.
            (api, true) => (node::local_api(&config).unwrap_or(api), true),
            known => known,
        },
    };
    let day = Duration::from_hours(24);
    let lifetime = args.days.map_or(config.certificates.user, |days| day * days);
    let pki = config.data.dir.join(PKI);
    // Before its first start a node has the authority on disk; later the cluster has it.
    let bundle = if pki.join("ca.key").exists() {
        let authority = Authority::load(&pki, Timestamp::now())?;
        let authority =
            authority.ok_or_else(|| Error::NoAuthority { dir: config.data.dir.clone() })?;
        authority.issue(&subject, lifetime, Timestamp::now())?.bundle()
    } else if pki.exists() {
        let request = UserCreate {
            name: args.name.clone(),
            role: role.to_string(),
            ttl_seconds: Some(lifetime.as_secs()),
        };
        let client = node::local_client(settings, &config)?;
        let made = block(async { Ok(client.create_user(&request).await?) })?;
        SecretString::from(made.bundle.expose().to_owned())
    } else {
        return Err(Error::NoAuthority { dir: config.data.dir });
    };
    let context = Context::new(&args.name, &api, bundle)?;
    let printer = settings.printer;
    if args.save {
        settings.contexts.save(&context)?;
        printer.line(format_args!("context saved: {}", context.name()))?;
    } else {
        printer.line(context.export()?)?;
    }
    let until = context.credentials()?.validity().not_after;
    printer.note(format_args!(
        "note: `{}` is {role} at {} until {until:.0}",
        args.name,
        context.api_url()
    ));
    if is_local && !args.save {
        printer.note("note: that address is this machine; for another one give `--api HOST:PORT`");
    }
    Ok(DONE)
}

/// The address in the context, and whether it is good on this machine only.
fn address(config: &Config, here: bool) -> Result<(String, bool), Error> {
    let unknown = || {
        let hint = "name it with `--api HOST:PORT`";
        Error::usage("the configuration does not say where the node answers", hint)
    };
    let listen: Vec<SocketAddr> =
        config.api.listen.iter().copied().filter(|address| address.port() != 0).collect();
    let port = listen.first().ok_or_else(unknown)?.port();
    let local = local_api(&listen).ok_or_else(unknown)?;
    if here || listen.iter().all(|address| address.ip().is_loopback()) {
        return Ok((local, true));
    }
    if let Some(domain) = config.node.domains.iter().find(|domain| !domain.starts_with('*')) {
        return Ok((format!("{domain}:{port}"), false));
    }
    let named = config.node.ips.first().map(|ip| SocketAddr::new(*ip, port));
    let known = listen
        .iter()
        .copied()
        .find(|address| !address.ip().is_unspecified() && !address.ip().is_loopback());
    match named.or(known) {
        Some(address) => Ok((address.to_string(), false)),
        None => Ok((local, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(text: &str, here: bool) -> String {
        let host = smr_config::Host { hostname: "n".to_owned(), home: "/root".into() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("smr.toml");
        std::fs::write(&path, text).unwrap();
        let (api, is_local) = address(&Config::load(&path, &host).unwrap(), here).unwrap();
        format!("{api} {is_local}")
    }

    #[test]
    fn the_address_is_one_others_reach_if_the_configuration_has_one() {
        assert_eq!(api("", false), "localhost:1443 true");
        let open = "[api]\nlisten = [\"[::]:9\"]\n";
        assert_eq!(api(open, false), "localhost:9 true");
        let named = format!("[node]\ndomains = [\"*.x.org\", \"n.x.org\"]\n{open}");
        assert_eq!(api(&named, false), "n.x.org:9 false");
        assert_eq!(api(&named, true), "localhost:9 true");
        let v6 = format!("[node]\nips = [\"2001:db8::1\"]\n{open}");
        assert_eq!(api(&v6, false), "[2001:db8::1]:9 false");
        assert_eq!(api("[api]\nlisten = [\"192.0.2.1:8\"]\n", false), "192.0.2.1:8 false");
    }
}
