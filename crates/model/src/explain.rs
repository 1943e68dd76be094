//! What a field is for: `smrctl explain containers.readiness.timeout`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    kind::Kind,
    shape::{self, Field, Shape, same_word},
    suggest::nearest,
};

/// What a field or kind is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Canonical path, for example `containers.spec.readiness[].timeout`.
    pub path: String,
    /// Type in words, for example `list of texts`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// Default, where the type declares one; other defaults are told in the description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What is allowed: words with their meaning, or limits; empty when the type says it all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// The fields inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldSummary>,
}

/// A field in a list of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldSummary {
    /// Name.
    pub name: String,
    /// Type in words.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
}

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no {}{}",
    if parent.is_empty() {
        format!("kind `{element}`")
    } else {
        format!("field `{element}` in `{parent}`")
    },
    suggestion.as_ref().map(|s| format!(", did you mean `{s}`?")).unwrap_or_default()
)]
pub struct UnknownPath {
    /// The element that is unknown.
    pub element: String,
    /// Where it was looked for; empty for the kind.
    pub parent: String,
    /// The closest known path, complete.
    pub suggestion: Option<String>,
    /// What is known there.
    pub known: Vec<String>,
}

/// Explains a path: a kind, then fields, parted by dots. `spec` may be left out
/// (`containers.ports`); list indexes are ignored (`ports[0].host`).
pub fn explain(path: &str) -> Result<Explanation, UnknownPath> {
    let mut elements = path.split('.').map(|e| e.split('[').next().unwrap_or_default().trim());
    let first = elements.next().unwrap_or_default();
    let kind: Kind = first.parse().map_err(|error: crate::kind::UnknownKind| UnknownPath {
        element: first.to_owned(),
        parent: String::new(),
        suggestion: error.suggestion.map(|k| k.as_str().to_owned()),
        known: Kind::ALL.iter().map(|k| k.as_str().to_owned()).collect(),
    })?;
    let document = document(kind);
    let elements: Vec<&str> = elements.filter(|e| !e.is_empty()).collect();
    let Some(first) = elements.first() else {
        return Ok(explanation(kind.as_str(), &document));
    };
    // `containers.ports` means `containers.spec.ports`.
    let in_document = document.shape.object().is_some_and(|o| o.field(first).is_some());
    let rest: Vec<&str> =
        if in_document { elements } else { std::iter::once("spec").chain(elements).collect() };
    let mut here = &document;
    let mut path = kind.as_str().to_owned();
    for element in rest {
        if matches!(here.shape, Shape::Map(_)) && here.shape.object().is_none() {
            // The keys of a free mapping are the user's.
            path.push_str(".KEY");
            continue;
        }
        let fields = here.shape.object().map(|o| o.fields.as_slice()).unwrap_or_default();
        let Some(next) = fields.iter().find(|f| same_word(&f.name, element)) else {
            let names = || fields.iter().map(|f| f.name.as_str());
            return Err(UnknownPath {
                element: element.to_owned(),
                suggestion: nearest(element, names()).map(|name| format!("{path}.{name}")),
                known: names().map(str::to_owned).collect(),
                parent: path,
            });
        };
        path = format!("{path}.{}", next.name);
        if matches!(next.shape, Shape::List(_)) {
            path.push_str("[]");
        }
        here = next;
    }
    Ok(explanation(path.trim_end_matches("[]"), here))
}

/// Every path `explain` knows below a kind, for completion and reference pages.
pub fn explainable_paths(kind: Kind) -> Vec<String> {
    fn walk(field: &Field, path: String, paths: &mut Vec<String>) {
        for inner in field.shape.object().map(|o| o.fields.as_slice()).unwrap_or_default() {
            walk(inner, format!("{path}.{}", inner.name), paths);
        }
        paths.push(path);
    }
    let mut paths = Vec::new();
    walk(&document(kind), kind.as_str().to_owned(), &mut paths);
    paths.sort();
    paths
}

/// A whole document of a kind, as if it were a field.
fn document(kind: Kind) -> Field {
    let field = |name: &str, description: &str, required, shape| Field {
        name: name.to_owned(),
        description: description.to_owned(),
        default: None,
        required,
        shape,
    };
    let spec = shape::spec(kind);
    let described = match spec {
        Shape::Object(object) => object.description.clone(),
        _ => "Anything; stored as it is, for external readers.".to_owned(),
    };
    let needs_spec = !matches!(kind, Kind::Network | Kind::Volume);
    let mut fields = vec![
        field("kind", &format!("Always `{kind}`."), true, Shape::Text),
        Field {
            default: Some(crate::key::DEFAULT_PREFIX.into()),
            ..field("prefix", "Prefix and version of the object.", false, Shape::Text)
        },
        field("meta", &shape::meta().description, true, Shape::Object(shape::meta().clone())),
        field("spec", &described, needs_spec, spec.clone()),
    ];
    if kind == Kind::Containers {
        let text = "A container that runs to its end before each replica starts; it has the fields \
                    of `spec`, those about replication aside.";
        fields.push(field("initContainer", text, false, spec.clone()));
    }
    let title = kind.as_str().to_owned();
    let shape = shape::ObjectShape { title, description: String::new(), fields };
    field(kind.as_str(), &shape::kind_description(kind), false, Shape::Object(shape))
}

fn explanation(path: &str, field: &Field) -> Explanation {
    let fields = field.shape.object().map(|o| o.fields.as_slice()).unwrap_or_default();
    Explanation {
        path: path.to_owned(),
        kind: type_in_words(&field.shape),
        description: field.description.clone(),
        default: field.default.as_ref().and_then(|value| match value {
            serde_json::Value::String(text) if text.is_empty() => None,
            serde_json::Value::Object(map) if map.is_empty() => None,
            serde_json::Value::Array(items) if items.is_empty() => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }),
        allowed: allowed(&field.shape),
        required: field.required,
        fields: fields
            .iter()
            .map(|f| FieldSummary {
                name: f.name.clone(),
                kind: type_in_words(&f.shape),
                description: f.description.clone(),
                required: f.required,
            })
            .collect(),
    }
}

fn type_in_words(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Duration => "duration".to_owned(),
        Shape::Size => "size".to_owned(),
        Shape::Processors => "processors".to_owned(),
        Shape::Integer { .. } => "whole number".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Boolean => "true or false".to_owned(),
        Shape::Choice(_) => "word".to_owned(),
        Shape::List(inner) => format!("list of {}", plural(inner)),
        Shape::Map(inner) => format!("mapping of {}", plural(inner)),
        Shape::Object(_) => "object".to_owned(),
        Shape::Any => "anything".to_owned(),
    }
}

fn plural(shape: &Shape) -> String {
    match shape {
        Shape::Text | Shape::Object(_) | Shape::Choice(_) | Shape::Integer { .. } => {
            format!("{}s", type_in_words(shape))
        }
        other => type_in_words(other),
    }
}

fn allowed(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Choice(choices) => {
            choices.iter().map(|c| format!("{}: {}", c.word, c.description)).collect()
        }
        Shape::Duration => vec!["a number with a unit, ns us ms s m h d: `1m30s`".to_owned()],
        Shape::Size => vec!["a number with KiB, MiB, GiB or TiB: `512MiB`".to_owned()],
        Shape::Processors => vec!["`0.5`, `2`, or thousandths: `500m`".to_owned()],
        Shape::Integer { min, max } if *max < u64::MAX => vec![format!("{min} to {max}")],
        Shape::List(inner) => allowed(inner),
        _ => Vec::new(),
    }
}
