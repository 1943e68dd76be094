//! `apply` and `diff`.

use jiff::Timestamp;
use serde_json::Value;
use smr_client::Client;
use smr_wire::{ApplyAction, ApplyQuery, ApplyResponse, FieldChange};

use super::{DONE, Outcome, waiting};
use crate::{
    args::{ApplyArgs, DiffArgs, Output},
    error::{Error, exit},
    settings::{Persona, Settings},
    source::{self, Body},
    wait::Ready,
};

/// `apply`.
pub(crate) async fn run(settings: &Settings, args: ApplyArgs) -> Outcome {
    let body = source::read_all(&args.source.sources, &args.source.set, Timestamp::now()).await?;
    let client = settings.client()?;
    let response = send(settings, &client, &body, args.dry_run, args.wait).await?;
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&response)?,
        Output::Yaml => printer.yaml(&response)?,
        Output::Name => {
            for result in &response.results {
                printer.line(&result.key)?;
            }
        }
        Output::Wide => {
            for result in &response.results {
                printer.line(format_args!("{}: {}", result.key, word(result.action)))?;
            }
        }
        Output::Table => {
            for result in &response.results {
                if !args.dry_run {
                    printer.note(format_args!("{}: {}", result.key, word(result.action)));
                }
                printer.line(match (args.dry_run, settings.persona) {
                    (true, _) => format!("{}: would be {}", result.key, word(result.action)),
                    (false, Persona::Smr) => format!("object applied: {}", result.key.kind),
                    (false, _) => format!("object proposed for apply: {}", result.key.kind),
                })?;
            }
        }
    }
    if args.wait && !args.dry_run {
        let wanted = response.results.iter().map(|r| (r.key.clone(), r.generation));
        // What is new is not rolled out but made.
        let changed = response.results.iter().filter(|r| r.action != ApplyAction::Created);
        let changed = changed.map(|r| (r.key.clone(), r.generation)).collect::<Vec<_>>();
        waiting::ready(settings, &client, Ready::new(wanted), &changed, args.timeout.0).await?;
    }
    Ok(DONE)
}

/// `diff`: what an apply would change, field by field.
pub(crate) async fn diff(settings: &Settings, args: DiffArgs) -> Outcome {
    let body = source::read_all(&args.source.sources, &args.source.set, Timestamp::now()).await?;
    let response = send(settings, &settings.client()?, &body, true, false).await?;
    let text = diff_text(&response);
    settings.printer.text(&text)?;
    Ok(if args.exit_code && !text.is_empty() { exit::REFUSED } else { DONE })
}

async fn send(
    settings: &Settings,
    client: &Client,
    body: &Body,
    dry_run: bool,
    settle: bool,
) -> Result<ApplyResponse, Error> {
    let query = ApplyQuery { source: Some(body.source.clone()), dry_run, settle };
    let response = client.apply(&query, body.text.clone()).await.map_err(|err| match err {
        smr_client::Error::Api(err) => Error::from(body.localize(*err)),
        err => err.into(),
    })?;
    for warning in &response.warnings {
        settings.printer.note(format_args!("warning: {}", body.localize_warning(warning)));
    }
    Ok(response)
}

fn word(action: ApplyAction) -> &'static str {
    match action {
        ApplyAction::Created => "created",
        ApplyAction::Updated => "changed",
        ApplyAction::Unchanged => "unchanged",
    }
}

/// Objects that differ and, below them, their fields.
fn diff_text(response: &ApplyResponse) -> String {
    let mut text = String::new();
    for result in &response.results {
        match result.action {
            ApplyAction::Unchanged => continue,
            ApplyAction::Created => text.push_str(&format!("+ {}\n", result.key)),
            ApplyAction::Updated => text.push_str(&format!("~ {}\n", result.key)),
        }
        for change in &result.changes {
            text.push_str(&format!("    {}\n", change_line(change)));
        }
    }
    text
}

fn change_line(change: &FieldChange) -> String {
    let value = |value: &Option<Value>| match value {
        Some(value) => value.to_string(),
        None => "(none)".to_owned(),
    };
    match change.op.as_str() {
        "add" => format!("+ {}: {}", change.path, value(&change.new)),
        "remove" => format!("- {}: {}", change.path, value(&change.old)),
        _ => format!("~ {}: {} -> {}", change.path, value(&change.old), value(&change.new)),
    }
}

#[cfg(test)]
mod tests {
    use smr_model::{Kind, ObjectKey};
    use smr_wire::ApplyResult;

    use super::*;

    #[test]
    fn differences_name_object_field_and_values() {
        let change = |op: &str, path: &str, old: Option<&str>, new: Option<&str>| FieldChange {
            op: op.into(),
            path: path.into(),
            old: old.map(Into::into),
            new: new.map(Into::into),
        };
        let result = |name: &str, action, changes| ApplyResult {
            key: ObjectKey::new(Kind::Containers, "a", name),
            action,
            generation: 2,
            changes,
        };
        let results = vec![
            result("new", ApplyAction::Created, vec![]),
            result("same", ApplyAction::Unchanged, vec![]),
            result(
                "web",
                ApplyAction::Updated,
                vec![
                    change("replace", "spec.tag", Some("1"), Some("2")),
                    change("add", "spec.user", None, Some("www")),
                    change("remove", "spec.args[0]", Some("-x"), None),
                ],
            ),
        ];
        let response = ApplyResponse { revision: 1, results, warnings: vec![] };
        assert_eq!(
            diff_text(&response),
            "+ containers/a/new\n~ containers/a/web\n    ~ spec.tag: \"1\" -> \"2\"\n    \
             + spec.user: \"www\"\n    - spec.args[0]: \"-x\"\n"
        );
    }
}
