//! Arguments of `agent`: the node of this machine as a member of a cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigArg, EventsArgs, ImportArgs};
use crate::settings::Seconds;

/// Commands of `agent`.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Print the context of this machine's node encrypted, and the key, on one line
    Export(AgentExportArgs),
    /// Add an exported context and make it the active one, for `smrmgr start -j`
    Import(AgentImportArgs),
    /// Print the address of the cluster that `smrmgr start -j` would join
    Peer(LocalNodeArgs),
    /// Follow events, or wait for one; `cluster_started` and `drain_success` are of this node
    Events(AgentEventsArgs),
    /// Move everything away from this machine's node
    Drain(AgentDrainArgs),
    /// Drain this machine's node, restart it, and let it work again
    Restart(AgentDrainArgs),
    /// Run another version of the program; containers go on running
    Upgrade(AgentUpgradeArgs),
}

/// Arguments of `agent events`.
#[derive(Debug, Args)]
pub(crate) struct AgentEventsArgs {
    #[command(flatten)]
    pub events: EventsArgs,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// Which node, and where its data is.
#[derive(Debug, Args)]
pub(crate) struct LocalNodeArgs {
    /// Name of the node; what its data says when not given
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// Arguments of `agent export`.
#[derive(Debug, Args)]
pub(crate) struct AgentExportArgs {
    /// Address others reach the node at, when it is not the context's own
    #[arg(long, value_name = "HOST:PORT")]
    pub api: Option<String>,
    #[command(flatten)]
    pub local: LocalNodeArgs,
}

/// Arguments of `agent import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smr agent import CONTEXT KEY             # as `smrctl context export --api HOST:PORT` printed them
  smr agent import CONTEXT < key
  smrmgr start -d node-2.example.com -j    # joins the cluster of the imported context")]
pub(crate) struct AgentImportArgs {
    #[command(flatten)]
    pub import: ImportArgs,
    /// Accepted for scripts written for other versions
    #[arg(long, value_name = "NODE", hide = true)]
    pub node: Option<String>,
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `agent drain` and `agent restart`.
#[derive(Debug, Args)]
pub(crate) struct AgentDrainArgs {
    #[command(flatten)]
    pub local: LocalNodeArgs,
    /// Wait until nothing of it runs there any more
    #[arg(long, short)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", default_value = "6m")]
    pub timeout: Seconds,
}

/// Arguments of `agent upgrade`.
#[derive(Debug, Args)]
pub(crate) struct AgentUpgradeArgs {
    /// The new program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Accepted for scripts written for other versions
    #[arg(value_name = "TAG", hide = true)]
    pub tag: Option<String>,
    #[command(flatten)]
    pub local: LocalNodeArgs,
    /// Longest time for the node to stop, and to work again
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub timeout: Seconds,
}

/// Arguments of `upgrade`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smr upgrade ./smr-0.2.0            # on each node, one after the other

The program is tried, put in the place of the running one, and the node is restarted; containers go
on running. If the node does not work with it in time, the former program is put back. The former
one is kept beside it as NAME.before.")]
pub(crate) struct UpgradeArgs {
    /// The new program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Longest time for the node to stop, and to work again
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub timeout: Seconds,
}
