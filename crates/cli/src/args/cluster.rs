//! Arguments about the cluster: nodes, the lead, settings, join tokens.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use smr_model::NodeRole;

use super::{Data, OutputArg};
use crate::{complete, settings::Seconds};

/// Arguments of `node`; without a command, nodes are listed.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  smrctl node ls
  smrctl node drain node-2 --wait      # what runs there goes elsewhere
  smrctl node label node-2 disk=ssd zone-
  smrctl node rm node-2                # for good; `--force` when it still answers"
)]
pub(crate) struct NodeArgs {
    #[command(subcommand)]
    pub command: Option<NodesCommand>,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Commands of `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodesCommand {
    /// List nodes; the leader is marked
    #[command(visible_alias = "list")]
    Ls(OutputArg),
    /// Show everything known about a node
    #[command(visible_alias = "describe")]
    Inspect(NodeInspectArgs),
    /// Let a node have a vote
    Promote(NodeArg),
    /// Take a node's vote; it keeps its copy and its containers
    Demote(NodeArg),
    /// Move everything away from a node, and place nothing new on it
    Drain(NodeDrainArgs),
    /// Place nothing new on a node; what is there stays
    Pause(NodeArg),
    /// Place on a node again, after `drain` or `pause`
    Activate(NodeArg),
    /// Change the labels of a node
    Label(NodeLabelArgs),
    /// Remove a node from the cluster for good
    #[command(visible_alias = "remove")]
    Rm(NodeRmArgs),
}

/// A node by name or id.
#[derive(Debug, Args)]
pub(crate) struct NodeArg {
    /// Name or id of the node
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: String,
}

/// Arguments of `node inspect`.
#[derive(Debug, Args)]
pub(crate) struct NodeInspectArgs {
    #[command(flatten)]
    pub node: NodeArg,
    /// Shape of the output
    #[arg(short, long, alias = "o", value_enum, default_value = "json", value_name = "FORMAT")]
    pub output: Data,
}

/// Arguments of `node drain`.
#[derive(Debug, Args)]
pub(crate) struct NodeDrainArgs {
    #[command(flatten)]
    pub node: NodeArg,
    /// Wait until nothing of it runs there any more
    #[arg(long, short)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", default_value = "6m", requires = "wait")]
    pub timeout: Seconds,
}

/// Arguments of `node label`.
#[derive(Debug, Args)]
pub(crate) struct NodeLabelArgs {
    #[command(flatten)]
    pub node: NodeArg,
    /// `KEY=VALUE` to set a label, `KEY-` to take one away
    #[arg(value_name = "KEY=VALUE|KEY-", required = true)]
    pub changes: Vec<String>,
}

/// Arguments of `node rm`.
#[derive(Debug, Args)]
pub(crate) struct NodeRmArgs {
    #[command(flatten)]
    pub node: NodeArg,
    /// Also a node that answers
    #[arg(long, short)]
    pub force: bool,
}

/// Commands of `cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show members, votes and the leader
    Status(OutputArg),
    /// Print the node that leads
    Leader(OutputArg),
    /// Hand the lead to another voter
    Transfer(TransferArgs),
    /// Show or change settings of the whole cluster
    #[command(after_help = "\
Examples:
  smrctl cluster settings
  smrctl cluster settings voters=3 rebalance=on-join
  smrctl cluster settings down_after=10s       # `default`: what the leader's configuration says

Settings: voters (odd, 1 to 9), rebalance (off, on-join, continuous), moves_per_minute (1 to 1000),
down_after (1s to 10m, or default)")]
    Settings(SettingsArgs),
}

/// Arguments of `cluster transfer`.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// Name or id of a voter; the most up to date one when not given
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub node: Option<String>,
}

/// Arguments of `cluster settings`.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Settings to change
    #[arg(value_name = "KEY=VALUE")]
    pub changes: Vec<String>,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Commands of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that lets other machines join
    #[command(after_help = "\
Examples:
  smrctl token create                                       # one node, within an hour
  smrctl token create --role worker --uses 10 --ttl 1d
  smrctl token create --quiet | ssh node-2 smr start --token-file - --domain node-2.example.com \\
    --listen 0.0.0.0:1443 --cluster-listen 0.0.0.0:9212

The token is a secret: hand it over in a file, by standard input, or in SMR_JOIN_TOKEN, never as an
argument.")]
    Create(TokenCreateArgs),
    /// List tokens, without their secrets
    #[command(visible_alias = "list")]
    Ls(OutputArg),
    /// Delete a token: it lets nobody in any more
    #[command(visible_alias = "remove")]
    Rm(TokenRmArgs),
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreateArgs {
    /// What nodes that join with it become
    #[arg(long, value_enum, value_name = "ROLE", default_value = "voter")]
    pub role: RoleArg,
    /// How many nodes may join with it
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub uses: u32,
    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub ttl: Seconds,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// Where the other machine reaches the control API; may be repeated; the addresses of all
    /// ready nodes when not given
    #[arg(long = "endpoint", value_name = "URL")]
    pub endpoints: Vec<String>,
    /// Print the token only
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `token rm`.
#[derive(Debug, Args)]
pub(crate) struct TokenRmArgs {
    /// Id of the token, as `token ls` shows it
    #[arg(value_name = "ID")]
    pub id: String,
}

/// What a node may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// It may be given a vote
    Voter,
    /// It never votes
    Worker,
}

impl From<RoleArg> for NodeRole {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Voter => Self::Voter,
            RoleArg::Worker => Self::Worker,
        }
    }
}
