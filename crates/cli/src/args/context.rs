//! Arguments of `context`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use super::OutputArg;
use crate::complete;

/// Arguments of `context`.
#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    pub command: Option<ContextCommand>,
}

/// Commands of `context`; without one, the name of the active context is printed.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List contexts; the active one is marked
    #[command(visible_alias = "ls")]
    List(OutputArg),
    /// Print the name of the active context
    Current,
    /// Make a context the active one
    Switch(SwitchArgs),
    /// Print a context encrypted, and the key, on one line
    Export(ExportArgs),
    /// Add an exported context and make it the active one
    Import(ImportArgs),
    /// Remove a context
    #[command(visible_alias = "rm")]
    Remove(ContextNameArg),
}

/// A context by name.
#[derive(Debug, Args)]
pub(crate) struct ContextNameArg {
    /// Name of the context
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub name: String,
}

/// Arguments of `context switch`.
#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    /// Name of the context; asked for when not given
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub name: Option<String>,
}

/// Arguments of `context export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Name of the context; the active one when not given
    #[arg(value_name = "NAME", num_args = 0..=2,
          add = ArgValueCompleter::new(complete::contexts))]
    pub names: Vec<String>,
    /// Address others reach the cluster at, when it is not the context's own
    #[arg(long, value_name = "HOST:PORT")]
    pub api: Option<String>,
}

/// Arguments of `context import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Encrypted text and key, as `context export` printed them; what is missing is read from
    /// standard input
    #[arg(value_name = "TEXT KEY", num_args = 0..=2)]
    pub parts: Vec<String>,
    /// Name of the context instead of the host of its address
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Replace a context of the same name without asking
    #[arg(short, long = "yes", alias = "y")]
    pub yes: bool,
    /// Do not try whether the cluster accepts it
    #[arg(long)]
    pub offline: bool,
}
