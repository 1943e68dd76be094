//! Commands that talk to a cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use smr_model::{Kind, ObjectRef};

use super::{
    CertCommand, ClusterCommand, ContextArgs, NodeArgs, OutputArg, PlanArgs, ReplicaArg,
    ResourceArg, RolloutCommand, TokenCommand,
};
use crate::{complete, settings::Seconds};

/// Commands that talk to a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Create or change objects
    Apply(ApplyArgs),
    /// Delete objects, and their containers
    #[command(visible_alias = "delete")]
    Remove(RemoveArgs),
    /// Show what `apply` would change
    Diff(DiffArgs),
    /// Render a pack or file without applying it
    Template(TemplateArgs),
    /// Show where replicas would go, without applying
    Plan(PlanArgs),
    /// Show, stop and take back changes on their way
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Show replicas and their states
    Ps(PsArgs),
    /// Show replicas, their images, or restart one
    Containers(ContainersArgs),
    /// List the objects of a kind
    List(ListArgs),
    /// Show the definition of an object
    Get(GetArgs),
    /// Show everything known about a replica or object
    #[command(visible_alias = "describe")]
    Inspect(InspectArgs),
    /// Change an object in an editor
    Edit(EditArgs),
    /// Restart a replica, or all replicas of an object
    Restart(ReplicaArg),
    /// Show the log of a container
    Logs(LogsArgs),
    /// Show what the node did about a replica
    Debug(DebugArgs),
    /// Run a command in a container
    Exec(ExecArgs),
    /// Follow events, or wait for one
    Events(EventsArgs),
    /// Show and manage contexts: clusters and credentials
    Context(ContextArgs),
    /// Show the images of replicas
    Images(OutputArg),
    /// Show and change nodes
    Node(NodeArgs),
    /// List nodes, as `node ls` does
    Nodes(NodesArgs),
    /// Show members and settings of the cluster, hand over the lead
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Let other machines join
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show and revoke certificates, replace the authority
    #[command(subcommand)]
    Cert(CertCommand),
    /// Show whether the node and its parts work
    Health(OutputArg),
    /// Explain the fields of a kind, or where replicas are and why
    Explain(ExplainArgs),
    /// Print the JSON Schema of definitions, for editors
    Schema,
    /// Show versions of client and node
    Version(VersionArgs),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
}

/// Where definitions come from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// File, directory, pack, http(s) URL, or `-` for standard input
    #[arg(value_name = "SOURCE", required = true, value_hint = clap::ValueHint::AnyPath)]
    pub sources: Vec<String>,
    /// Set a pack variable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Check and compare only; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until all replicas are ready
    #[arg(long, short)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", requires = "wait")]
    pub timeout: Seconds,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Resource, file, directory, pack, http(s) URL, or `-` for standard input
    #[arg(value_name = "SOURCE", required = true, add = ArgValueCompleter::new(complete::sources))]
    pub sources: Vec<String>,
    /// Set a pack variable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Wait until all their containers are gone
    #[arg(long, short)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", default_value = "5m", requires = "wait")]
    pub timeout: Seconds,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// End with exit code 1 if anything would change
    #[arg(long)]
    pub exit_code: bool,
}

/// Arguments of `template`.
#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Kind of object
    #[arg(default_value = "containers", value_name = "KIND",
          add = ArgValueCompleter::new(complete::kinds))]
    pub kind: Kind,
    #[command(flatten)]
    pub view: ReplicaView,
}

/// How to show replicas.
#[derive(Debug, Args)]
pub(crate) struct ReplicaView {
    #[command(flatten)]
    pub output: OutputArg,
    /// Show again whenever something changes
    #[arg(long, short)]
    pub watch: bool,
}

/// Arguments of `containers`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ContainersArgs {
    #[command(subcommand)]
    pub command: Option<ContainersCommand>,
    #[command(flatten)]
    pub view: ReplicaView,
}

/// Commands of `containers`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainersCommand {
    /// Show the images of replicas
    Images(OutputArg),
    /// Restart a replica, or all replicas of an object
    Restart(ReplicaArg),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Kind of object; all when not given
    #[arg(value_name = "KIND", add = ArgValueCompleter::new(complete::kinds))]
    pub kind: Option<Kind>,
    /// Only objects with these labels, such as `a=b,c!=d,e,!f`
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Only objects of this prefix, such as `traefik.io/v1`
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub resource: ResourceArg,
    /// Show confidential values (administrators only)
    #[arg(long)]
    pub reveal: bool,
    /// Shape of the output
    #[arg(short, long, alias = "o", value_enum, default_value = "json", value_name = "FORMAT")]
    pub output: Data,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Replica as `ps` shows it, or its last part only; or KIND/GROUP/NAME
    #[arg(value_name = "RESOURCE", value_parser = super::replica,
          add = ArgValueCompleter::new(complete::resources))]
    pub resource: ObjectRef,
    /// Show confidential values (administrators only)
    #[arg(long)]
    pub reveal: bool,
    /// Shape of the output
    #[arg(short, long, alias = "o", value_enum, default_value = "json", value_name = "FORMAT")]
    pub output: Data,
}

/// Shape of a single object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Its name
    Name,
}

/// Arguments of `edit`.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub resource: ResourceArg,
}

/// Which container of a replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The container itself
    #[default]
    Main,
    /// Its init container
    Init,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub replica: ReplicaArg,
    /// Go on with what is written from now on
    #[arg(short, long, alias = "f")]
    pub follow: bool,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "LINES")]
    pub tail: Option<u64>,
    /// Only what was written after: `10m`, or `2026-01-31T10:00:00Z`
    #[arg(long, value_name = "TIME")]
    pub since: Option<crate::settings::Since>,
    /// Begin lines with their time
    #[arg(long, short)]
    pub timestamps: bool,
    /// Which container
    #[arg(long, value_enum, default_value_t, value_name = "CONTAINER")]
    pub container: Part,
}

/// Arguments of `debug`.
#[derive(Debug, Args)]
pub(crate) struct DebugArgs {
    #[command(flatten)]
    pub replica: ReplicaArg,
    /// Go on with what happens from now on
    #[arg(short, long, alias = "f")]
    pub follow: bool,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "LINES")]
    pub tail: Option<u64>,
    /// Which container
    #[arg(long, value_enum, default_value_t, value_name = "CONTAINER")]
    pub container: Part,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub replica: ReplicaArg,
    /// Command in one text, split as a shell does
    #[arg(short, long = "command", alias = "c", value_name = "COMMAND", conflicts_with = "words")]
    pub command: Option<String>,
    /// With input, and with a terminal if this is one
    #[arg(short = 'i', long = "it", visible_alias = "interactive")]
    pub interactive: bool,
    /// With a terminal; `-it` gives input and a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Run as this user
    #[arg(short, long, value_name = "USER", default_value = "", hide_default_value = true)]
    pub user: String,
    /// Command and arguments; `/bin/sh` when not given (on a terminal as with `-it`)
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub words: Vec<String>,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Wait for an event of this type, or return at once if the state already holds
    #[arg(long, value_name = "TYPE")]
    pub wait: Option<String>,
    /// Only events of this resource
    #[arg(long, value_name = "RESOURCE", add = ArgValueCompleter::new(complete::replicas))]
    pub resource: Option<ObjectRef>,
    /// Longest time to wait; no limit when not given
    #[arg(long, value_name = "DURATION", requires = "wait")]
    pub timeout: Option<Seconds>,
    /// Begin with events at or after this revision
    #[arg(long, value_name = "REVISION")]
    pub from: Option<u64>,
    /// Show past events and end
    #[arg(long, conflicts_with = "wait")]
    pub past: bool,
    /// Node that `cluster_started` and `drain_success` are waited for; the one that answers, and
    /// any, when not given
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<String>,
    /// Shape of the output: lines of JSON after `event: ` (table), or lines of JSON
    #[arg(short, long, alias = "o", value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: EventOutput,
}

/// Shape of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventOutput {
    /// `event: ` and JSON
    Table,
    /// Lines of JSON
    Json,
    /// Time, type, resource and message
    Wide,
}

/// Arguments of `nodes`.
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    /// `ls`, which is also the default
    #[arg(value_parser = ["ls", "list"], hide = true)]
    pub action: Option<String>,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrctl explain containers.spec.ports            # a field
  smrctl explain containers/shop/web              # where its replicas are, and why
  smrctl explain containers/shop/shop-web-2       # one of them")]
pub(crate) struct ExplainArgs {
    /// Kind, and field below it: `containers.spec.ports`; or an object or replica
    #[arg(value_name = "KIND[.FIELD]|RESOURCE", add = ArgValueCompleter::new(complete::explained))]
    pub path: String,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Only the version of this program
    #[arg(long)]
    pub client: bool,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Directory the reference is written to
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Write nothing; fail if a file is not as it would be written
    #[arg(long)]
    pub check: bool,
}
