//! Commands of `smrmgr`, in their old and newer spellings.

use clap::{Args, Subcommand};

use super::{AgentImportArgs, StopArgs};
use crate::settings::Seconds;

/// Commands of `smrmgr`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManagerCommand {
    /// Start the node of this machine and wait until it is ready
    Start(ManagerStartArgs),
    /// Move everything away from the node of this machine, and stop it
    Stop(ManagerStopArgs),
    /// Stop and start the node of this machine; its containers go on running
    Restart(ManagerStartArgs),
    /// Wait until the node of this machine is ready
    Wait(ManagerWaitArgs),
    /// Print the active context encrypted, and the key, on one line
    Export(ManagerExportArgs),
    /// Add an exported context and make it the active one
    Import(AgentImportArgs),
    /// Not needed: `smr` is one file
    #[command(hide = true)]
    Install(Ignored),
    /// Not needed: replace the file and restart
    #[command(hide = true)]
    Upgrade(Ignored),
    /// Not needed: use the systemd unit
    #[command(hide = true, name = "service-install")]
    ServiceInstall(Ignored),
    /// Not needed: use the systemd unit
    #[command(hide = true, name = "service-start")]
    ServiceStart(Ignored),
    /// Not needed: use the systemd unit
    #[command(hide = true, name = "service-stop")]
    ServiceStop(Ignored),
}

/// Anything.
#[derive(Debug, Args)]
pub(crate) struct Ignored {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub arguments: Vec<String>,
}

/// Arguments of `smrmgr start`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrmgr start -d node-1.example.com                    # others can join at this name
  smrmgr start -d node-2.example.com -j                 # joins the cluster of the active context
  smrmgr start -d node-2.example.com -j -p https://node-1.example.com:1443
  smrmgr start -c \"--port.control 127.0.0.1:1443 --port.overlay 127.0.0.1:9212\"

A node without a name is called by the first label of its domain.")]
pub(crate) struct ManagerStartArgs {
    /// Name of the node
    #[arg(short, long, value_name = "NAME", env = "NODE_NAME", hide_env = true)]
    pub name: Option<String>,
    /// DNS name the node is reached at
    #[arg(short, long, value_name = "DOMAIN", env = "DOMAIN", hide_env = true)]
    pub domain: Option<String>,
    /// Address the node is reached at; any other text is the name of the node
    #[arg(short, long, value_name = "IP|NAME", env = "IP_ADDRESS", hide_env = true)]
    pub address: Option<String>,
    /// Address the control API listens on
    #[arg(short, long, value_name = "IP:PORT")]
    pub endpoint: Option<String>,
    /// Flags in one text: `--port.control 127.0.0.1:1443`
    #[arg(
        short,
        long,
        value_name = "FLAGS",
        allow_hyphen_values = true,
        env = "CLIENT_ARGS",
        hide_env = true
    )]
    pub client_args: Option<String>,
    /// Join a cluster: the one at this address, at that of `-p`, or that of the active context
    #[arg(short, long, value_name = "HOST:PORT", num_args = 0..=1, default_missing_value = "",
          env = "JOIN_CLUSTER", hide_env = true)]
    pub join: Option<String>,
    /// Control API of the cluster to join; a number is the port for other nodes
    #[arg(short, long, value_name = "URL", env = "PEER_ADDRESS", hide_env = true)]
    pub peer: Option<String>,
    /// File with a join token; or the variable SMR_JOIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<std::path::PathBuf>,
    /// More flags in one text, in old scripts
    #[arg(
        short = 'x',
        long = "extra",
        value_name = "FLAGS",
        allow_hyphen_values = true,
        hide = true
    )]
    pub extra: Option<String>,
    /// Accepted for scripts written for other versions
    #[arg(short, long, value_name = "IMAGE", hide = true)]
    pub image: Option<String>,
    /// Accepted for scripts written for other versions
    #[arg(short, long, value_name = "TAG", hide = true)]
    pub tag: Option<String>,
    /// Accepted for scripts written for other versions
    #[arg(short, long, value_name = "MODE", hide = true)]
    pub mode: Option<String>,
    /// Configuration; /etc/smr/smr.toml if that exists, else the defaults
    #[arg(long, value_name = "FILE", env = "SMR_CONFIG", hide_env = true)]
    pub config: Option<std::path::PathBuf>,
    /// Any key of the configuration, such as `data.dir=/srv/smr`
    #[arg(long, value_name = "KEY=VALUE")]
    pub option: Vec<String>,
    /// Longest time to wait until it is ready
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub timeout: Seconds,
    /// Accepted for scripts written for other versions
    #[arg(short, long = "yes", hide = true)]
    pub yes: bool,
}

/// Arguments of `smrmgr stop`.
#[derive(Debug, Args)]
pub(crate) struct ManagerStopArgs {
    #[command(flatten)]
    pub stop: StopArgs,
    /// At once: what runs on it goes on running there, without it
    #[arg(long)]
    pub now: bool,
    /// Longest time to wait until everything is elsewhere
    #[arg(long, value_name = "DURATION", default_value = "6m", conflicts_with = "now")]
    pub drain_timeout: Seconds,
}

/// Arguments of `smrmgr wait`.
#[derive(Debug, Args)]
pub(crate) struct ManagerWaitArgs {
    /// Longest time to wait until it is ready
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub timeout: Seconds,
}

/// Arguments of `smrmgr export`.
#[derive(Debug, Args)]
pub(crate) struct ManagerExportArgs {
    /// Address others reach the cluster at, when it is not the context's own
    #[arg(value_name = "URL")]
    pub api: Option<String>,
}
