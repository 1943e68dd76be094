//! Checked values and their TOML.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::units::{format_duration, format_size};

/// A value that passed its field's checks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Texts(Vec<String>),
    Bool(bool),
    Integer(i64),
    Number(f64),
    Duration(Duration),
    Size(u64),
    Addresses(Vec<SocketAddr>),
    Map(BTreeMap<String, String>),
}

impl Value {
    /// The value as TOML on one line.
    pub(crate) fn to_toml(&self) -> String {
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        match self {
            Self::Text(text) => quote(text),
            Self::Texts(texts) => list(texts.iter().map(|text| quote(text)).collect()),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => format!("{value:?}"),
            Self::Duration(value) => quote(&format_duration(*value)),
            Self::Size(value) => quote(&format_size(*value)),
            Self::Addresses(values) => list(values.iter().map(|a| quote(&a.to_string())).collect()),
            Self::Map(map) if map.is_empty() => "{}".to_owned(),
            Self::Map(map) => {
                let pairs: Vec<String> =
                    map.iter().map(|(k, v)| format!("{} = {}", bare_key(k), quote(v))).collect();
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }
}

/// Text as a TOML string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A key, quoted if TOML needs it.
pub(crate) fn bare_key(key: &str) -> String {
    let is_bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if is_bare { key.to_owned() } else { quote(key) }
}
