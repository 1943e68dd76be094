//! The values of all keys with where they came from.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use toml::de::DeValue;

use crate::{
    Host, Problem, check,
    field::{Default, FIELDS, Field},
    value::Value,
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File {
        name: String,
        line: usize,
        column: usize,
    },
    /// A flag or a variable.
    Override(String),
}

impl Origin {
    /// A problem of the value with this origin.
    pub(crate) fn problem(&self, key: String, message: String) -> Problem {
        let (origin, position) = match self {
            Self::Default => ("defaults".to_owned(), None),
            Self::File { name, line, column } => (name.clone(), Some((*line, *column))),
            Self::Override(name) => (name.clone(), None),
        };
        Problem { origin, position, key: Some(key), message }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// One setting per key; keys without default may be absent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings(BTreeMap<&'static str, Setting>);

const KIND: &str = "the table of fields gives the key a default of this kind, which a test reads";

impl Settings {
    pub(crate) fn defaults(host: &Host) -> Self {
        let with_default = FIELDS.iter().filter_map(|field| {
            let value = default_of(field, host)?;
            Some((field.key, Setting { value, origin: Origin::Default }))
        });
        Self(with_default.collect())
    }

    pub(crate) fn set(&mut self, field: &'static Field, value: Value, origin: Origin) {
        self.0.insert(field.key, Setting { value, origin });
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.optional_text(key).expect(KIND)
    }

    pub(crate) fn optional_text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, key: &str) -> &[String] {
        match self.get(key) {
            Some(Setting { value: Value::Texts(texts), .. }) => texts,
            _ => &[],
        }
    }

    pub(crate) fn addresses(&self, key: &str) -> &[SocketAddr] {
        match self.get(key) {
            Some(Setting { value: Value::Addresses(addresses), .. }) => addresses,
            _ => &[],
        }
    }

    pub(crate) fn map(&self, key: &str) -> &BTreeMap<String, String> {
        match &self.get(key).expect(KIND).value {
            Value::Map(map) => Some(map),
            _ => None,
        }
        .expect(KIND)
    }

    pub(crate) fn bool(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Setting { value: Value::Bool(true), .. }))
    }

    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key)?.value {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        match self.get(key).expect(KIND).value {
            Value::Number(value) => Some(value),
            _ => None,
        }
        .expect(KIND)
    }

    pub(crate) fn size(&self, key: &str) -> u64 {
        match self.get(key).expect(KIND).value {
            Value::Size(value) => Some(value),
            _ => None,
        }
        .expect(KIND)
    }

    pub(crate) fn duration(&self, key: &str) -> Duration {
        match self.get(key).expect(KIND).value {
            Value::Duration(value) => Some(value),
            _ => None,
        }
        .expect(KIND)
    }
}

fn default_of(field: &Field, host: &Host) -> Option<Value> {
    match field.default {
        Default::Unset => None,
        Default::Hostname => Some(Value::Text(label_of(&host.hostname))),
        Default::ContextsDir => {
            // A relative home would make the context depend on where the node was started.
            let home = if host.home.is_absolute() { &host.home } else { Path::new("/root") };
            Some(Value::Text(home.join(".smrctl/contexts").display().to_string()))
        }
        Default::Is(text) => {
            let value = DeValue::parse(text).expect("defaults are TOML, which a test reads");
            let checked = check::value(field.kind, value.get_ref(), text, field.example);
            Some(checked.expect("defaults pass their checks, which a test reads"))
        }
    }
}

/// The first label of a host name, as a DNS label; `node` if nothing of it can be used.
fn label_of(hostname: &str) -> String {
    let first = hostname.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let label: String =
        first.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    match label.trim_matches('-') {
        "" => "node".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_name_gives_a_label() {
        assert_eq!(label_of("Web1.example.com"), "web1");
        assert_eq!(label_of("my_box"), "my-box");
        assert_eq!(label_of("..."), "node");
        assert_eq!(label_of(&"a".repeat(80)).len(), 63);
    }
}
