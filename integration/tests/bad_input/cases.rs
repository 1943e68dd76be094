//! What is tried of a single node.

/// What is tried: a command line, and the file it names as `FILE` or the text it reads.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) text: &'static str,
}

const fn apply(name: &'static str, text: &'static str) -> Case {
    Case { name, arguments: &["apply", "FILE"], text }
}

/// A containers object with a mistake in its rules.
const fn rules(name: &'static str, text: &'static str) -> Case {
    Case { name, arguments: &["apply", "RULES"], text }
}

const fn run(name: &'static str, arguments: &'static [&'static str]) -> Case {
    Case { name, arguments, text: "" }
}

const fn config(name: &'static str, text: &'static str) -> Case {
    Case { name, arguments: &["smr", "config", "check", "FILE"], text }
}

pub(crate) const CASES: &[Case] = &[
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
    run("certificate: not valid yet", &["--context", "early", "ps"]),
    run("certificate: too small a role", &["--context", "watcher", "apply", "good.yaml"]),
    run(
        "certificate: a viewer asks for a secret",
        &["--context", "watcher", "get", "secret/a/safe", "--reveal"],
    ),
    run("server: nobody listens", &["--context", "elsewhere", "ps"]),
    // ---- placement, rollouts
    rules("constraint: unknown operator", "placement: {constraints: [node.labels.x=>1]}"),
    rules("constraint: operator that does not fit", "placement: {constraints: [node.name<b]}"),
    rules("constraint: no operator", "placement: {constraints: [node.labels.x]}"),
    rules("constraint: unknown attribute", "placement: {constraints: [node.label.x==1]}"),
    rules("constraint: bad regular expression", "placement: {constraints: [node.name==/(/]}"),
    rules("constraint: bad network", "placement: {constraints: [node.ip==10.0.0.0/99]}"),
    rules("constraint: not a number", "placement: {constraints: [node.cpus>many]}"),
    rules(
        "constraint: two that exclude each other",
        "placement: {constraints: [node.cpus>4, node.cpus<2]}",
    ),
    rules("affinity: to nothing", "placement: {affinity: ['!']}"),
    rules("affinity: to a volume", "placement: {affinity: [volume/a/b]}"),
    rules("affinity: without its kind", "placement: {affinity: [shop/db]}"),
    rules("placement: unknown strategy", "placement: {strategy: fastest}"),
    rules("placement: spread over a word", "placement: {spreadOver: [zone]}"),
    rules("placement: none per node", "placement: {maxPerNode: 0}"),
    rules("placement: bad platform", "placement: {platforms: [linux//amd64]}"),
    rules("spread: unknown word", "spread: {spread: everywhere, agents: [1]}"),
    rules("spread: specific without nodes", "spread: {spread: specific}"),
    rules("spread: nodes by name", "spread: {spread: specific, agents: [n1]}"),
    rules("spread: node 0", "spread: {spread: specific, agents: [0]}"),
    rules("spread: node twice", "spread: {spread: specific, agents: [1, 1]}"),
    rules("reschedule: unknown word", "reschedule: sometimes"),
    rules("reschedule: bad grace time", "rescheduleGrace: soon"),
    rules("update: share over 1", "update: {maxFailureRatio: 2}"),
    rules("update: unknown order", "update: {order: sideways}"),
    rules("update: more canaries than replicas", "replicas: 1\n  update: {canary: 5}"),
    rules("update: unknown answer to failures", "update: {onFailure: explode}"),
    rules("reservation: not a number", "cpuReservation: lots"),
    run("rollout: of nothing", &["rollout", "status", "containers/a/nothing"]),
    run("rollout: of what has no replicas", &["rollout", "status", "secret/a/safe"]),
    run("rollout: pause without one", &["rollout", "pause", "containers/a/user"]),
    run("rollout: resume without one", &["rollout", "resume", "containers/a/user"]),
    run("rollout: promote without one", &["rollout", "promote", "containers/a/user"]),
    run("rollout: undo of the first definition", &["rollout", "undo", "containers/a/user"]),
    run(
        "rollout: undo to what is not kept",
        &["rollout", "undo", "containers/a/user", "--to", "7"],
    ),
    run("explain: of no replica", &["explain", "containers/a/nothing"]),
    Case {
        name: "plan: of a mistake",
        arguments: &["plan", "FILE"],
        text: "kind: containers\nmeta: {group: a, name: b}\nspec: {image: x, replicas: many}\n",
    },
    // ---- nodes
    run("node: inspect of nobody", &["node", "inspect", "nobody"]),
    run("node: drain of nobody", &["node", "drain", "nobody"]),
    run("node: pause of nobody", &["node", "pause", "nobody"]),
    run("node: activate of nobody", &["node", "activate", "9"]),
    run("node: promote of nobody", &["node", "promote", "nobody"]),
    run("node: label of nobody", &["node", "label", "nobody", "zone=eu"]),
    run("node: label without a value", &["node", "label", "pinned", "zone"]),
    run("node: label with a bad name", &["node", "label", "pinned", "a@b=c"]),
    run("node: removal of nobody", &["node", "rm", "nobody"]),
    run("node: removal of the last voter", &["node", "rm", "pinned"]),
    run("node: removal of the last voter by force", &["node", "rm", "pinned", "--force"]),
    run("node: demotion of the last voter", &["node", "demote", "pinned"]),
    // ---- the cluster
    run("cluster: the lead to nobody", &["cluster", "transfer", "nobody"]),
    run("cluster: the lead to whoever there is", &["cluster", "transfer"]),
    run("cluster: even number of voters", &["cluster", "settings", "voters=4"]),
    run("cluster: voters are a word", &["cluster", "settings", "voters=many"]),
    run("cluster: unknown rebalancing", &["cluster", "settings", "rebalance=foo"]),
    run("cluster: no moves", &["cluster", "settings", "moves_per_minute=0"]),
    run("cluster: down too soon", &["cluster", "settings", "down_after=1ms"]),
    run("cluster: unknown setting", &["cluster", "settings", "colour=red"]),
    run("cluster: setting without a value", &["cluster", "settings", "voters"]),
    run(
        "cluster: one good setting beside a bad one",
        &["cluster", "settings", "voters=3", "moves_per_minute=0"],
    ),
    run("token: for nobody", &["token", "create", "--uses", "0"]),
    run("token: for a second", &["token", "create", "--ttl", "1s"]),
    run("token: for years", &["token", "create", "--ttl", "400d"]),
    run("token: unknown role", &["token", "create", "--role", "king"]),
    run("token: address of another kind", &["token", "create", "--endpoint", "ftp://x"]),
    run("token: removal of nothing", &["token", "rm", "0000000000"]),
    run("certificate: revocation of nothing", &["cert", "revoke", "00ff"]),
    run("authority: switch before begin", &["cert", "rotate-ca", "switch"]),
    run("authority: finish before begin", &["cert", "rotate-ca", "finish"]),
    run("authority: cancel before begin", &["cert", "rotate-ca", "cancel"]),
    run("authority: unknown step", &["cert", "rotate-ca", "again"]),
    config(
        "config: unknown scheme to join",
        "[cluster]\nlisten = [\"0.0.0.0:9212\"]\njoin = [\"http://a.example.com:1443\"]\n",
    ),
    config("config: worker that joins nobody", "[cluster]\nrole = \"worker\"\n"),
    config("config: no time to join", "[cluster]\njoin_timeout = \"0s\"\n"),
    config(
        "config: down before an election",
        "[cluster]\nelection_timeout = \"10s\"\ndown_after = \"5s\"\n",
    ),
    // ---- size
    run("value over the limit", &["apply", "value.yaml"]),
    run("body over the limit", &["apply", "large.yaml"]),
    // ---- backups
    run("backup: not a backup", &["smr", "backup", "verify", "good.yaml"]),
];
