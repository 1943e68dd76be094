//! Arguments about certificates.

use clap::{Args, Subcommand, ValueEnum};

use super::OutputArg;
use crate::settings::Seconds;

/// Commands of `cert`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// List issued certificates
    #[command(visible_alias = "list")]
    Ls(CertListArgs),
    /// Refuse a certificate from now on, or all of a node or user
    Revoke(CertRevokeArgs),
    /// Replace the cluster's authority
    #[command(after_help = "\
Examples:
  smrctl cert rotate-ca            # all steps, waiting between them
  smrctl cert rotate-ca status
  smrctl cert rotate-ca finish --force

Steps: `begin` makes a new authority, which everybody trusts beside the old one; `switch` lets it
sign, nodes renew their certificates; `finish` trusts the old one no more: users need new
certificates before. `cancel` gives the new one up, as long as it has not signed.")]
    RotateCa(RotateArgs),
}

/// Arguments of `cert ls`.
#[derive(Debug, Args)]
pub(crate) struct CertListArgs {
    /// Only valid ones that end within this time; a week when none is given
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "7d",
          require_equals = true)]
    pub expiring: Option<Seconds>,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `cert revoke`.
#[derive(Debug, Args)]
pub(crate) struct CertRevokeArgs {
    /// Serial number, or the name of a node or user
    #[arg(value_name = "SERIAL|NAME")]
    pub which: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// Arguments of `cert rotate-ca`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Step; all of them when not given
    #[arg(value_enum, value_name = "STEP")]
    pub step: Option<RotateStep>,
    /// Also while nodes that are down, or users, would be left behind
    #[arg(long)]
    pub force: bool,
    /// Longest time to wait for the nodes between two steps
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub timeout: Seconds,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Steps of replacing the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RotateStep {
    /// Make a new authority that everybody trusts
    Begin,
    /// Let the new one sign
    Switch,
    /// Trust the old one no more
    Finish,
    /// Show how far it is
    Status,
    /// Give up the new one
    Cancel,
}
