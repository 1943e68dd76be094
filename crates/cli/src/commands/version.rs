//! `version` and `health`.

use serde::Serialize;
use smr_wire::{Health, Version};

use super::{DONE, Outcome};
use crate::{
    args::{Output, VersionArgs},
    error::Error,
    output::{Paint, Table},
    settings::Settings,
};

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    server: Option<Version>,
}

/// Versions of this program and of the node, if it can be reached.
pub(crate) async fn run(settings: &Settings, args: VersionArgs) -> Outcome {
    let own = env!("CARGO_PKG_VERSION");
    let (server, missing) = match args.client {
        true => (None, None),
        false => match server(settings).await {
            Ok(version) => (Some(version), None),
            Err(err) => (None, Some(err)),
        },
    };
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&Versions { client: own, server })?,
        Output::Yaml => printer.yaml(&Versions { client: own, server })?,
        Output::Table | Output::Wide | Output::Name => {
            printer.line(format_args!("v{own}"))?;
            if let Some(server) = server {
                let engine = match server.engine.as_str() {
                    "" => String::new(),
                    engine => format!(", {engine}"),
                };
                printer.line(format_args!("v{} on {}{engine}", server.version, server.node))?;
            }
            if let Some(err) = missing {
                printer.note(format_args!("note: version of the node unknown: {err}"));
            }
        }
    }
    Ok(DONE)
}

async fn server(settings: &Settings) -> Result<Version, Error> {
    Ok(settings.client()?.version().await?)
}

/// Whether the node and its parts work; exit code 1 if not.
pub(crate) async fn health(settings: &Settings, output: Output) -> Outcome {
    let health = settings.client()?.health().await?;
    print(settings, &health, output)?;
    if health.ok { Ok(DONE) } else { Err(Error::Unhealthy) }
}

/// Prints health.
pub(crate) fn print(settings: &Settings, health: &Health, output: Output) -> Result<(), Error> {
    let printer = settings.printer;
    match output {
        Output::Json => printer.json(health),
        Output::Yaml => printer.yaml(health),
        Output::Name => printer.line(if health.ok { "ok" } else { "not ok" }),
        Output::Table | Output::Wide => printer.table(&table(health)),
    }
}

fn table(health: &Health) -> Table {
    let mut table = Table::new(["PART", "STATE", "MESSAGE"]);
    for check in &health.checks {
        let state = match check.ok {
            true => ("ok".to_owned(), Paint::Good),
            false => ("not ok".to_owned(), Paint::Bad),
        };
        table.row([
            (check.name.clone(), Paint::Plain),
            state,
            (check.message.clone(), Paint::Plain),
        ]);
    }
    table
}
