//! What can be typed, as data. No behaviour.

mod agent;
mod certificates;
mod client;
mod cluster;
mod context;
mod manager;
mod node;
mod rollout;
mod user;

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use clap_complete::ArgValueCompleter;
use smr_model::{DEFAULT_PREFIX, KeyError, Kind, ObjectRef};

pub(crate) use agent::*;
pub(crate) use certificates::*;
pub(crate) use client::*;
pub(crate) use cluster::*;
pub(crate) use context::*;
pub(crate) use manager::*;
pub(crate) use node::*;
pub(crate) use rollout::*;
pub(crate) use user::*;

use crate::complete;

/// Client of simplecontainer clusters
#[derive(Debug, Parser)]
#[command(
    name = "smrctl",
    version,
    arg_required_else_help = true,
    after_help = "Start with `smrctl context`, `smrctl apply FILE --wait` and `smrctl ps`."
)]
pub(crate) struct Smrctl {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: ClientCommand,
}

/// A node of a container cluster, and its command line
#[derive(Debug, Parser)]
#[command(
    name = "smr",
    version,
    arg_required_else_help = true,
    after_help = "`smr start` runs a node; every command of `smrctl` works here too."
)]
pub(crate) struct Smr {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: SmrCommand,
}

/// Start and stop the node of this machine
#[derive(Debug, Parser)]
#[command(name = "smrmgr", version, arg_required_else_help = true)]
pub(crate) struct Smrmgr {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: ManagerCommand,
}

/// All commands of `smr`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SmrCommand {
    #[command(flatten)]
    Node(NodeCommand),
    #[command(flatten)]
    Client(ClientCommand),
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Context to use instead of the active one
    #[arg(long, global = true, value_name = "NAME", env = "SMR_CONTEXT", hide_env = true,
          add = ArgValueCompleter::new(complete::contexts))]
    pub context: Option<String>,
    /// Directory with `.smrctl` instead of the home directory
    #[arg(long, global = true, value_name = "DIR", env = "SMR_HOME", hide_env = true)]
    pub home: Option<PathBuf>,
    /// Group of KIND/NAME (`default` when not given); lists show only it
    #[arg(short, long, alias = "g", global = true, value_name = "GROUP")]
    pub group: Option<String>,
    /// Read the copy of the node that is asked, which may be behind; works without quorum
    #[arg(long, global = true)]
    pub stale: bool,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub color: clap::ColorChoice,
    /// Accepted for scripts written for other versions
    #[arg(long, global = true, value_name = "LEVEL", env = "LOG_LEVEL", hide = true)]
    pub log: Option<String>,
}

/// Shape of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table
    #[default]
    #[value(alias = "s")]
    Table,
    /// A table with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names only, one per line
    Name,
}

/// `--output`.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct OutputArg {
    /// Shape of the output
    #[arg(short, long, alias = "o", value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// A resource as typed: `KIND/GROUP/NAME` and the other short forms.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResourceArg {
    /// Resource: KIND/GROUP/NAME, KIND/NAME or PREFIX/VERSION/kind/KIND/GROUP/NAME
    #[arg(value_name = "RESOURCE", add = ArgValueCompleter::new(complete::resources))]
    pub resource: ObjectRef,
}

/// A replica as typed: `containers/GROUP/GENERATED-NAME`, or less where that is enough.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplicaArg {
    /// Replica: containers/GROUP/NAME-INDEX as `ps` shows it, or its last part only
    #[arg(value_name = "REPLICA", value_parser = replica,
          add = ArgValueCompleter::new(complete::replicas))]
    pub replica: ObjectRef,
}

/// A resource, or `NAME` and `GROUP/NAME` without a kind.
fn replica(text: &str) -> Result<ObjectRef, KeyError> {
    let unknown = match text.parse() {
        Err(KeyError::Kind(unknown)) if unknown.suggestion.is_none() => unknown,
        parsed => return parsed,
    };
    let (group, name) = match *text.split('/').collect::<Vec<_>>() {
        [name] => (None, name),
        [group, name] => (Some(group.to_owned()), name),
        _ => return Err(unknown.into()),
    };
    Ok(ObjectRef {
        prefix: DEFAULT_PREFIX.to_owned(),
        kind: Kind::Containers,
        group,
        name: Some(name.to_owned()),
        field: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_named_without_a_kind_too() {
        let named = |text| replica(text).map(|r| (r.group, r.name.unwrap_or_default()));
        let shop = Some("shop".to_owned());
        assert_eq!(named("shop-web-1"), Ok((None, "shop-web-1".to_owned())));
        assert_eq!(named("shop/web"), Ok((shop.clone(), "web".to_owned())));
        assert_eq!(named("containers/shop/web"), Ok((shop, "web".to_owned())));
        assert_eq!(
            named("container5/shop/web").unwrap_err().to_string(),
            "unknown kind `container5`, did you mean `containers`?"
        );
        assert!(named("a/b/c").is_err());
        assert!(named("a/").is_err());
    }
}
