//! What an operator reads for each mistake, word by word.

use smr_config::{Config, Host, Override};

fn host() -> Host {
    Host { hostname: "box".to_owned(), home: "/home/kim".into() }
}

fn errors(text: &str) -> String {
    match Config::parse(text, "smr.toml", &host()) {
        Ok(_) => "no error".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn every_mistake_has_its_message() {
    let cases: &[(&str, &str)] = &[
        (
            "[api]\nlisten = [\"localhost\"]",
            "smr.toml:2:11: api.listen[0]: \"localhost\" is not an address with a port; write e.g. \"127.0.0.1:1443\"",
        ),
        ("[api]\nlistn = []", "smr.toml:2:1: api.listn: unknown key; did you mean \"listen\"?"),
        ("[dokcer]\n", "smr.toml:1:2: dokcer: unknown key; did you mean \"docker\"?"),
        (
            "[api]\nparallelism = 3",
            "smr.toml:2:1: api.parallelism: unknown key; there is docker.parallelism",
        ),
        ("[data]\nquota = 3", "smr.toml:2:1: data.quota: unknown key; [data] knows dir"),
        (
            "overlay = 1",
            "smr.toml:1:1: overlay: unknown key; the file knows api, bootstrap, certificates, cluster, contexts, data, docker, node, store, telemetry",
        ),
        (
            "[api]\nlisten = \"127.0.0.1:1443\"",
            "smr.toml:2:10: api.listen: \"127.0.0.1:1443\" is a string; write a list of addresses, e.g. [\"[::]:1443\"]",
        ),
        (
            "[api]\nlisten = []",
            "smr.toml:2:10: api.listen: is empty; write a list of addresses, e.g. [\"[::]:1443\"]",
        ),
        (
            "[api]\nlisten = [1443]",
            "smr.toml:2:11: api.listen[0]: only strings belong in this list, e.g. [\"[::]:1443\"]",
        ),
        (
            "[api]\nlisten = [\"0.0.0.0:1443\", \"127.0.0.1:1443\"]",
            "smr.toml:2:10: api.listen[1]: \"127.0.0.1:1443\" collides with api.listen[0] \"0.0.0.0:1443\" (0.0.0.0 is every IPv4 address); use another port",
        ),
        (
            "[api]\nlisten = [\"0.0.0.0:1443\", \"[::]:1443\"]",
            "smr.toml:2:10: api.listen[1]: \"[::]:1443\" collides with api.listen[0] \"0.0.0.0:1443\" ([::] is every address, IPv4 included); use another port",
        ),
        (
            "[telemetry]\nlisten = [\"127.0.0.1:1443\"]",
            "smr.toml:2:10: telemetry.listen[0]: \"127.0.0.1:1443\" collides with api.listen[0] \"127.0.0.1:1443\"; use another port",
        ),
        (
            "[telemetry]\nlisten = [\"0.0.0.0:9443\"]",
            "smr.toml:2:10: telemetry.listen[0]: \"0.0.0.0:9443\" is reachable from other machines without a certificate; use \"127.0.0.1:9443\" or set allow_remote = true",
        ),
        (
            "[api]\nrequest_timeout = 30",
            "smr.toml:2:19: api.request_timeout: 30 is a whole number; write a duration with its unit, e.g. \"30s\"",
        ),
        (
            "[api]\nrequest_timeout = \"30 seconds\"",
            "smr.toml:2:19: api.request_timeout: \"30 seconds\" is not a duration; write a whole number and ms, s, m, h or d, e.g. \"30s\"",
        ),
        (
            "[api]\nrequest_timeout = \"2h\"",
            "smr.toml:2:19: api.request_timeout: \"2h\" is out of range; allowed is 1s to 1h",
        ),
        (
            "[api]\nbody_limit = \"lots\"",
            "smr.toml:2:14: api.body_limit: \"lots\" is not a size; write a whole number and B, KiB, MiB, GiB, kB, MB or GB, e.g. \"16MiB\"",
        ),
        (
            "[api]\nbody_limit = \"1B\"",
            "smr.toml:2:14: api.body_limit: \"1B\" is out of range; allowed is 1KiB to 1GiB",
        ),
        (
            "[docker]\nparallelism = 0",
            "smr.toml:2:15: docker.parallelism: 0 is out of range; allowed is 1 to 256",
        ),
        (
            "[docker]\nparallelism = 99999999999999999999",
            "smr.toml:2:15: docker.parallelism: 99999999999999999999 is out of range; allowed is 1 to 256",
        ),
        (
            "[docker]\nhost = \"tcp://10.0.0.1:2375\"",
            "smr.toml:2:8: docker.host: \"tcp://10.0.0.1:2375\" is not a local socket; write unix:// and its path, e.g. \"unix:///var/run/docker.sock\"",
        ),
        (
            "[data]\ndir = \"data\"",
            "smr.toml:2:7: data.dir: \"data\" is not an absolute path; write e.g. \"/var/lib/smr\"",
        ),
        (
            "[data]\ndir = 1979-05-27",
            "smr.toml:2:7: data.dir: 1979-05-27 is a date or time; write an absolute path, e.g. \"/var/lib/smr\"",
        ),
        (
            "[node]\nname = \"Node 1\"",
            "smr.toml:2:8: node.name: \"Node 1\" is not a node name; write 1 to 63 lower-case letters, digits and -, e.g. \"node-1\"",
        ),
        ("[node]\nid = 0", "smr.toml:2:6: node.id: 0 is out of range; allowed is 1 or more"),
        (
            "[node]\ndomains = [\"192.0.2.1\", \"a b\"]",
            "smr.toml:2:12: node.domains[0]: \"192.0.2.1\" is not a DNS name (addresses belong in node.ips); write e.g. \"node-1.example.com\"\n\
             smr.toml:2:25: node.domains[1]: \"a b\" is not a DNS name; write e.g. \"node-1.example.com\"",
        ),
        (
            "[node]\nips = [\"0.0.0.0\", \"192.0.2.256\"]",
            "smr.toml:2:8: node.ips[0]: \"0.0.0.0\" is not the address of one machine; write e.g. \"192.0.2.10\"\n\
             smr.toml:2:19: node.ips[1]: \"192.0.2.256\" is not an IP address; write e.g. \"192.0.2.10\" or \"2001:db8::10\"",
        ),
        (
            "[node.labels]\nzone = 1\n\"a b\" = \"c\"",
            "smr.toml:2:8: node.labels.zone: must be a string, e.g. { zone = \"a\" }\n\
             smr.toml:3:9: node.labels.\"a b\": is not a label name; write 1 to 63 letters, digits, ., _, - or /, starting with a letter or digit",
        ),
        (
            "[node.reserved]\ncpu = -1",
            "smr.toml:2:7: node.reserved.cpu: -1 is out of range; allowed is 0 to 4096",
        ),
        (
            "[telemetry]\nlog_level = \"loud\"",
            "smr.toml:2:13: telemetry.log_level: \"loud\" is not known; write one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        (
            "[telemetry]\nallow_remote = \"yes\"",
            "smr.toml:2:16: telemetry.allow_remote: \"yes\" is a string; write true or false, e.g. true",
        ),
        (
            "[certificates]\nauthority = \"30d\"",
            "smr.toml:2:13: certificates.authority: certificates.node (\"90d\") must not be longer than certificates.authority (\"30d\")\n\
             smr.toml:2:13: certificates.authority: certificates.user (\"365d\") must not be longer than certificates.authority (\"30d\")",
        ),
        (
            "[cluster]\nlisten = [\"0.0.0.0:1443\"]",
            "smr.toml:2:10: cluster.listen[0]: \"0.0.0.0:1443\" collides with api.listen[0] \"127.0.0.1:1443\" (0.0.0.0 is every IPv4 address); use another port",
        ),
        (
            "[api]\nlisten = [\"[::1]:9212\"]",
            "smr.toml:2:10: api.listen: \"[::1]:9212\" collides with cluster.listen[1] \"[::1]:9212\"; use another port",
        ),
        (
            "[cluster]\njoin = [\"http://a:1443\", \"a:1443\", \"https://\"]",
            "smr.toml:2:9: cluster.join[0]: \"http://a:1443\" is not an https address (the API speaks TLS only); write e.g. \"https://node-1.example.com:1443\"\n\
             smr.toml:2:26: cluster.join[1]: \"a:1443\" is not an https address; write e.g. \"https://node-1.example.com:1443\"\n\
             smr.toml:2:36: cluster.join[2]: \"https://\" names no host; write e.g. \"https://node-1.example.com:1443\"",
        ),
        (
            "[cluster]\naddress = \"node-1\"",
            "smr.toml:2:11: cluster.address: \"node-1\" has no port; write e.g. \"node-1.example.com:9212\"",
        ),
        (
            "[cluster]\naddress = \"0.0.0.0:9212\"",
            "smr.toml:2:11: cluster.address: \"0.0.0.0:9212\" is not the address of one machine; write e.g. \"node-1.example.com:9212\"",
        ),
        (
            "[cluster]\njoin = [\"https://192.0.2.1\"]",
            "smr.toml:2:8: cluster.join: to join \"https://192.0.2.1:1443\" the node must be reachable for other nodes, but it listens on this machine only; set cluster.listen, e.g. [\"[::]:9212\"]",
        ),
        (
            "[cluster]\njoin = [\"https://192.0.2.1\"]\nlisten = [\"[::]:9212\"]",
            "smr.toml:2:8: cluster.join: other nodes cannot reach this one at \"[::1]:9212\", to join \"https://192.0.2.1:1443\"; set cluster.address, or node.domains or node.ips",
        ),
        ("[cluster]\njoin = [\"https://localhost:2443\"]", "no error"),
        (
            "[cluster]\nrole = \"worker\"",
            "smr.toml:2:8: cluster.role: \"worker\" is for nodes that join a cluster, the first node votes; set cluster.join or cluster.token_file",
        ),
        (
            "[cluster]\nheartbeat = \"500ms\"",
            "smr.toml:2:13: cluster.heartbeat: cluster.election_timeout (\"1s\") must be at least 3 times cluster.heartbeat: \"1500ms\" or more",
        ),
        (
            "[cluster]\ndown_after = \"1s\"",
            "smr.toml:2:14: cluster.down_after: cluster.down_after (\"1s\") must be at least 2 times cluster.election_timeout: \"2s\" or more",
        ),
        (
            "api = 3",
            "smr.toml:1:7: api: 3 is a whole number; write a table, [api] with its keys below",
        ),
        ("[[api]]\n", "smr.toml:1:3: api: is one table; write [api] once, not [[api]]"),
        (
            "[api]\nbody_limit = \"1MiB\"\nbody_limit = \"2MiB\"",
            "smr.toml:3:1: `body_limit` is set twice; remove one of them",
        ),
        ("[api\nx = 1", "smr.toml:1:5: is not TOML: unclosed table, expected `]`"),
        (
            "[data]\ndir = /var/lib\n[data]\n",
            "smr.toml:2:7: is not TOML: string values must be quoted, expected literal string\nsmr.toml:3:2: `data` is set twice; remove one of them",
        ),
        ("[api]\nlisten = [\"a\"\n", "smr.toml:2:14: is not TOML: unclosed array, expected `]`"),
    ];
    for (text, expected) in cases {
        assert_eq!(&errors(text), expected, "for:\n{text}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_order() {
    let text = "[docker]\nparallelism = \"many\"\n\n[api]\nlisten = [\"::1\"]\nlistn = 1\n\n[data]\ndir = \"x\"\n";
    let expected = "\
smr.toml:2:15: docker.parallelism: \"many\" is a string; write a whole number, e.g. 8
smr.toml:5:11: api.listen[0]: \"::1\" is not an address with a port; write e.g. \"127.0.0.1:1443\"
smr.toml:6:1: api.listn: unknown key; did you mean \"listen\"?
smr.toml:9:7: data.dir: \"x\" is not an absolute path; write e.g. \"/var/lib/smr\"";
    assert_eq!(errors(text), expected);
}

#[test]
fn flags_have_the_same_checks_under_their_own_name() {
    let set = |key: &str, value: &str, origin: &str| Override {
        key: key.to_owned(),
        value: value.to_owned(),
        origin: origin.to_owned(),
    };
    let base = Config::defaults(&host());
    let errors = base
        .clone()
        .override_with(&[
            set("api.listen", "127.0.0.1:9000,nowhere", "--listen"),
            set("docker.parallelism", "many", "SMR_PARALLELISM"),
            set("docker.paralelism", "3", "--set"),
        ])
        .unwrap_err();
    assert_eq!(
        errors.to_string(),
        "--listen: api.listen[1]: \"nowhere\" is not an address with a port; write e.g. \"127.0.0.1:1443\"\n\
         --set: docker.paralelism: unknown key; did you mean \"docker.parallelism\"?\n\
         SMR_PARALLELISM: docker.parallelism: \"many\" is a string; write a whole number, e.g. 8"
    );
    let config = base
        .override_with(&[
            set("api.listen", "[::1]:9000, 127.0.0.1:9000", "--listen"),
            set("node.labels", "zone=a,disk=ssd", "--label"),
            set("docker.parallelism", "3", "--parallelism"),
            set("telemetry.listen", "[]", "--telemetry"),
            set("node.reserved.cpu", "1", "--reserve"),
        ])
        .unwrap();
    assert_eq!(config.api.listen.len(), 2);
    assert_eq!(config.node.labels["disk"], "ssd");
    assert_eq!(config.docker.parallelism, 3);
    assert!((config.node.reserved.cpu - 1.0).abs() < f64::EPSILON);
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &std::path::Path| Config::load(path, &host()).unwrap_err();
    let missing = dir.path().join("smr.toml");
    let errors = load(&missing);
    assert!(errors.is_missing_file());
    assert_eq!(
        errors.to_string(),
        format!(
            "{}: cannot be read: no such file; `smr config init` writes one",
            missing.display()
        )
    );
    let errors = load(dir.path());
    assert!(!errors.is_missing_file());
    assert_eq!(
        errors.to_string(),
        format!("{}: cannot be read: is a directory; give the file in it", dir.path().display())
    );
    std::fs::write(&missing, b"[api]\n\xff\xfe").unwrap();
    assert_eq!(
        load(&missing).to_string(),
        format!("{}: is not UTF-8 text (line 2)", missing.display())
    );
    std::fs::write(&missing, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(
        load(&missing).to_string(),
        format!("{}: is longer than 1 MiB; this is not a configuration", missing.display())
    );
}
