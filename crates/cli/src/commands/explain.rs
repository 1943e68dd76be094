//! `explain` and `schema`: kinds and their fields, without asking anybody.

use smr_model::Explanation;

use super::{DONE, Outcome};
use crate::{error::Error, settings::Settings};

/// Explains a kind or field.
pub(crate) fn explain(settings: &Settings, path: &str) -> Outcome {
    let explanation = smr_model::explain(path).map_err(|err| {
        let hint = format!("known here: {}", err.known.join(", "));
        Error::usage(err.to_string(), hint)
    })?;
    settings.printer.text(&text(&explanation))?;
    Ok(DONE)
}

fn text(explanation: &Explanation) -> String {
    let Explanation { path, kind, description, default, allowed, required, fields } = explanation;
    let mut text = format!("{path} ({kind}{})\n", if *required { ", required" } else { "" });
    for line in description.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    if let Some(default) = default {
        text.push_str(&format!("\nDEFAULT: {default}\n"));
    }
    if !allowed.is_empty() {
        text.push_str("\nALLOWED:\n");
        for allowed in allowed {
            text.push_str(&format!("    {allowed}\n"));
        }
    }
    if !fields.is_empty() {
        text.push_str("\nFIELDS:\n");
        for field in fields {
            let required = if field.required { ", required" } else { "" };
            text.push_str(&format!("    {} ({}{required})\n", field.name, field.kind));
            for line in field.description.lines() {
                text.push_str(&format!("        {line}\n"));
            }
        }
    }
    text
}

/// Prints the JSON Schema of definitions; it covers every kind, and `kind` chooses.
pub(crate) fn schema(settings: &Settings) -> Outcome {
    settings.printer.json(&smr_model::json_schema())?;
    Ok(DONE)
}
