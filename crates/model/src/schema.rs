//! A JSON Schema of everything users write, for editors.

use serde_json::{Map, Value, json};

use crate::{
    kind::Kind,
    shape::{self, Field, ObjectShape, Shape},
    spelling,
};

/// One schema (draft 2020-12) for documents of every kind: which `spec` applies follows from
/// `kind`. It accepts what the parser coerces (numbers for texts), but not its leniency in the
/// case of field names, so that editors offer one spelling.
pub fn json_schema() -> Value {
    let conditions: Vec<Value> = Kind::ALL.into_iter().map(condition).collect();
    let kinds: Vec<Value> = Kind::ALL
        .into_iter()
        .map(|kind| json!({"const": kind.as_str(), "description": shape::kind_description(kind)}))
        .collect();
    let mut meta = object(shape::meta());
    // Server-owned, accepted and ignored.
    for ignored in ["owner", "runtime"] {
        meta["properties"][ignored] = json!({});
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "smr object",
        "type": "object",
        "required": ["kind", "meta"],
        "properties": {
            "kind": {"description": "What the object is.", "oneOf": kinds},
            "prefix": {
                "description": "Prefix and version of the object.",
                "type": "string",
                "pattern": "^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$",
                "default": crate::key::DEFAULT_PREFIX,
            },
            "meta": meta,
            "spec": {},
            "initContainer": {},
            "state": {"description": "Written by servers, ignored when read."},
        },
        "additionalProperties": false,
        "allOf": conditions,
    })
}

fn condition(kind: Kind) -> Value {
    let mut spec = schema(shape::spec(kind));
    if let Shape::Object(object) = shape::spec(kind) {
        spec["description"] = object.description.clone().into();
    }
    let mut properties = json!({"spec": spec});
    properties["initContainer"] = match kind {
        Kind::Containers => spec,
        _ => json!(false),
    };
    let mut then = json!({"properties": properties});
    if !matches!(kind, Kind::Network | Kind::Volume) {
        then["required"] = json!(["spec"]);
    }
    json!({
        "if": {"properties": {"kind": {"const": kind.as_str()}}, "required": ["kind"]},
        "then": then,
    })
}

fn schema(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": ["string", "number", "boolean"]}),
        Shape::Duration => json!({
            "type": "string",
            "pattern": r"^(0|([0-9.]+(ns|us|µs|ms|s|m|h|d))+)$",
            "examples": ["30s", "1m30s"],
        }),
        Shape::Size => json!({
            "type": ["string", "integer"],
            "pattern": "^[0-9.]+ ?([kKmMgGtT]?[iI]?[bB]?)$",
            "examples": ["512MiB"],
        }),
        Shape::Processors => json!({
            "type": ["string", "number"],
            "pattern": "^[0-9.]+m?$",
            "examples": ["0.5", "500m"],
        }),
        Shape::Integer { min, max } if *max == u64::MAX => {
            json!({"type": "integer", "minimum": min})
        }
        Shape::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Shape::Number => json!({"type": "number"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Choice(choices) => {
            let mut words = Vec::new();
            for choice in choices {
                words.push(json!({"const": choice.word, "description": choice.description}));
                for other in spelling::choice(&choice.word) {
                    words.push(json!({"const": other, "description": choice.description}));
                }
            }
            json!({"oneOf": words})
        }
        Shape::List(inner) => json!({"type": "array", "items": schema(inner)}),
        Shape::Map(inner) => json!({"type": "object", "additionalProperties": schema(inner)}),
        Shape::Object(inner) => object(inner),
        Shape::Any => json!({}),
    }
}

fn object(shape: &ObjectShape) -> Value {
    let properties: Map<String, Value> =
        shape.fields.iter().map(|f| (f.name.clone(), property(f))).collect();
    let required: Vec<&str> =
        shape.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = schema(&field.shape);
    schema["description"] = field.description.clone().into();
    if let Some(default) = field.default.as_ref().filter(|d| d.as_str() != Some("")) {
        schema["default"] = default.clone();
    }
    schema
}
