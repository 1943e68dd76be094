//! `explain containers/GROUP/NAME` and `plan`: where replicas are, or would go, and why.

use std::fmt::Write as _;

use jiff::Timestamp;
use smr_model::{Kind, ObjectRef};
use smr_wire::{
    ApplyQuery, NodeVerdict, PlacementExplanation, PlacementPlan, PlanAction, PlannedReplica,
};

use super::{DONE, Outcome, patiently, replica_name};
use crate::{
    args::{Output, PlanArgs},
    error::{Error, count},
    output::{Paint, Table},
    settings::Settings,
    source,
};

/// Why the replicas of an object, or one of them, are where they are.
pub(crate) async fn explain(settings: &Settings, path: &str, output: Output) -> Outcome {
    let resource: ObjectRef = path.parse().map_err(|err: smr_model::KeyError| {
        Error::usage(
            err.to_string(),
            "write `containers/GROUP/NAME` for placement, `KIND.FIELD` for definitions",
        )
    })?;
    let (group, name) = replica_name(settings, &resource)?;
    let client = settings.client()?;
    let explanation = client.explain(&group, &name).await?;
    let printer = settings.printer;
    match output {
        Output::Json => printer.json(&explanation)?,
        Output::Yaml => printer.yaml(&explanation)?,
        Output::Name => printer.lines(explanation.replicas.iter().map(|replica| &replica.node))?,
        Output::Table | Output::Wide => printer.text(&text(&explanation))?,
    }
    settings.note_stale(&client, Some(explanation.revision));
    Ok(DONE)
}

fn text(explanation: &PlacementExplanation) -> String {
    let mut text = format!("{}: {}\n", explanation.key, explanation.rule);
    let names = explanation.replicas.iter().map(|replica| replica.name.chars().count());
    let width = names.max().unwrap_or(0);
    for replica in &explanation.replicas {
        let place = match replica.node_id {
            Some(id) => format!("{} ({id})", replica.node),
            None => "no node".to_owned(),
        };
        let reason = match &replica.reason {
            Some(reason) => format!(": {}", reason.message),
            None => String::new(),
        };
        let _ = writeln!(text, "    {:width$}  {place}{reason}", replica.name);
    }
    let _ = writeln!(text, "\nNODES, for {}:", explanation.about);
    for node in &explanation.nodes {
        let _ = writeln!(text, "    {}", verdict(node));
        for refusal in &node.refusals {
            let _ = writeln!(text, "        {}: {}", refusal.filter, refusal.message);
        }
    }
    text
}

/// `node-1 (1): chosen, 2 replicas, 1.5 of 8 cpus`.
fn verdict(node: &NodeVerdict) -> String {
    let word = match (node.chosen, node.fits) {
        (true, true) => "chosen",
        (true, false) => "chosen, refused now",
        (false, true) => "fits",
        (false, false) => "refused",
    };
    let replicas = count(node.replicas as usize, "replica");
    let score = match node.score.as_str() {
        "" => String::new(),
        score => format!(", {score}"),
    };
    format!("{} ({}): {word}, {replicas}{score}", node.name, node.id)
}

/// `plan`.
pub(crate) async fn plan(settings: &Settings, args: PlanArgs) -> Outcome {
    let body = source::read_all(&args.source.sources, &args.source.set, Timestamp::now()).await?;
    let client = settings.client()?;
    let query = ApplyQuery { source: Some(body.source.clone()), ..ApplyQuery::default() };
    let asked = client.plan(&query, body.text.clone());
    let plan = patiently(settings, "planning", asked).await.map_err(|err| match err {
        smr_client::Error::Api(err) => Error::from(body.localize(*err)),
        err => err.into(),
    })?;
    let printer = settings.printer;
    for warning in &plan.warnings {
        printer.note(format_args!("warning: {}", body.localize_warning(warning)));
    }
    match args.output.output {
        Output::Json => printer.json(&plan)?,
        Output::Yaml => printer.yaml(&plan)?,
        Output::Name => printer.lines(plan.replicas.iter().map(resource))?,
        Output::Table | Output::Wide => {
            printer.table(&plan_table(&plan.replicas))?;
            for line in homeless(&plan.replicas) {
                printer.note(line);
            }
            printer.note(summary(&plan));
        }
    }
    settings.note_stale(&client, Some(plan.revision));
    Ok(DONE)
}

fn resource(replica: &PlannedReplica) -> String {
    format!("{}/{}/{}", Kind::Containers, replica.key.group, replica.name)
}

fn word(action: PlanAction) -> (&'static str, Paint) {
    match action {
        PlanAction::Create => ("create", Paint::Good),
        PlanAction::Keep => ("keep", Paint::Plain),
        PlanAction::Change => ("change", Paint::Busy),
        PlanAction::Move => ("move", Paint::Busy),
        PlanAction::Remove => ("remove", Paint::Bad),
    }
}

fn plan_table(replicas: &[PlannedReplica]) -> Table {
    let mut table = Table::new(["ACTION", "RESOURCE", "NODE", "FROM"]);
    for replica in replicas {
        let (action, paint) = word(replica.action);
        let node = match replica.node_id {
            Some(id) => (format!("{} ({id})", replica.node), Paint::Plain),
            None if replica.action == PlanAction::Remove => ("-".to_owned(), Paint::Plain),
            None => ("no node".to_owned(), Paint::Bad),
        };
        let from = if replica.from.is_empty() { "-" } else { &replica.from };
        table.row([
            (action.to_owned(), paint),
            (resource(replica), Paint::Plain),
            node,
            (from.to_owned(), Paint::Plain),
        ]);
    }
    table
}

/// A line for each replica that would have no node.
fn homeless(replicas: &[PlannedReplica]) -> Vec<String> {
    let without = |replica: &PlannedReplica| {
        let reason = replica.reason.as_ref().filter(|_| replica.node_id.is_none())?;
        Some(format!("{}: pending: {}", resource(replica), reason.message))
    };
    replicas.iter().filter_map(without).collect()
}

/// `nothing was changed; it would create 2, move 1`.
fn summary(plan: &PlacementPlan) -> String {
    let order = [
        PlanAction::Create,
        PlanAction::Change,
        PlanAction::Move,
        PlanAction::Remove,
        PlanAction::Keep,
    ];
    let number = |action| plan.replicas.iter().filter(|replica| replica.action == action).count();
    let parts = order.map(|action| (word(action).0, number(action)));
    let parts: Vec<_> = parts
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| format!("{word} {number}"))
        .collect();
    match parts.is_empty() {
        true => "nothing was changed, and nothing would be".to_owned(),
        false => format!("nothing was changed; it would {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use smr_model::{ObjectKey, Reason};
    use smr_wire::{FilterRefusal, PlacedReplica};

    use super::*;

    #[test]
    fn an_explanation_names_every_node_and_every_filter() {
        let node = |id: u64, chosen, fits, score: &str, refusals: &[(&str, &str)]| NodeVerdict {
            id,
            name: format!("node-{id}"),
            chosen,
            fits,
            replicas: u32::from(chosen),
            refusals: refusals
                .iter()
                .map(|(filter, message)| FilterRefusal {
                    filter: (*filter).to_owned(),
                    message: (*message).to_owned(),
                })
                .collect(),
            score: score.to_owned(),
        };
        let replica = |index: u32, node_id: Option<u64>, reason: Option<&str>| PlacedReplica {
            name: format!("shop-web-{index}"),
            node_id,
            node: node_id.map(|id| format!("node-{id}")).unwrap_or_default(),
            reason: reason.map(|text| Reason::new("NoNode", text)),
        };
        let explanation = PlacementExplanation {
            revision: 1,
            stale: false,
            key: ObjectKey::new(Kind::Containers, "shop", "web"),
            replicas: vec![
                replica(1, Some(1), None),
                replica(10, None, Some("no node fits: 2 memory")),
            ],
            about: "shop-web-10".to_owned(),
            rule: "strategy binpack".to_owned(),
            nodes: vec![
                node(1, true, true, "6 GiB left", &[]),
                node(
                    2,
                    false,
                    false,
                    "",
                    &[("memory", "asks 2 GiB, 1 GiB is left"), ("constraint", "disk==ssd, is hdd")],
                ),
            ],
        };
        insta::assert_snapshot!(text(&explanation));
    }

    #[test]
    fn a_plan_says_what_would_happen() {
        let replica = |index: u32, action, node_id: Option<u64>, from: &str| PlannedReplica {
            key: ObjectKey::new(Kind::Containers, "shop", "web"),
            name: format!("shop-web-{index}"),
            action,
            node_id,
            node: node_id.map(|id| format!("node-{id}")).unwrap_or_default(),
            from: from.to_owned(),
            reason: node_id.is_none().then(|| Reason::new("NoNode", "no node fits: 3 port")),
        };
        let replicas = vec![
            replica(1, PlanAction::Create, Some(1), ""),
            replica(2, PlanAction::Move, Some(2), "node-1"),
            replica(3, PlanAction::Create, None, ""),
            replica(4, PlanAction::Remove, None, "node-1"),
        ];
        insta::assert_snapshot!(plan_table(&replicas).render(false));
        assert_eq!(
            homeless(&replicas)[0],
            "containers/shop/shop-web-3: pending: no node fits: 3 port"
        );
        let plan = PlacementPlan { replicas, ..PlacementPlan::default() };
        assert_eq!(summary(&plan), "nothing was changed; it would create 2, move 1, remove 1");
        let none = PlacementPlan::default();
        assert_eq!(summary(&none), "nothing was changed, and nothing would be");
    }
}
