//! The table of all keys: kind, default, meaning. Parser, defaults, rendered files, schema and
//! reference page are made from it.

use std::time::Duration;

/// One key of `smr.toml`.
#[derive(Debug)]
pub(crate) struct Field {
    /// Dotted key.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// Sentences for the reference page and the comments of rendered files.
    pub(crate) doc: &'static str,
    /// A value in TOML, for messages and for keys without default.
    pub(crate) example: &'static str,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// A DNS label.
    Label,
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Bool,
    Choice(&'static [&'static str]),
    Duration {
        min: Duration,
        max: Duration,
    },
    /// Bytes.
    Size {
        min: u64,
        max: u64,
    },
    /// An absolute path.
    Path,
    /// `unix://` with an absolute path.
    Socket,
    /// IP addresses with a port; whether there may be none.
    Addresses {
        empty: bool,
    },
    /// `host:port` of one machine.
    Peer,
    /// `https://host:port`.
    Urls,
    Domains,
    Ips,
    /// Names with text values.
    Labels,
}

/// What holds when the key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Default {
    /// This, in TOML.
    Is(&'static str),
    /// Nothing.
    Unset,
    /// The first label of the machine's name.
    Hostname,
    /// `~/.smrctl/contexts`.
    ContextsDir,
}

impl Field {
    /// The table the key is in and its last part.
    pub(crate) fn split(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').expect("every key is in a table")
    }
}

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// All tables, in the order they are written in.
pub(crate) const SECTIONS: &[Section] = &[
    Section { key: "node", doc: "Who this node is." },
    Section {
        key: "node.reserved",
        doc: "What containers do not get: kept for the machine itself.",
    },
    Section {
        key: "api",
        doc: "The control API: TLS 1.3, a client certificate of the cluster is required.",
    },
    Section {
        key: "cluster",
        doc: "The other nodes: where this one is reached by them, and which cluster it joins.",
    },
    Section { key: "telemetry", doc: "Metrics, health and logs." },
    Section { key: "data", doc: "What the node keeps on disk." },
    Section { key: "docker", doc: "The container engine." },
    Section { key: "bootstrap", doc: "What is applied when the node starts." },
    Section {
        key: "certificates",
        doc: "How long new certificates live. They are renewed after two thirds of it, without a restart.",
    },
    Section { key: "store", doc: "History and snapshots of the cluster's objects." },
    Section { key: "contexts", doc: "The admin context for the command line on this machine." },
];

/// All keys, in the order they are written in.
pub(crate) const FIELDS: &[Field] = &[
    Field {
        key: "node.name",
        kind: Kind::Label,
        default: Default::Hostname,
        doc: "Name of the node in the cluster and in its certificate. A node that joins a cluster \
              without a name set here is named `node-` and its number.",
        example: "\"node-1\"",
    },
    Field {
        key: "node.id",
        kind: Kind::Integer { min: 1, max: i64::MAX },
        default: Default::Unset,
        doc: "Number of the node in the cluster, unique and never reused. Chosen when the node is \
              made unless it is set here.",
        example: "1",
    },
    Field {
        key: "node.domains",
        kind: Kind::Domains,
        default: Default::Is("[]"),
        doc: "DNS names under which the node is reached. They go into its certificate, beside \
              `localhost` and `node.private`.",
        example: "[\"node-1.example.com\"]",
    },
    Field {
        key: "node.ips",
        kind: Kind::Ips,
        default: Default::Is("[]"),
        doc: "IP addresses under which the node is reached. They go into its certificate, beside \
              127.0.0.1 and ::1.",
        example: "[\"192.0.2.10\"]",
    },
    Field {
        key: "node.labels",
        kind: Kind::Labels,
        default: Default::Is("{}"),
        doc: "Labels by which definitions can choose nodes.",
        example: "{ zone = \"a\" }",
    },
    Field {
        key: "node.reserved.cpu",
        kind: Kind::Number { min: 0.0, max: 4096.0 },
        default: Default::Is("0.0"),
        doc: "Processors.",
        example: "0.5",
    },
    Field {
        key: "node.reserved.memory",
        kind: Kind::Size { min: 0, max: 1 << 50 },
        default: Default::Is("\"0B\""),
        doc: "Memory.",
        example: "\"512MiB\"",
    },
    Field {
        key: "api.listen",
        kind: Kind::Addresses { empty: false },
        default: Default::Is("[\"127.0.0.1:1443\", \"[::1]:1443\"]"),
        doc: "Addresses the API listens on. The default is reachable from this machine only; \
              `[::]:1443` is every address, IPv4 included. Port 0 takes a free port.",
        example: "[\"[::]:1443\"]",
    },
    Field {
        key: "api.body_limit",
        kind: Kind::Size { min: KIB, max: GIB },
        default: Default::Is("\"16MiB\""),
        doc: "Longest body of a request.",
        example: "\"16MiB\"",
    },
    Field {
        key: "api.request_timeout",
        kind: Kind::Duration { min: seconds(1), max: hours(1) },
        default: Default::Is("\"30s\""),
        doc: "Longest time for a request. Streams (logs, events, exec) may take longer.",
        example: "\"30s\"",
    },
    Field {
        key: "api.drain_timeout",
        kind: Kind::Duration { min: seconds(0), max: hours(1) },
        default: Default::Is("\"10s\""),
        doc: "How long requests in progress may go on when the node is told to stop.",
        example: "\"10s\"",
    },
    Field {
        key: "cluster.listen",
        kind: Kind::Addresses { empty: true },
        default: Default::Is("[\"127.0.0.1:9212\", \"[::1]:9212\"]"),
        doc: "Addresses that other nodes are answered at: TLS 1.3, a node certificate of the \
              cluster is required. The default is reachable from this machine only; empty: this \
              node stays alone. Port 0 takes a free port.",
        example: "[\"[::]:9212\"]",
    },
    Field {
        key: "cluster.address",
        kind: Kind::Peer,
        default: Default::Unset,
        doc: "Where other nodes reach this one. Unless it is set: the first of `node.domains`, \
              else of `node.ips` that is not loopback, else of `cluster.listen`, with the port of \
              `cluster.listen`.",
        example: "\"node-1.example.com:9212\"",
    },
    Field {
        key: "cluster.join",
        kind: Kind::Urls,
        default: Default::Is("[]"),
        doc: "Control APIs of members of the cluster to join, tried in this order, port 1443 \
              unless given. A node that is a member already does not join again. Without it, and \
              without `token_file`, a new node begins a cluster of its own.",
        example: "[\"https://node-1.example.com:1443\"]",
    },
    Field {
        key: "cluster.token_file",
        kind: Kind::Path,
        default: Default::Unset,
        doc: "File that holds a join token (`smrctl token create`). A token names the \
              members' addresses, so that `join` may stay empty. Not needed once the node is a \
              member.",
        example: "\"/etc/smr/join-token\"",
    },
    Field {
        key: "cluster.role",
        kind: Kind::Choice(&["voter", "worker"]),
        default: Default::Is("\"voter\""),
        doc: "What the node asks to be when it joins: a voter may be given a vote, a worker never \
              is. A join token may say otherwise.",
        example: "\"worker\"",
    },
    Field {
        key: "cluster.join_timeout",
        kind: Kind::Duration { min: millis(100), max: seconds(3600) },
        default: Default::Is("\"1m\""),
        doc: "How long members that cannot be reached, or have no leader, are tried before joining \
              is given up. Each is asked once at least.",
        example: "\"10m\"",
    },
    Field {
        key: "cluster.heartbeat",
        kind: Kind::Duration { min: millis(20), max: seconds(10) },
        default: Default::Is("\"250ms\""),
        doc: "How often the leader tells the others that it is there. The same on every node.",
        example: "\"250ms\"",
    },
    Field {
        key: "cluster.election_timeout",
        kind: Kind::Duration { min: millis(100), max: seconds(120) },
        default: Default::Is("\"1s\""),
        doc: "Silence of the leader after which another one is elected; each node waits a random \
              time between this and twice this. At least three heartbeats.",
        example: "\"1s\"",
    },
    Field {
        key: "cluster.down_after",
        kind: Kind::Duration { min: seconds(1), max: seconds(600) },
        default: Default::Is("\"5s\""),
        doc: "Silence of a node after which it is down, if a second node cannot reach it either: \
              what ran there is started elsewhere. The leader's value counts, unless the settings \
              of the cluster have one. At least twice `election_timeout`.",
        example: "\"5s\"",
    },
    Field {
        key: "telemetry.listen",
        kind: Kind::Addresses { empty: true },
        default: Default::Is("[]"),
        doc: "Addresses that serve `/metrics`, `/healthz` and `/readyz` over plain HTTP, without \
              certificates. Off unless set; must be loopback unless `allow_remote` is true.",
        example: "[\"127.0.0.1:9443\"]",
    },
    Field {
        key: "telemetry.allow_remote",
        kind: Kind::Bool,
        default: Default::Is("false"),
        doc: "Whether `listen` may be reachable from other machines.",
        example: "true",
    },
    Field {
        key: "telemetry.log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: Default::Is("\"info\""),
        doc: "Least severity that is logged.",
        example: "\"info\"",
    },
    Field {
        key: "telemetry.log_format",
        kind: Kind::Choice(&["text", "json"]),
        default: Default::Is("\"text\""),
        doc: "Lines for people, or one JSON object per line.",
        example: "\"json\"",
    },
    Field {
        key: "data.dir",
        kind: Kind::Path,
        default: Default::Is("\"/var/lib/smr\""),
        doc: "Directory of the store, the keys and the certificates. One node at a time uses it.",
        example: "\"/var/lib/smr\"",
    },
    Field {
        key: "docker.host",
        kind: Kind::Socket,
        default: Default::Is("\"unix:///var/run/docker.sock\""),
        doc: "Socket of the Docker engine.",
        example: "\"unix:///var/run/docker.sock\"",
    },
    Field {
        key: "docker.parallelism",
        kind: Kind::Integer { min: 1, max: 256 },
        default: Default::Is("8"),
        doc: "How many containers are created, started or removed at the same time.",
        example: "8",
    },
    Field {
        key: "docker.request_timeout",
        kind: Kind::Duration { min: seconds(1), max: hours(1) },
        default: Default::Is("\"2m\""),
        doc: "Longest time for a request to the engine. Streams and image pulls may take longer.",
        example: "\"2m\"",
    },
    Field {
        key: "bootstrap.manifests",
        kind: Kind::Path,
        default: Default::Unset,
        doc: "Directory of definitions that is applied at start and kept applied when its files \
              change.",
        example: "\"/etc/smr/manifests\"",
    },
    Field {
        key: "certificates.authority",
        kind: Kind::Duration { min: hours(24), max: hours(24 * 36_500) },
        default: Default::Is("\"3650d\""),
        doc: "The cluster's authority. It is made once; a change does not touch an existing one.",
        example: "\"3650d\"",
    },
    Field {
        key: "certificates.node",
        kind: Kind::Duration { min: hours(1), max: hours(24 * 3650) },
        default: Default::Is("\"90d\""),
        doc: "Certificates of nodes. Not longer than the authority's.",
        example: "\"90d\"",
    },
    Field {
        key: "certificates.user",
        kind: Kind::Duration { min: hours(1), max: hours(24 * 3650) },
        default: Default::Is("\"365d\""),
        doc: "Certificates of users. Not longer than the authority's.",
        example: "\"365d\"",
    },
    Field {
        key: "store.snapshot_every",
        kind: Kind::Integer { min: 100, max: 10_000_000 },
        default: Default::Is("10000"),
        doc: "Log entries between two snapshots. Fewer: faster start, more writing.",
        example: "10000",
    },
    Field {
        key: "store.keep_revisions",
        kind: Kind::Integer { min: 100, max: 10_000_000 },
        default: Default::Is("10000"),
        doc: "Revisions that stay readable, so that watches and event streams can resume.",
        example: "10000",
    },
    Field {
        key: "contexts.dir",
        kind: Kind::Path,
        default: Default::ContextsDir,
        doc: "Directory the admin context is written to (mode 0600) when the node starts.",
        example: "\"/root/.smrctl/contexts\"",
    },
];

/// The field of a key.
pub(crate) fn find(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

/// Whether a key is a table.
pub(crate) fn is_section(key: &str) -> bool {
    SECTIONS.iter().any(|section| section.key == key)
}

/// The last parts of all keys and tables directly in `table`; the tables of the file for `""`.
pub(crate) fn children(table: &str) -> Vec<&'static str> {
    let keys = FIELDS.iter().map(|field| field.key);
    let tables = SECTIONS.iter().map(|section| section.key);
    let mut names: Vec<&str> = keys
        .chain(tables)
        .filter_map(|key| match key.rsplit_once('.') {
            Some((parent, name)) => (parent == table).then_some(name),
            None => table.is_empty().then_some(key),
        })
        .collect();
    names.sort_unstable();
    names
}
