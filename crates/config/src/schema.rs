//! The JSON Schema of the file, for editors.

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use crate::{
    field::{Default, Field, Kind, SECTIONS},
    render::fields_of,
};

/// The JSON Schema (2020-12) of `smr.toml`.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "smr.toml",
        "description": "Configuration of a node. Every key has a default.",
        "type": "object",
        "additionalProperties": false,
        "properties": tables(""),
    })
}

/// The tables directly in `parent`, each with its keys.
fn tables(parent: &str) -> Map<String, Value> {
    let mut properties = Map::new();
    for section in SECTIONS {
        let (above, name) = section.key.rsplit_once('.').unwrap_or(("", section.key));
        if above != parent {
            continue;
        }
        let mut keys: Map<String, Value> = fields_of(section.key)
            .map(|field| (field.split().1.to_owned(), property(field)))
            .collect();
        keys.extend(tables(section.key));
        let table = json!({
            "description": section.doc,
            "type": "object",
            "additionalProperties": false,
            "properties": keys,
        });
        properties.insert(name.to_owned(), table);
    }
    properties
}

fn property(field: &Field) -> Value {
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let mut property = match field.kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Integer { min, max: i64::MAX } => json!({"type": "integer", "minimum": min}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Number { min, max } => json!({"type": "number", "minimum": min, "maximum": max}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Label => json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}),
        Kind::Duration { .. } => json!({
            "type": "string",
            "pattern": "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        }),
        Kind::Size { .. } => json!({"type": "string", "pattern": "^[0-9]+([KMGT]iB|[kMGT]?B)$"}),
        Kind::Path => json!({"type": "string", "pattern": "^/"}),
        Kind::Socket => json!({"type": "string", "pattern": "^unix:///"}),
        Kind::Peer => json!({"type": "string", "pattern": "^.+:[0-9]+$"}),
        Kind::Urls => {
            json!({"type": "array", "items": {"type": "string", "pattern": "^https://"}})
        }
        Kind::Addresses { empty: true } | Kind::Domains | Kind::Ips => texts(),
        Kind::Addresses { empty: false } => {
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1})
        }
        Kind::Labels => json!({"type": "object", "additionalProperties": {"type": "string"}}),
    };
    property["description"] = json!(field.doc);
    if let Default::Is(text) = field.default
        && let Ok(value) = DeValue::parse(text)
    {
        property["default"] = to_json(value.get_ref());
    }
    property
}

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(n) => {
            json!(i64::from_str_radix(n.as_str(), n.radix()).unwrap_or_default())
        }
        DeValue::Float(n) => json!(n.as_str().parse::<f64>().unwrap_or_default()),
        DeValue::Boolean(value) => json!(value),
        DeValue::Datetime(value) => json!(value.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(k, v)| (k.get_ref().to_string(), to_json(v.get_ref())));
            Value::Object(pairs.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::FIELDS;

    #[test]
    fn every_key_is_in_the_schema() {
        let schema = schema();
        for field in FIELDS {
            let pointer = format!("/properties/{}", field.key.replace('.', "/properties/"));
            assert!(schema.pointer(&pointer).is_some(), "{}", field.key);
        }
        assert_eq!(schema["properties"]["docker"]["properties"]["parallelism"]["default"], 8);
    }
}
