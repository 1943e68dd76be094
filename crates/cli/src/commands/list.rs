//! `list`, and `ps` of kinds without containers.

use smr_model::{Kind, natural_cmp};
use smr_wire::ObjectQuery;

use super::{DONE, Outcome};
use crate::{args::Output, output::object_table, settings::Settings};

/// Lists objects.
pub(crate) async fn run(
    settings: &Settings,
    kind: Option<Kind>,
    selector: Option<String>,
    prefix: Option<String>,
    output: Output,
) -> Outcome {
    let names = !matches!(output, Output::Json | Output::Yaml);
    let query = ObjectQuery {
        kind: kind.map(|kind| kind.as_str().to_owned()),
        group: settings.only_group.clone(),
        selector,
        prefix,
        names,
        ..ObjectQuery::default()
    };
    let client = settings.client()?;
    let objects = client.objects(&query).await?;
    let mut list = objects.items;
    list.sort_by(|a, b| {
        (a.key.kind, &a.key.prefix)
            .cmp(&(b.key.kind, &b.key.prefix))
            .then_with(|| natural_cmp(&a.key.group, &b.key.group))
            .then_with(|| natural_cmp(&a.key.name, &b.key.name))
    });
    let printer = settings.printer;
    match output {
        Output::Table | Output::Wide => {
            printer.table(&object_table(list.iter().map(|object| &object.key)))?;
        }
        Output::Json => printer.json(&list)?,
        Output::Yaml => printer.yaml(&list)?,
        Output::Name => {
            printer.lines(list.iter().map(|object| &object.key))?;
        }
    }
    settings.note_stale(&client, Some(objects.revision));
    Ok(DONE)
}
