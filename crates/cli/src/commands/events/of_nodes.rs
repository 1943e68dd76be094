//! What scripts wait for that is a state of a node: it counts whether or not somebody saw it begin.

use std::time::Duration;

use smr_model::Availability;
use smr_wire::NodeView;

use crate::{
    commands::{DONE, Outcome},
    error::Error,
    settings::Settings,
};

/// How often the state is looked at; the node may not even answer yet, and a node that is restarted is drained
/// for a moment only.
const PAUSE: Duration = Duration::from_millis(100);

/// A state of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// It works.
    Started,
    /// Nothing runs there any more, and nothing comes.
    Drained,
}

impl What {
    /// What an event of this type tells of, if it is of a node.
    pub(super) fn of(kind: &str) -> Option<Self> {
        match kind {
            "cluster_started" | "cluster_ready" => Some(Self::Started),
            "drain_success" => Some(Self::Drained),
            _ => None,
        }
    }
}

/// Waits until it holds, of `node` or of any.
pub(super) async fn wait(settings: &Settings, what: What, node: Option<&str>) -> Outcome {
    let mut told = false;
    loop {
        match holds(settings, what, node).await {
            Ok(true) => return Ok(DONE),
            Ok(false) => {}
            Err(err) if may_come(&err) => {
                if !told {
                    settings.printer.note(format_args!("note: waiting: {err}"));
                    told = true;
                }
            }
            Err(err) => return Err(err),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn holds(settings: &Settings, what: What, node: Option<&str>) -> Result<bool, Error> {
    let client = settings.client()?;
    match (what, node) {
        (What::Started, None) => Ok(client.health().await?.ok),
        (What::Started, Some(name)) => Ok(is_started(&client.node(name).await?)),
        (What::Drained, None) => Ok(client.nodes().await?.items.iter().any(is_drained)),
        (What::Drained, Some(name)) => Ok(is_drained(&client.node(name).await?)),
    }
}

fn is_started(node: &NodeView) -> bool {
    let is_down =
        node.health.as_ref().is_some_and(|health| health.state == smr_model::Health::Down);
    !node.status.version.is_empty() && !is_down
}

fn is_drained(node: &NodeView) -> bool {
    node.availability == Availability::Drain && node.replicas == 0
}

/// Whether a node that just starts may say so.
fn may_come(err: &Error) -> bool {
    match err {
        Error::Client(err) => {
            err.is_unreachable() || err.code().is_some_and(|code| code.status() >= 500)
        }
        Error::Context(smr_pki::ContextError::NoActive) => true,
        _ => false,
    }
}
