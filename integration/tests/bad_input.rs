//! Bad input against a real node: the message is pinned, the exit code is not zero, and nothing
//! changes. The messages are in `bad_input/messages.txt`; `SMR_REGENERATE=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use jiff::Timestamp;
use smr_integration::{Lab, Node};
use smr_pki::{Authority, Context, ContextStore, Role, Subject};

/// What is tried: a command line, and the file it names as `FILE` or the text it reads.
struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    text: &'static str,
}

const fn apply(name: &'static str, text: &'static str) -> Case {
    Case { name, arguments: &["apply", "FILE"], text }
}

const fn run(name: &'static str, arguments: &'static [&'static str]) -> Case {
    Case { name, arguments, text: "" }
}

const fn config(name: &'static str, text: &'static str) -> Case {
    Case { name, arguments: &["smr", "config", "check", "FILE"], text }
}

const CASES: &[Case] = &[
    // ---- definitions
    apply("not yaml", "kind: [containers\n"),
    apply("no kind", "meta: {group: a, name: b}\nspec: {}\n"),
    apply("unknown kind", "kind: contaners\nmeta: {group: a, name: b}\nspec: {}\n"),
    apply("no meta", "kind: configuration\nspec: {data: {a: b}}\n"),
    apply("empty name", "kind: configuration\nmeta: {group: a, name: ''}\nspec: {data: {}}\n"),
    apply(
        "name with slash",
        "kind: configuration\nmeta: {group: a, name: b/c}\nspec: {data: {}}\n",
    ),
    apply("duplicate key", "kind: configuration\nkind: secret\nmeta: {group: a, name: b}\n"),
    apply("no image", "kind: containers\nmeta: {group: a, name: b}\nspec: {tag: '1'}\n"),
    apply(
        "misspelt fields beside a mistake",
        "kind: containers\nmeta: {group: a, name: b}\nspec:\n  imagee: x\n  replcas: 2\n",
    ),
    apply(
        "bad port",
        "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n  ports:\n    \
         - {container: '80', host: '99999'}\n",
    ),
    apply(
        "port twice",
        "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n  ports:\n    \
         - {container: '80', host: '8080'}\n    - {container: '81', host: '8080'}\n",
    ),
    apply(
        "replicas is a word",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, replicas: many}\n",
    ),
    apply(
        "bad duration",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, stopTimeout: soon}\n",
    ),
    apply(
        "bad size",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, memory: lots}\n",
    ),
    apply(
        "mount point twice",
        "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n  volumes:\n    \
         - {type: tmpfs, mountPoint: /a}\n    - {type: tmpfs, mountPoint: /a}\n",
    ),
    apply(
        "relative mount point",
        "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n  volumes:\n    \
         - {type: tmpfs, mountPoint: a}\n",
    ),
    apply(
        "two checks in one",
        "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n  readiness:\n    \
         - {tcp: '80', url: 'http://localhost/'}\n",
    ),
    apply(
        "environment without value",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, envs: [A]}\n",
    ),
    apply(
        "unknown restart policy",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, restart: sometimes}\n",
    ),
    apply(
        "second document is wrong, the first is not applied",
        "kind: configuration\nmeta: {group: a, name: good}\nspec: {data: {a: b}}\n---\n\
         kind: configuration\nmeta: {group: a}\nspec: {data: {a: b}}\n",
    ),
    apply(
        "one object twice",
        "kind: configuration\nmeta: {group: a, name: b}\nspec: {data: {a: b}}\n---\n\
         kind: configuration\nmeta: {group: a, name: b}\nspec: {data: {a: c}}\n",
    ),
    apply(
        "bad network range",
        "kind: network\nmeta: {group: a, name: b}\nspec: {ipv4AddressPool: 10.0.0.0/99}\n",
    ),
    apply("secret that is a list", "kind: secret\nmeta: {group: a, name: b}\nspec: {data: [x]}\n"),
    apply(
        "bad prefix",
        "prefix: dev\nkind: configuration\nmeta: {group: a, name: b}\nspec: {data: {}}\n",
    ),
    apply("network of the engine's own", "kind: network\nmeta: {group: a, name: bridge}\n"),
    apply("network of another group", "kind: network\nmeta: {group: b, name: wire}\n"),
    // ---- templates
    apply(
        "template: unknown function",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, envs: ['A=(( nope 1 ))']}\n",
    ),
    apply(
        "template: not closed",
        "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, envs: ['A=(( .name']}\n",
    ),
    apply(
        "template: unsupported lookup",
        "kind: containers\nmeta: {group: a, name: b}\n\
         spec: {image: x, configuration: {v: '(( lookup \"volume/a/b:c\" ))'}}\n",
    ),
    // ---- arguments
    run("unknown command", &["aply", "x"]),
    run("unknown flag", &["ps", "--colour-me"]),
    run("missing file", &["apply", "nowhere.yaml"]),
    run("get of nothing", &["get", "configuration/a/nothing"]),
    run("get of a bad reference", &["get", "configuration//nothing"]),
    run("get of an unknown kind", &["get", "thing/a/b"]),
    run("logs of nothing", &["logs", "containers/a/a-b-1"]),
    run("restart of nothing", &["restart", "containers/a/a-b-1"]),
    run("remove of nothing", &["remove", "configuration/a/nothing"]),
    run("remove of a volume in use", &["remove", "volume/a/disk"]),
    run("remove of a network in use", &["remove", "network/a/wire"]),
    run("unknown output", &["ps", "--output", "csv"]),
    run("explain of nothing", &["explain", "containers.replica"]),
    run("bad selector", &["list", "configuration", "--selector", "a b=c"]),
    // ---- configuration
    config("config: unknown key", "[api]\nlisten = [\"127.0.0.1:1443\"]\nlissten = []\n"),
    config("config: bad address", "[api]\nlisten = [\"localhost\"]\n"),
    config("config: wrong type", "[docker]\nparallelism = \"eight\"\n"),
    config("config: relative path", "[data]\ndir = \"data\"\n"),
    config(
        "config: ports collide",
        "[api]\nlisten = [\"127.0.0.1:1\"]\n[telemetry]\nlisten = [\"127.0.0.1:1\"]\n",
    ),
    config("config: not toml", "[api\n"),
    run("config: missing file", &["smr", "config", "check", "nowhere.toml"]),
    // ---- contexts
    run("context: unknown", &["--context", "nobody", "ps"]),
    run("context: switch to unknown", &["context", "switch", "nobody"]),
    run("context: import of garbage", &["context", "import", "zz", "00"]),
    run(
        "context: import with a short key",
        &["context", "import", "00112233445566778899aabbccddeeff00112233445566778899", "00"],
    ),
    run(
        "context: import of altered text",
        &[
            "context",
            "import",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        ],
    ),
    // ---- certificates
    run("certificate: expired", &["--context", "late", "ps"]),
    run("certificate: of a stranger's authority", &["--context", "stranger", "ps"]),
    run("certificate: too small a role", &["--context", "watcher", "apply", "good.yaml"]),
    run(
        "certificate: a viewer asks for a secret",
        &["--context", "watcher", "get", "secret/a/safe", "--reveal"],
    ),
    run("server: nobody listens", &["--context", "elsewhere", "ps"]),
    // ---- size
    run("value over the limit", &["apply", "value.yaml"]),
    run("body over the limit", &["apply", "large.yaml"]),
    // ---- backups
    run("backup: not a backup", &["smr", "backup", "verify", "good.yaml"]),
];

const GOOD: &str = "kind: configuration\nmeta: {group: a, name: fine}\nspec: {data: {a: b}}\n";
const SAFE: &str = "kind: secret\nmeta: {group: a, name: safe}\nspec: {data: {key: bWFya2Vy}}\n";
const USED: &str = "kind: volume\nmeta: {group: a, name: disk}\n---\n\
                    kind: network\nmeta: {group: a, name: wire}\n---\n\
                    kind: containers\nmeta: {group: a, name: user}\nspec:\n  image: x\n  \
                    replicas: 0\n  networks: [{group: a, name: wire}]\n  volumes: \
                    [{type: volume, name: disk, mountPoint: /disk}]\n";

#[test]
fn every_bad_input_has_its_message_fails_and_changes_nothing() {
    let Some(lab) = Lab::require() else { return };
    let node = Node::start(&lab, "[node]\nname = \"pinned\"\n").unwrap();
    node.apply(SAFE).unwrap();
    node.apply(USED).unwrap();
    node.file("good.yaml", GOOD).unwrap();
    for (name, mebibytes) in [("value.yaml", 9), ("large.yaml", 40)] {
        let value = "x".repeat(mebibytes << 20);
        let head = "kind: configuration\nmeta: {group: a, name: b}\nspec: {data: {a: ";
        node.file(name, &format!("{head}{value}}}}}\n")).unwrap();
    }
    make_contexts(&node);

    let before = state(&node);
    let mut told = String::new();
    for case in CASES {
        let file = node.file("input", case.text).unwrap();
        let (program, arguments) = match case.arguments {
            ["smr", arguments @ ..] => ("smr", arguments),
            arguments => ("smrctl", arguments),
        };
        let arguments: Vec<&str> =
            arguments.iter().map(|a| if *a == "FILE" { file.as_str() } else { a }).collect();
        let output = node.program(program).args(&arguments).output().unwrap();
        let code = output.status.code().unwrap_or(-1);
        assert!(code > 0, "{}: exit code {code}", case.name);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!error.contains("bWFya2Vy"), "{}: tells a secret", case.name);
        let error = error.replace(&file, "FILE").replace(&*node.dir().to_string_lossy(), "DIR");
        let _ = write!(
            told,
            "### {}\n$ {}{}\nexit code {code}\n{}\n\n",
            case.name,
            if program == "smr" { "" } else { "smrctl " },
            case.arguments.join(" "),
            error.trim_end()
        );
    }
    assert_eq!(state(&node), before, "nothing was changed by any of it");
    pinned(&told);
}

/// Revision and objects; a write of any kind changes the revision.
fn state(node: &Node) -> String {
    let health = node.ok(&["health", "--output", "json"]).unwrap();
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    let objects: Vec<String> = ["configuration", "secret", "containers", "network", "volume"]
        .iter()
        .map(|kind| node.ok(&["list", kind, "--output", "name"]).unwrap())
        .collect();
    format!("{} {objects:?}", health["store"]["revision"])
}

fn pinned(told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input/messages.txt");
    if std::env::var_os("SMR_REGENERATE").is_some() {
        fs::write(&path, told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    for (got, want) in told.split("### ").zip(expected.split("### ")) {
        assert_eq!(got, want, "`SMR_REGENERATE=1` pins the new message");
    }
    assert_eq!(told.len(), expected.len(), "cases were added or removed; `SMR_REGENERATE=1`");
}

fn make_contexts(node: &Node) {
    let now = Timestamp::now();
    let hour = Duration::from_hours(1);
    let authority = Authority::load(&node.data_dir().join("pki"), now).unwrap().unwrap();
    let stranger = Authority::create(hour, now).unwrap();
    let store = ContextStore::open(node.dir().join("home/.smrctl/contexts"));
    let contexts = [
        ("late", &authority, Role::Admin, now - Duration::from_hours(2), "localhost:1443"),
        ("stranger", &stranger, Role::Admin, now, "localhost:1443"),
        ("watcher", &authority, Role::Viewer, now, "localhost:1443"),
        ("elsewhere", &authority, Role::Admin, now, "localhost:9"),
    ];
    for (name, authority, role, at, api) in contexts {
        let subject = Subject::user(name, role).unwrap();
        let credentials = authority.issue(&subject, hour, at).unwrap();
        store.save(&Context::new(name, api, credentials.bundle()).unwrap()).unwrap();
    }
}
