//! Packs: definitions rendered by the client with `{{ }}` and variables.

use std::path::Path;

use serde_json::{Map, Value};
use smr_template::{Context, Delimiters};

use super::{Piece, file, files};
use crate::error::Error;

/// Nested variables.
pub(super) type Variables = Map<String, Value>;

const VARIABLES: &str = "variables.yaml";

/// Renders the definitions of a pack in byte order of their names.
pub(super) fn render(
    definitions: &Path,
    set: &[String],
    now: jiff::Timestamp,
) -> Result<Vec<Piece>, Error> {
    let path = definitions.join(VARIABLES);
    let text = if path.exists() { file(&path)?.text } else { String::new() };
    let variables = variables_from(&path, &text, set)?;
    let context = Context { variables: (&variables).into(), lookup: None, now };
    let mut pieces = Vec::new();
    for path in files(definitions, &["yaml"])? {
        if path.file_name().is_some_and(|name| name == VARIABLES) {
            continue;
        }
        let piece = file(&path)?;
        let rendered = smr_template::render(&piece.text, Delimiters::Pack, &context)
            .map_err(|err| Error::Template { file: piece.file.clone(), source: Box::new(err) })?;
        pieces.push(Piece { file: piece.file, text: rendered.text });
    }
    Ok(pieces)
}

/// Variables of a file, keys in lower case, with `key=value` assignments on top; dots in keys of
/// assignments lead into nested maps.
pub(super) fn variables_from(path: &Path, text: &str, set: &[String]) -> Result<Variables, Error> {
    let bad = |source| Error::Variables { file: path.to_owned(), source };
    let says_nothing =
        |line: &str| line.trim().is_empty() || line.starts_with('#') || line.trim() == "---";
    let mut variables = if text.lines().all(says_nothing) {
        Variables::new()
    } else {
        match serde_saphyr::from_str::<Value>(text).map_err(|err| bad(err.into()))? {
            Value::Object(map) => lower(map),
            Value::Null => Variables::new(),
            _ => return Err(bad("it must be a map".into())),
        }
    };
    for assignment in set {
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Error::usage(
                format!("`{assignment}` is not an assignment"),
                "write `--set KEY=VALUE`",
            ));
        };
        assign(&mut variables, &key.trim().to_lowercase(), value.trim());
    }
    Ok(variables)
}

fn assign(variables: &mut Variables, key: &str, value: &str) {
    match key.split_once('.') {
        None => {
            variables.insert(key.to_owned(), Value::String(value.to_owned()));
        }
        Some((first, rest)) => {
            let entry = variables.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            if let Value::Object(nested) = entry {
                assign(nested, rest, value);
            }
        }
    }
}

fn lower(map: Variables) -> Variables {
    let lower_value = |value| match value {
        Value::Object(nested) => Value::Object(lower(nested)),
        other => other,
    };
    map.into_iter().map(|(key, value)| (key.to_lowercase(), lower_value(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str, set: &[&str]) -> Value {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        Value::Object(variables_from(Path::new("variables.yaml"), text, &set).unwrap())
    }

    #[test]
    fn assignments_override_and_nest() {
        assert_eq!(
            variables(
                "Traefik:\n  Certificate: a\n  port: 80\nuser: x\n",
                &["traefik.certificate= b=c ", "User.Name=me"]
            ),
            serde_json::json!({"traefik": {"certificate": "b=c", "port": 80}, "user": {"name": "me"}})
        );
        assert_eq!(variables("", &[]), serde_json::json!({}));
        assert_eq!(variables("# nothing\n---\n", &["a=1"]), serde_json::json!({"a": "1"}));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let err = variables_from(Path::new("v.yaml"), "[1]", &[]).unwrap_err();
        assert_eq!(
            err.report(),
            "error: `v.yaml` is not a map of pack variables\n  caused by: it must be a map\n"
        );
        let err = variables_from(Path::new("v.yaml"), "", &["x".into()]).unwrap_err();
        assert_eq!(err.to_string(), "`x` is not an assignment");
    }
}
