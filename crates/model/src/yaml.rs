//! Definitions as YAML, as users would write them.

use serde_json::Value;

use crate::{definition::Definition, digest::canonical_json};

/// The definition as one YAML document: keys sorted, defaults left out, newline at the end.
/// Reading it again gives an equal definition.
pub fn to_yaml(definition: &Definition) -> String {
    value_to_yaml(definition)
}

/// Any plain data as YAML with sorted keys.
pub fn value_to_yaml<T: serde::Serialize>(value: &T) -> String {
    let sorted: Value =
        serde_json::from_str(&canonical_json(value)).expect("canonical JSON is valid JSON");
    let mut text =
        serde_saphyr::to_string(&sorted).expect("plain data with string keys is valid YAML");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
