//! Arguments of `user`.

use clap::{Args, Subcommand, ValueEnum};

use super::ConfigArg;

/// Commands of `user`.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Issue a certificate to a user and print it as a context to import
    #[command(after_help = "\
Examples:
  smr user create bob --role viewer --api node-1.example.com:1443 | ssh bob smrctl context import
  smr user create ci --role operator --days 30 > ci.context     # smrctl context import < ci.context
  smr user create kim --role admin --save                       # smrctl --context kim ps

The cluster issues it, asked through the node of this machine with the context that node made. It is
refused everywhere a moment after `smrctl cert revoke NAME`.")]
    Create(UserCreateArgs),
}

/// Arguments of `user create`.
#[derive(Debug, Args)]
pub(crate) struct UserCreateArgs {
    /// Name in the certificate; events and logs of the node show it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What the user may do
    #[arg(long, value_enum, value_name = "ROLE")]
    pub role: UserRole,
    /// Address the user reaches the node at; what the configuration says when not given
    #[arg(long, value_name = "HOST:PORT")]
    pub api: Option<String>,
    /// Days the certificate is valid; what the configuration says when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub days: Option<u32>,
    /// Keep it here as a context of that name instead of printing it
    #[arg(long)]
    pub save: bool,
    /// Replace a context of the same name
    #[arg(short, long = "yes", alias = "y", requires = "save")]
    pub yes: bool,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Directory of the node's data, when the configuration does not say it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// Roles of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UserRole {
    /// Reads, without secret values
    Viewer,
    /// Reads, and changes workloads
    Operator,
    /// Everything
    Admin,
}
