//! Defaults, rendered files and what must hold for any text.

use std::time::Duration;

use proptest::prelude::*;
use smr_config::{Config, Host, LogLevel, init_text};

fn host() -> Host {
    Host { hostname: "Box.example.com".to_owned(), home: "/home/kim".into() }
}

fn parse(text: &str) -> Config {
    Config::parse(text, "smr.toml", &host()).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn an_empty_file_is_a_node_for_this_machine_only() {
    let config = parse("");
    assert_eq!(config, Config::defaults(&host()));
    assert_eq!(config.node.name, "box");
    assert_eq!(config.node.id, None);
    assert!(config.api.listen.iter().all(|address| address.ip().is_loopback()));
    assert_eq!(config.api.listen.len(), 2);
    assert!(config.telemetry.listen.is_empty());
    assert_eq!(config.telemetry.log_level, LogLevel::Info);
    assert_eq!(config.docker.socket().to_str(), Some("/var/run/docker.sock"));
    assert_eq!(config.docker.parallelism, 8);
    assert_eq!(config.certificates.node, Duration::from_hours(90 * 24));
    assert_eq!(config.contexts.dir.to_str(), Some("/home/kim/.smrctl/contexts"));
    assert_eq!(config.bootstrap.manifests, None);
}

#[test]
fn every_key_is_read_and_rendered_files_mean_the_same() {
    let text = r#"
[node]
name = "n1"
id = 7
domains = ["N1.example.com"]
ips = ["192.0.2.10"]
labels = { zone = "a", "example.com/disk" = "ssd" }

[node.reserved]
cpu = 0.5
memory = "512MiB"

[api]
listen = ["[::]:1443"]
body_limit = "1MiB"
request_timeout = "1m30s"
drain_timeout = "0s"

[cluster]
listen = ["[::]:9212"]
address = "N1.example.com:9213"
join = ["https://n2.example.com", "https://[2001:db8::2]:2443/"]
token_file = "/etc/smr/token"
role = "worker"
heartbeat = "100ms"
election_timeout = "500ms"
down_after = "2s"

[telemetry]
listen = ["0.0.0.0:9443"]
allow_remote = true
log_level = "debug"
log_format = "json"

[data]
dir = "/data/\"smr\""

[docker]
host = "unix:///run/user/1000/docker.sock"
parallelism = 2
request_timeout = "1500ms"

[bootstrap]
manifests = "/etc/smr/manifests"

[certificates]
authority = "100d"
node = "1d"
user = "2w"

[store]
snapshot_every = 1000
keep_revisions = 2000

[contexts]
dir = "/root/contexts"
"#;
    let config = parse(text);
    assert_eq!(config.node.domains, ["n1.example.com"]);
    assert_eq!(config.node.reserved.memory, 512 << 20);
    assert_eq!(config.api.request_timeout, Duration::from_secs(90));
    assert_eq!(config.data.dir.to_str(), Some("/data/\"smr\""));
    assert_eq!(config.store.keep_revisions, 2000);
    assert_eq!(config.cluster.address, "n1.example.com:9213");
    assert_eq!(config.cluster.join, ["https://n2.example.com:1443", "https://[2001:db8::2]:2443"]);
    assert_eq!(config.cluster.role, smr_config::NodeRole::Worker);
    assert!(config.node.is_named && config.cluster.joins());
    for rendered in [config.render(), config.render_defaults()] {
        let again = parse(&rendered);
        assert_eq!(again.render_defaults(), config.render_defaults());
        assert_eq!((again.node, again.api), (config.node.clone(), config.api.clone()));
        assert_eq!(again.cluster, config.cluster);
    }
    assert_eq!(Config::defaults(&host()).render(), "");
}

#[test]
fn the_address_for_other_nodes_is_derived() {
    let address = |text: &str| parse(text).cluster.address;
    assert_eq!(address(""), "127.0.0.1:9212");
    assert!(!parse("").node.is_named);
    assert_eq!(address("[cluster]\nlisten = [\"[::]:9000\"]"), "[::1]:9000");
    assert_eq!(address("[cluster]\nlisten = [\"192.0.2.1:9000\"]"), "192.0.2.1:9000");
    assert_eq!(address("[cluster]\nlisten = []"), "");
    let ips = "[node]\nips = [\"127.0.0.1\", \"2001:db8::1\"]\n";
    assert_eq!(address(ips), "[2001:db8::1]:9212");
    assert_eq!(address(&format!("{ips}domains = [\"*.a.b\", \"n.a.b\"]")), "n.a.b:9212");
    let free = parse("[cluster]\nlisten = [\"[::1]:0\"]").cluster;
    assert_eq!(free.address_with(4711), "[::1]:4711");
    assert_eq!(parse("").cluster.address_with(4711), "127.0.0.1:9212");
}

#[test]
fn the_starter_file_changes_nothing_and_every_line_of_it_is_allowed() {
    let starter = init_text();
    assert_eq!(parse(&starter).render(), "");
    let uncommented: String = starter
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.split(' ').nth(1) == Some("=") => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(parse(&uncommented).bootstrap.manifests.is_some());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Config::parse(&text, "x", &host());
    }

    #[test]
    fn no_toml_makes_the_parser_panic(
        lines in proptest::collection::vec(
            (
                "\\[{0,2}(node|api|docker|node\\.labels|node\\.reserved|x)\\]{0,2}\n?",
                "(listen|name|id|labels|cpu|memory|parallelism|zone|\"é\") ?= ?",
                "(\\[.{0,8}\\]|\\{.{0,8}\\}|\".{0,8}\"|-?[0-9]{1,25}|1\\.5|nan|inf|0x1F|true)",
            ),
            0..8,
        )
    ) {
        let text = lines.iter().fold(String::new(), |text, (a, b, c)| text + a + "\n" + b + c + "\n");
        if let Err(errors) = Config::parse(&text, "x", &host()) {
            for problem in errors.problems() {
                let (line, column) = problem.position.unwrap();
                prop_assert!(line >= 1 && line <= text.lines().count() + 1 && column >= 1);
            }
        }
    }

    #[test]
    fn no_override_makes_the_parser_panic(index in 0_usize..8, value in any::<String>()) {
        let keys = ["node.name", "node.id", "node.labels", "node.reserved.cpu", "api.listen",
            "docker.host", "api.body_limit", "telemetry.allow_remote"];
        let item = smr_config::Override {
            key: keys[index].to_owned(), value, origin: "--set".to_owned(),
        };
        let _ = Config::defaults(&host()).override_with(&[item]);
    }
}
