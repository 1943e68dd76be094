//! Flags of `smrmgr start`, old and newer ones, as keys of the configuration.

use std::net::{IpAddr, SocketAddr};

use smr_config::{Config, Host, Override};
use smr_pki::ContextStore;

use crate::{
    args::{ManagerStartArgs, OverrideArgs},
    commands::node,
    error::Error,
};

/// Where others reach a node with a domain: its control API, and other nodes.
const CONTROL: &str = "0.0.0.0:1443";
const OVERLAY: &str = "0.0.0.0:9212";

/// What the flags mean beside what the configuration says already.
pub(super) fn overrides(
    args: &ManagerStartArgs,
    base: &Config,
    host: &Host,
) -> Result<Vec<Override>, Error> {
    let mut flags = OverrideArgs {
        name: args.name.clone(),
        domains: args.domain.iter().cloned().collect(),
        listen: args.endpoint.iter().map(|endpoint| listen(endpoint)).collect(),
        token_file: args.token_file.clone(),
        option: args.option.clone(),
        ..OverrideArgs::default()
    };
    // `-a` was the node's name in old scripts and is its address in newer ones; `-i` was the
    // address and is an image, which is not needed.
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
    flags.ips.extend(args.image.iter().filter(|image| image.parse::<IpAddr>().is_ok()).cloned());
    // An old `-c` is an address to connect to, which is found without it.
    let texts = args.client_args.iter().filter(|text| !text.starts_with("https://"));
    for text in texts.chain(&args.extra) {
        client_args(text, &mut flags)?;
    }
    // `-p` was the port for other nodes in old scripts and is a peer's address in newer ones.
    let mut peer = args.peer.as_deref();
    if let Some(port) = peer.and_then(|peer| peer.parse::<u16>().ok()) {
        flags.cluster_listen = vec![format!("0.0.0.0:{port}")];
        peer = None;
    }
    if let Some(target) = join(args, peer, base)? {
        flags.join.push(target);
    }
    public(args, base, host, &mut flags);
    name(base, &mut flags);
    node::overrides(&flags)
}

/// A node with a name or address for others, or that joins some, listens for them, unless it is said
/// where.
fn public(args: &ManagerStartArgs, base: &Config, host: &Host, flags: &mut OverrideArgs) {
    let is_public = args.domain.as_deref().is_some_and(|domain| !is_here(domain))
        || flags.ips.iter().any(|ip| !is_here(ip))
        || flags.join.iter().any(|url| !is_here(host_of(url)));
    if !is_public {
        return;
    }
    let defaults = Config::defaults(host);
    if flags.listen.is_empty() && base.api.listen == defaults.api.listen {
        flags.listen.push(CONTROL.to_owned());
    }
    if flags.cluster_listen.is_empty() && base.cluster.listen == defaults.cluster.listen {
        flags.cluster_listen.push(OVERLAY.to_owned());
    }
}

/// A node without a name is called by the first label of its domain.
fn name(base: &Config, flags: &mut OverrideArgs) {
    if flags.name.is_some() || base.node.is_named {
        return;
    }
    let domain = flags.domains.iter().find(|domain| !is_here(domain));
    let label = domain.and_then(|domain| domain.split('.').next());
    flags.name = label.filter(|label| !matches!(*label, "" | "*")).map(str::to_lowercase);
}

/// The cluster to join, if one is to be joined: `-j host:port`, `-j -p URL`, or `-j` and the active
/// context. With a token no address is needed.
fn join(
    args: &ManagerStartArgs,
    peer: Option<&str>,
    base: &Config,
) -> Result<Option<String>, Error> {
    let target = match args.join.as_deref() {
        // JOIN_CLUSTER in the environment is a word.
        None | Some("false") => return Ok(None),
        Some("" | "true") => peer,
        Some(target) => Some(target),
    };
    if let Some(target) = target {
        return Ok(Some(url(target)));
    }
    let has_token = args.token_file.is_some()
        || base.cluster.token_file.is_some()
        || std::env::var_os(node::TOKEN_VARIABLE).is_some();
    if has_token || !base.cluster.join.is_empty() {
        return Ok(None);
    }
    match ContextStore::open(&base.contexts.dir).current() {
        Ok(context) => Ok(Some(context.api_url().to_owned())),
        Err(smr_pki::ContextError::NoActive) => Err(Error::NoWayIn),
        Err(err) => Err(err.into()),
    }
}

/// With a scheme.
fn url(target: &str) -> String {
    if target.contains("://") { target.to_owned() } else { format!("https://{target}") }
}

/// `host` of `https://host:port`.
fn host_of(url: &str) -> &str {
    let address = url.trim_start_matches("https://");
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `-c "--port.control 127.0.0.1:1443 --port.overlay 127.0.0.1:9212"`.
fn client_args(text: &str, flags: &mut OverrideArgs) -> Result<(), Error> {
    let bad = |what: String| {
        Error::usage(
            what,
            "known is `--port.control IP:PORT` and `--port.overlay IP:PORT`; everything else is in \
             smr.toml",
        )
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
            "--port.overlay" | "--overlayport" => flags.cluster_listen = vec![listen(&value)],
            // Nobody else speaks to the store.
            "--port.etcd" => {}
            _ => return Err(bad(format!("unknown flag `{flag}` in `{text}`"))),
        }
    }
    Ok(())
}

/// Old scripts say `localhost:1443`, `:1443` or `1443`; the configuration wants addresses.
fn listen(address: &str) -> String {
    if let Some(port) = address.strip_prefix("localhost:") {
        return format!("127.0.0.1:{port}");
    }
    let port = address.strip_prefix(':').unwrap_or(address);
    match (address.parse::<SocketAddr>(), port.parse::<u16>()) {
        (Err(_), Ok(port)) => format!("0.0.0.0:{port}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use jiff::Timestamp;
    use smr_pki::{Authority, Context, Role, Subject};

    use super::*;
    use crate::args::{ManagerCommand, Smrmgr};

    fn keys_at(home: &Path, line: &str) -> Result<Vec<String>, String> {
        let host = Host { hostname: "host".to_owned(), home: home.to_owned() };
        let words = shell_words::split(line).unwrap();
        let parsed = Smrmgr::try_parse_from(words).map_err(|err| err.to_string())?;
        match parsed.command {
            ManagerCommand::Start(args) => overrides(&args, &Config::defaults(&host), &host)
                .map(|keys| keys.into_iter().map(|o| format!("{}={}", o.key, o.value)).collect())
                .map_err(|err| err.to_string()),
            _ => unreachable!(),
        }
    }

    fn keys(line: &str) -> Result<Vec<String>, String> {
        keys_at(Path::new("/nonexistent"), line)
    }

    fn are(line: &str, expected: &[&str]) {
        assert_eq!(keys(line).unwrap(), expected, "{line}");
    }

    #[test]
    fn seeds_and_newer_flags_mean_the_same_keys() {
        are(
            "smrmgr start -a smr-agent-1 -d smr.example.com",
            &[
                "node.name=smr-agent-1",
                "node.domains=smr.example.com",
                "api.listen=0.0.0.0:1443",
                "cluster.listen=0.0.0.0:9212",
            ],
        );
        are(
            "smrmgr start -a smr-agent-1 -e localhost:1443",
            &["node.name=smr-agent-1", "api.listen=127.0.0.1:1443"],
        );
        are(
            r#"smrmgr start -c "--port.control 127.0.0.1:1443 --port.overlay 127.0.0.1:9212""#,
            &["api.listen=127.0.0.1:1443", "cluster.listen=127.0.0.1:9212"],
        );
        are(
            "smrmgr start -n n1 -a 10.0.0.1",
            &[
                "node.name=n1",
                "node.ips=10.0.0.1",
                "api.listen=0.0.0.0:1443",
                "cluster.listen=0.0.0.0:9212",
            ],
        );
        are(
            r#"smrmgr start -d a.example.com -c "--port.control :2443" -p 9300 -x "--port.etcd 1""#,
            &[
                "node.name=a",
                "node.domains=a.example.com",
                "api.listen=0.0.0.0:2443",
                "cluster.listen=0.0.0.0:9300",
            ],
        );
        are("smrmgr start -d localhost", &["node.domains=localhost"]);
        are("smrmgr start", &[]);
    }

    #[test]
    fn every_form_of_joining_names_the_same_peer() {
        let joined = [
            "node.name=node-2",
            "node.domains=node-2.example.com",
            "api.listen=0.0.0.0:1443",
            "cluster.join=https://node-1.example.com:1443",
            "cluster.listen=0.0.0.0:9212",
        ];
        let node_2 = "smrmgr start -d node-2.example.com";
        are(&format!("{node_2} -j -p https://node-1.example.com:1443"), &joined);
        are(&format!("{node_2} -j node-1.example.com:1443"), &joined);
        let mut named = joined;
        named[0] = "node.name=smr-agent-2";
        let old = "smrmgr start -a smr-agent-2 -d node-2.example.com -j node-1.example.com:1443";
        are(old, &named);
        are("smrmgr start --token-file /t -j", &["cluster.token_file=/t"]);
    }

    #[test]
    fn a_lone_j_joins_the_cluster_of_the_active_context() {
        let home = tempfile::tempdir().unwrap();
        let err = keys_at(home.path(), "smrmgr start -j").unwrap_err();
        assert_eq!(err, "to join a cluster this machine needs a context of it, or a join token");
        let day = std::time::Duration::from_hours(24);
        let authority = Authority::create(day, Timestamp::now()).unwrap();
        let subject = Subject::user("me", Role::Admin).unwrap();
        let bundle = authority.issue(&subject, day, Timestamp::now()).unwrap().bundle();
        let store = ContextStore::open(home.path().join(".smrctl/contexts"));
        store.save(&Context::new("c", "https://node-1.example.com:1443", bundle).unwrap()).unwrap();
        store.switch("c").unwrap();
        let keys = keys_at(home.path(), "smrmgr start -n n2 -j").unwrap();
        let expected = [
            "node.name=n2",
            "api.listen=0.0.0.0:1443",
            "cluster.join=https://node-1.example.com:1443",
            "cluster.listen=0.0.0.0:9212",
        ];
        assert_eq!(keys, expected);
        let here = keys_at(home.path(), "smrmgr start -j localhost:2443").unwrap();
        assert_eq!(here, ["cluster.join=https://localhost:2443"]);
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
