//! The typed configuration.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    ConfigErrors, Problem, cross, parse,
    setting::{Origin, Settings},
};

/// Where the file is unless said otherwise.
pub const DEFAULT_PATH: &str = "/etc/smr/smr.toml";

/// A file longer than this is not a configuration.
const MAX_FILE: u64 = 1 << 20;

/// What some defaults depend on; given by the caller, because nothing is looked up here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The machine's host name; its first label is the default of `node.name`.
    pub hostname: String,
    /// Home directory of the user running; the default of `contexts.dir` is below it.
    pub home: PathBuf,
}

/// A key set outside the file, by a flag or an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Dotted key, such as `api.listen`.
    pub key: String,
    /// The value as text. Lists are separated by commas or written as in TOML; `node.labels` is
    /// `name=value,name=value`.
    pub value: String,
    /// What the user typed, shown in errors instead of file and line: `--listen`, `SMR_LISTEN`.
    pub origin: String,
}

/// The whole configuration of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[api]`
    pub api: Api,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[data]`
    pub data: Data,
    /// `[docker]`
    pub docker: Docker,
    /// `[bootstrap]`
    pub bootstrap: Bootstrap,
    /// `[certificates]`
    pub certificates: Certificates,
    /// `[store]`
    pub store: Store,
    /// `[contexts]`
    pub contexts: Contexts,
    pub(crate) settings: Settings,
}

/// `[node]`: who this node is.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Name in the cluster, a DNS label.
    pub name: String,
    /// Whether the name was set. A node that joins without one is named by the cluster.
    pub is_named: bool,
    /// Number in the cluster; chosen when the node is made unless set.
    pub id: Option<u64>,
    /// DNS names it is reached at, in its certificate.
    pub domains: Vec<String>,
    /// Addresses it is reached at, in its certificate.
    pub ips: Vec<IpAddr>,
    /// Labels for placement.
    pub labels: BTreeMap<String, String>,
    /// What containers do not get.
    pub reserved: Reserved,
}

/// `[node.reserved]`: kept free for the machine itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reserved {
    /// Processors.
    pub cpu: f64,
    /// Bytes of memory.
    pub memory: u64,
}

/// `[api]`: the control API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Addresses it listens on; at least one.
    pub listen: Vec<SocketAddr>,
    /// Longest request body, bytes.
    pub body_limit: u64,
    /// Longest time for a request that is not a stream.
    pub request_timeout: Duration,
    /// How long requests in progress may go on when the node stops.
    pub drain_timeout: Duration,
}

/// `[cluster]`: the other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Addresses other nodes are answered at; none: this node stays alone.
    pub listen: Vec<SocketAddr>,
    /// Where other nodes reach this one, `host:port`; empty if it listens nowhere. Port 0 stands
    /// for the port that is bound, see [`Cluster::address_with`].
    pub address: String,
    /// Control APIs of members of the cluster to join, `https://host:port`.
    pub join: Vec<String>,
    /// File with a join token.
    pub token_file: Option<PathBuf>,
    /// What the node asks to be when it joins.
    pub role: NodeRole,
    /// How long members that do not answer are tried before joining is given up.
    pub join_timeout: Duration,
    /// Time between two signs of life of the leader.
    pub heartbeat: Duration,
    /// Least silence of the leader before an election; the most is twice that.
    pub election_timeout: Duration,
    /// Silence after which a node is down.
    pub down_after: Duration,
}

impl Cluster {
    /// [`Cluster::address`] with `bound` in the place of port 0.
    pub fn address_with(&self, bound: u16) -> String {
        match self.address.rsplit_once(':') {
            Some((host, "0")) => format!("{host}:{bound}"),
            _ => self.address.clone(),
        }
    }

    /// Whether a new node is to become a member of a cluster that is there.
    pub fn joins(&self) -> bool {
        !self.join.is_empty() || self.token_file.is_some()
    }
}

/// `cluster.role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeRole {
    /// It may be given a vote.
    Voter,
    /// It never votes.
    Worker,
}

impl NodeRole {
    /// The word, as in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Worker => "worker",
        }
    }
}

/// `[telemetry]`: metrics, health, logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// Addresses of `/metrics`, `/healthz`, `/readyz` without TLS; none: off.
    pub listen: Vec<SocketAddr>,
    /// Whether `listen` may be other than loopback.
    pub allow_remote: bool,
    /// Least severity that is logged.
    pub log_level: LogLevel,
    /// Shape of log lines.
    pub log_format: LogFormat,
}

/// `telemetry.log_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what may need a look.
    Warn,
    /// And what happens.
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word, as in the file and in log filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `telemetry.log_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[data]`: what the node keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Directory of the store, keys and certificates.
    pub dir: PathBuf,
}

/// `[docker]`: the container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// `unix://` and the path of the socket.
    pub host: String,
    /// Container operations at the same time.
    pub parallelism: usize,
    /// Longest time for a request to the engine that is not a stream or a pull.
    pub request_timeout: Duration,
}

impl Docker {
    /// The path of the socket.
    pub fn socket(&self) -> &Path {
        Path::new(self.host.strip_prefix("unix://").unwrap_or(&self.host))
    }
}

/// `[bootstrap]`: what is applied at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// Directory of definitions that is applied and kept applied.
    pub manifests: Option<PathBuf>,
}

/// `[certificates]`: how long new certificates live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The cluster's authority.
    pub authority: Duration,
    /// Nodes.
    pub node: Duration,
    /// Users.
    pub user: Duration,
}

/// `[store]`: history and snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Log entries between two snapshots.
    pub snapshot_every: u64,
    /// Revisions kept for watches that resume.
    pub keep_revisions: u64,
}

/// `[contexts]`: the context for the command line on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contexts {
    /// Directory the local admin context is written to.
    pub dir: PathBuf,
}

impl Config {
    /// What an empty file means on `host`: a node that is reachable from this machine only.
    pub fn defaults(host: &Host) -> Self {
        Self::from_settings(Settings::defaults(host))
    }

    /// Parses `text`, which came from `file_name`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in order of position.
    pub fn parse(text: &str, file_name: &str, host: &Host) -> Result<Self, ConfigErrors> {
        let mut settings = Settings::defaults(host);
        parse::file(text, file_name, &mut settings)?;
        Ok(Self::from_settings(settings))
    }

    /// Reads and parses a file; the only function of this crate that touches the file system.
    ///
    /// # Errors
    /// Those of [`Config::parse`], or one problem naming the path and why it cannot be read; see
    /// [`ConfigErrors::is_missing_file`].
    pub fn load(path: &Path, host: &Host) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let unreadable = |err: std::io::Error| ConfigErrors::unreadable(&name, &err);
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(
                Problem::new(&name, "is longer than 1 MiB; this is not a configuration").into()
            );
        }
        let text = String::from_utf8(bytes).map_err(|err| {
            let at = err.utf8_error().valid_up_to();
            let line = err.as_bytes()[..at].split(|b| *b == b'\n').count();
            Problem::new(&name, format!("is not UTF-8 text (line {line})"))
        })?;
        Self::parse(&text, &name, host)
    }

    /// The configuration with some keys replaced, under the same checks as in the file. Of two
    /// overrides of a key the later one counts.
    ///
    /// # Errors
    /// Everything that is wrong with the overrides, or with them and the file together.
    pub fn override_with(self, overrides: &[Override]) -> Result<Self, ConfigErrors> {
        let mut settings = self.settings;
        parse::overrides(overrides, &mut settings)?;
        Ok(Self::from_settings(settings))
    }

    fn from_settings(settings: Settings) -> Self {
        let s = &settings;
        let number = |key| s.integer(key).unwrap_or_default().unsigned_abs();
        Self {
            node: Node {
                name: s.text("node.name").to_owned(),
                is_named: s.get("node.name").is_some_and(|name| name.origin != Origin::Default),
                id: s.integer("node.id").map(i64::unsigned_abs),
                domains: s.texts("node.domains").to_vec(),
                ips: s.texts("node.ips").iter().filter_map(|ip| ip.parse().ok()).collect(),
                labels: s.map("node.labels").clone(),
                reserved: Reserved {
                    cpu: s.number("node.reserved.cpu"),
                    memory: s.size("node.reserved.memory"),
                },
            },
            api: Api {
                listen: s.addresses("api.listen").to_vec(),
                body_limit: s.size("api.body_limit"),
                request_timeout: s.duration("api.request_timeout"),
                drain_timeout: s.duration("api.drain_timeout"),
            },
            cluster: Cluster {
                listen: s.addresses("cluster.listen").to_vec(),
                address: cross::peer_address(s).unwrap_or_default(),
                join: s.texts("cluster.join").to_vec(),
                token_file: s.optional_text("cluster.token_file").map(PathBuf::from),
                role: match s.text("cluster.role") {
                    "worker" => NodeRole::Worker,
                    _ => NodeRole::Voter,
                },
                join_timeout: s.duration("cluster.join_timeout"),
                heartbeat: s.duration("cluster.heartbeat"),
                election_timeout: s.duration("cluster.election_timeout"),
                down_after: s.duration("cluster.down_after"),
            },
            telemetry: Telemetry {
                listen: s.addresses("telemetry.listen").to_vec(),
                allow_remote: s.bool("telemetry.allow_remote"),
                log_level: match s.text("telemetry.log_level") {
                    "error" => LogLevel::Error,
                    "warn" => LogLevel::Warn,
                    "debug" => LogLevel::Debug,
                    "trace" => LogLevel::Trace,
                    _ => LogLevel::Info,
                },
                log_format: match s.text("telemetry.log_format") {
                    "json" => LogFormat::Json,
                    _ => LogFormat::Text,
                },
            },
            data: Data { dir: s.text("data.dir").into() },
            docker: Docker {
                host: s.text("docker.host").to_owned(),
                parallelism: number("docker.parallelism") as usize,
                request_timeout: s.duration("docker.request_timeout"),
            },
            bootstrap: Bootstrap {
                manifests: s.optional_text("bootstrap.manifests").map(PathBuf::from),
            },
            certificates: Certificates {
                authority: s.duration("certificates.authority"),
                node: s.duration("certificates.node"),
                user: s.duration("certificates.user"),
            },
            store: Store {
                snapshot_every: number("store.snapshot_every"),
                keep_revisions: number("store.keep_revisions"),
            },
            contexts: Contexts { dir: s.text("contexts.dir").into() },
            settings,
        }
    }
}
