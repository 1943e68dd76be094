//! `node`: the nodes of the cluster.

mod drain;

use std::collections::BTreeMap;

use jiff::Timestamp;
use smr_model::{Availability, NodeRole};
use smr_wire::{NodePatch, NodeView};

use super::{DONE, Outcome, patiently};
use crate::{
    args::{Data, NodeDrainArgs, NodeInspectArgs, NodeLabelArgs, NodeRmArgs, NodesCommand, Output},
    error::Error,
    output::node_table,
    settings::Settings,
};

pub(crate) use drain::{Evacuation, drain};

/// `node` with a command.
pub(crate) async fn run(settings: &Settings, command: NodesCommand) -> Outcome {
    match command {
        NodesCommand::Ls(output) => list(settings, output.output).await,
        NodesCommand::Inspect(args) => inspect(settings, &args).await,
        NodesCommand::Promote(args) => role(settings, &args.node, NodeRole::Voter).await,
        NodesCommand::Demote(args) => role(settings, &args.node, NodeRole::Worker).await,
        NodesCommand::Drain(args) => drain_node(settings, &args).await,
        NodesCommand::Pause(args) => {
            available(settings, &args.node, Availability::Pause, "paused").await
        }
        NodesCommand::Activate(args) => {
            available(settings, &args.node, Availability::Active, "active").await
        }
        NodesCommand::Label(args) => label(settings, &args).await,
        NodesCommand::Rm(args) => remove(settings, &args).await,
    }
}

/// `node ls`.
pub(crate) async fn list(settings: &Settings, output: Output) -> Outcome {
    let client = settings.client()?;
    let list = client.nodes().await?;
    let printer = settings.printer;
    match output {
        Output::Table | Output::Wide => {
            printer.table(&node_table(&list.items, output == Output::Wide, Timestamp::now()))?;
        }
        Output::Json => printer.json(&list)?,
        Output::Yaml => printer.yaml(&list)?,
        Output::Name => printer.lines(list.items.iter().map(|node| &node.status.name))?,
    }
    settings.note_stale(&client, None);
    Ok(DONE)
}

async fn inspect(settings: &Settings, args: &NodeInspectArgs) -> Outcome {
    let client = settings.client()?;
    let node = client.node(&args.node.node).await?;
    match args.output {
        Data::Json => settings.printer.json(&node)?,
        Data::Yaml => settings.printer.yaml(&node)?,
        Data::Name => settings.printer.line(&node.status.name)?,
    }
    settings.note_stale(&client, None);
    Ok(DONE)
}

async fn patch(settings: &Settings, node: &str, patch: &NodePatch) -> Result<NodeView, Error> {
    let client = settings.client()?;
    Ok(patiently(settings, "changing the node", client.patch_node(node, patch)).await?)
}

async fn role(settings: &Settings, node: &str, role: NodeRole) -> Outcome {
    let change = NodePatch { role: Some(role), ..NodePatch::default() };
    let node = patch(settings, node, &change).await?;
    let name = &node.status.name;
    settings.printer.line(match role {
        NodeRole::Voter => format!("node {name} may vote"),
        NodeRole::Worker => format!("node {name} does not vote"),
    })?;
    if role == NodeRole::Voter {
        settings.printer.note(
            "note: it gets a vote as soon as it is up to date, if there are fewer voters than \
             `smrctl cluster settings` says",
        );
    }
    Ok(DONE)
}

async fn available(
    settings: &Settings,
    node: &str,
    availability: Availability,
    word: &str,
) -> Outcome {
    let change = NodePatch { availability: Some(availability), ..NodePatch::default() };
    let node = patch(settings, node, &change).await?;
    settings.printer.line(format_args!("node {} is {word}", node.status.name))?;
    Ok(DONE)
}

async fn drain_node(settings: &Settings, args: &NodeDrainArgs) -> Outcome {
    let client = settings.client()?;
    let wait = args.wait.then_some(args.timeout.0);
    let (node, evacuation) = drain(settings, &client, &args.node.node, wait).await?;
    let name = &node.status.name;
    settings.printer.line(match evacuation {
        None => format!("node {name} is being drained"),
        Some(evacuation) => format!("node {name} is drained{evacuation}"),
    })?;
    Ok(DONE)
}

async fn label(settings: &Settings, args: &NodeLabelArgs) -> Outcome {
    let (labels, remove_labels) = label_changes(&args.changes)?;
    let change = NodePatch { labels, remove_labels, ..NodePatch::default() };
    let node = patch(settings, &args.node.node, &change).await?;
    let labels = super::pairs(&node.effective_labels);
    let shown = if labels.is_empty() { "no labels" } else { &labels };
    settings.printer.line(format_args!("node {}: {shown}", node.status.name))?;
    Ok(DONE)
}

/// What to set and what to take away.
fn label_changes(changes: &[String]) -> Result<(BTreeMap<String, String>, Vec<String>), Error> {
    let (mut set, mut taken) = (BTreeMap::new(), Vec::new());
    for change in changes {
        match (change.split_once('='), change.strip_suffix('-')) {
            (Some((key, value)), _) if !key.is_empty() => {
                set.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) if !key.is_empty() => taken.push(key.to_owned()),
            _ => {
                return Err(Error::usage(
                    format!("`{change}` changes no label"),
                    "write `KEY=VALUE` to set a label, `KEY-` to take one away",
                ));
            }
        }
    }
    match taken.iter().find(|key| set.contains_key(*key)) {
        Some(key) => {
            Err(Error::usage(format!("`{key}` is both set and taken away"), "name each label once"))
        }
        None => Ok((set, taken)),
    }
}

async fn remove(settings: &Settings, args: &NodeRmArgs) -> Outcome {
    let client = settings.client()?;
    let removing = client.remove_node(&args.node.node, args.force);
    let node = patiently(settings, "removing the node", removing).await?;
    settings
        .printer
        .line(format_args!("node {} ({}) removed", node.status.name, node.status.id))?;
    settings.printer.note(
        "note: its id is never used again; to let the machine join anew, empty its data directory",
    );
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_and_taken_away() {
        let changes = |words: &[&str]| {
            label_changes(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
        };
        let (set, taken) = changes(&["a=b=c", "zone-", "x="]).unwrap();
        assert_eq!(super::super::pairs(&set), "a=b=c,x=");
        assert_eq!(taken, ["zone"]);
        for wrong in [&["zone"][..], &["=x"], &["-"], &["a=b", "a-"]] {
            assert_eq!(changes(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }
}
