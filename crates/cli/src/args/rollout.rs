//! Arguments about changes on their way, and about placement.

use clap::{Args, Subcommand};

use super::{OutputArg, ResourceArg, SourceArgs};
use crate::settings::Seconds;

/// Commands of `rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Show how far a change is
    #[command(after_help = "\
Examples:
  smrctl rollout status containers/shop/web
  smrctl rollout status containers/shop/web --wait     # ends with 1 if it stops or goes back")]
    Status(RolloutStatusArgs),
    /// List former definitions
    History(RolloutViewArgs),
    /// Change no further replica
    Pause(ResourceArg),
    /// Go on after `pause`, or after failures
    Resume(ResourceArg),
    /// The canary replicas are good: change all
    Promote(ResourceArg),
    /// Go back to a former definition
    #[command(after_help = "\
Examples:
  smrctl rollout history containers/shop/web
  smrctl rollout undo containers/shop/web --to 3")]
    Undo(RolloutUndoArgs),
}

/// Arguments of `rollout status`.
#[derive(Debug, Args)]
pub(crate) struct RolloutStatusArgs {
    #[command(flatten)]
    pub resource: ResourceArg,
    /// Wait for its end
    #[arg(long, short)]
    pub wait: bool,
    /// Longest time to wait
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait")]
    pub timeout: Seconds,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `rollout history`.
#[derive(Debug, Args)]
pub(crate) struct RolloutViewArgs {
    #[command(flatten)]
    pub resource: ResourceArg,
    #[command(flatten)]
    pub output: OutputArg,
}

/// Arguments of `rollout undo`.
#[derive(Debug, Args)]
pub(crate) struct RolloutUndoArgs {
    #[command(flatten)]
    pub resource: ResourceArg,
    /// Generation to go back to, as `rollout history` shows it; the one before when not given
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<u64>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smrctl plan shop.yaml
  smrctl plan shop/ --set web.replicas=5 --output json")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub output: OutputArg,
}
