//! Commands that concern the node of this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AgentCommand, GenerateArgs, OutputArg, RoleArg, UpgradeArgs, UserCommand};
use crate::settings::Seconds;

/// Commands that concern the node of this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Run a node until it is stopped
    Start(StartArgs),
    /// Stop the node of this machine; its containers go on running
    Stop(StopArgs),
    /// Show whether the node of this machine works
    Status(StatusArgs),
    /// The node of this machine as a member of its cluster
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Run another version of the program; containers go on running
    Upgrade(UpgradeArgs),
    /// Write, check and show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Issue certificates to users
    #[command(subcommand)]
    User(UserCommand),
    /// Make, check and restore backups
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Go on with this node alone when the others are lost for good
    Recover(RecoverArgs),
    /// Write man pages and the command reference
    #[command(hide = true)]
    Generate(GenerateArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigArg {
    /// Configuration; /etc/smr/smr.toml if that exists, else the defaults
    #[arg(long, value_name = "FILE", env = "SMR_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
}

/// Keys of the configuration that have flags.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Instead of what the configuration says")]
pub(crate) struct OverrideArgs {
    /// Name of the node
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// DNS name the node is reached at; may be repeated
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub domains: Vec<String>,
    /// Address the node is reached at; may be repeated
    #[arg(long = "ip", value_name = "IP")]
    pub ips: Vec<String>,
    /// Address the control API listens on; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Vec<String>,
    /// Control API of a member of the cluster to join; may be repeated
    #[arg(long, value_name = "URL")]
    pub join: Vec<String>,
    /// File with a join token, `-` for standard input; or the variable SMR_JOIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What to be when joining
    #[arg(long, value_enum, value_name = "ROLE")]
    pub role: Option<RoleArg>,
    /// Address other nodes are answered at; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    pub cluster_listen: Vec<String>,
    /// Where other nodes reach this one
    #[arg(long, value_name = "HOST:PORT")]
    pub cluster_address: Option<String>,
    /// Directory of the node's data
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Docker's socket
    #[arg(long, value_name = "unix://PATH")]
    pub docker: Option<String>,
    /// Directory of definitions that is kept applied
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<String>,
    /// Any other key, such as `telemetry.log_level=debug`
    #[arg(long, value_name = "KEY=VALUE")]
    pub option: Vec<String>,
}

/// Arguments of `start`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smr start                                    # a cluster of one node, for this machine only
  smr start --domain node-1.example.com --listen 0.0.0.0:1443 --cluster-listen 0.0.0.0:9212
  smr start --token-file join-token --domain node-2.example.com --listen 0.0.0.0:1443 \\
    --cluster-listen 0.0.0.0:9212              # `smrctl token create` makes the token")]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    #[command(flatten)]
    pub overrides: OverrideArgs,
    /// In a session of its own, for those that start a node and leave
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Longest time to wait for its end
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub timeout: Seconds,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Commands of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a configuration with every key explained
    Init(ConfigInitArgs),
    /// Report every mistake in a configuration
    Check(ConfigFileArgs),
    /// Show the configuration in effect
    Show(ConfigShowArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Arguments of `config init`.
#[derive(Debug, Args)]
pub(crate) struct ConfigInitArgs {
    /// File to write; `-` for standard output
    #[arg(value_name = "FILE", default_value = smr_config::DEFAULT_PATH)]
    pub file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// A configuration by name.
#[derive(Debug, Args)]
pub(crate) struct ConfigFileArgs {
    /// File to check; /etc/smr/smr.toml when none is named
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The same, as other commands take it
    #[arg(long, value_name = "FILE", env = "SMR_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigShowArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Every key, those that are not set too
    #[arg(long)]
    pub defaults: bool,
}

/// Commands of `backup`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Write a backup of the running cluster's state to a file
    Create(BackupCreateArgs),
    /// Make a stopped node's state that of a backup
    Restore(BackupRestoreArgs),
    /// Check a backup and show what it holds
    Verify(BackupVerifyArgs),
}

/// Where the passphrase of a backup is: never in an argument, which others can see.
#[derive(Debug, Args)]
pub(crate) struct PassphraseArg {
    /// File with the passphrase in its first line, `-` for standard input; asked for on a terminal
    #[arg(long, value_name = "FILE", env = "SMR_BACKUP_PASSPHRASE_FILE", hide_env = true)]
    pub passphrase_file: Option<PathBuf>,
}

/// Arguments of `backup verify`.
#[derive(Debug, Args)]
pub(crate) struct BackupVerifyArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArg,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of a node's data, whose data key proves the backup when there is no passphrase
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// Arguments of `backup create`.
#[derive(Debug, Args)]
#[command(after_help = "\
With a passphrase the file holds all that a restore on another machine needs. Without one, keep
`pki/data.key` of a node, too: nobody can read the secrets in the file without it.")]
pub(crate) struct BackupCreateArgs {
    /// File to write; `-` for standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArg,
    /// Do not ask for a passphrase, and leave the data key out
    #[arg(long, conflicts_with = "passphrase_file")]
    pub no_passphrase: bool,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `backup restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
The node is the only member of the cluster afterwards: all others that the backup knows are removed
when it starts, and join again with empty data directories. What was there before is kept beside it.")]
pub(crate) struct BackupRestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub passphrase: PassphraseArg,
    /// Name of the node from now on
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Take a file of the first format, which does not show whether somebody changed it
    #[arg(long)]
    pub unproved: bool,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Replace state that is there
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows what this node and every member that answers have, says what can be lost, and asks. Without
`--yes` and a terminal it only shows.")]
pub(crate) struct RecoverArgs {
    /// Make the stopped node of this machine the only member of its cluster
    #[arg(long, required = true)]
    pub survivor: bool,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Control API of a member that is not where it was; may be repeated
    #[arg(long = "ask", value_name = "URL")]
    pub ask: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Although others could go on, or have more
    #[arg(long)]
    pub force: bool,
}
