//! The argument of `lookup`: which key of which object.

use std::fmt;
use std::str::FromStr;

use crate::error::LookupError;

/// Prefix and version of objects that do not name their own.
pub const DEFAULT_PREFIX: &str = "simplecontainer.io/v1";

/// Spelling of the default prefix in older documents; the same namespace.
const PREFIX_ALIAS: &str = "simplecontainers.io/v1";

/// Kinds whose data can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A `secret`; its values are returned as stored.
    Secret,
    /// A `configuration`; its values are rendered once before they are returned.
    Configuration,
}

impl ObjectKind {
    /// The kind as written in keys and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Configuration => "configuration",
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A parsed `lookup` argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A data key of a stored object.
    Object {
        /// Prefix with version, for example `simplecontainer.io/v1`.
        prefix: String,
        /// Which kind of object.
        kind: ObjectKind,
        /// `meta.group` of the object.
        group: String,
        /// `meta.name` of the object.
        name: String,
        /// The key inside `spec.data`.
        key: String,
    },
    /// A variable of the container that is being prepared.
    Runtime {
        /// Name of the variable.
        key: String,
    },
}

impl Reference {
    /// The data key or the variable name.
    pub fn key(&self) -> &str {
        match self {
            Self::Object { key, .. } | Self::Runtime { key } => key,
        }
    }

    /// The full path of the object without the data key; `runtime/container/configuration` for
    /// variables.
    pub fn object_path(&self) -> String {
        match self {
            Self::Object { prefix, kind, group, name, .. } => {
                format!("{prefix}/kind/{kind}/{group}/{name}")
            }
            Self::Runtime { .. } => "runtime/container/configuration".to_owned(),
        }
    }
}

/// The short form where there is one: it parses back to the same reference.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { prefix, kind, group, name, key } if prefix == DEFAULT_PREFIX => {
                write!(f, "{kind}/{group}/{name}:{key}")
            }
            _ => write!(f, "{}:{}", self.object_path(), self.key()),
        }
    }
}

impl FromStr for Reference {
    type Err = LookupError;

    fn from_str(text: &str) -> Result<Self, LookupError> {
        let invalid = |reason| LookupError::Invalid { text: text.to_owned(), reason };
        let unsupported = || LookupError::Unsupported { text: text.to_owned() };
        let (path, key) = text.split_once(':').ok_or_else(|| {
            invalid("invalid format for name:key, the object and its key are separated by one `:`")
        })?;
        if key.contains(':') {
            return Err(invalid("invalid format for name:key, there is more than one `:`"));
        }
        let elements: Vec<&str> = path.split('/').collect();
        if key.is_empty() || elements.iter().any(|element| element.is_empty()) {
            return Err(invalid("format elements cannot be empty"));
        }
        let (prefix, kind, group, name) = match *elements.as_slice() {
            ["runtime", "container", "configuration"] => {
                return Ok(Self::Runtime { key: key.to_owned() });
            }
            ["runtime", ..] => return Err(unsupported()),
            [kind, group, name] => (DEFAULT_PREFIX.to_owned(), kind, group, name),
            [prefix, version, category, kind, group, name] => {
                if category != "kind" {
                    return Err(unsupported());
                }
                (format!("{prefix}/{version}"), kind, group, name)
            }
            _ => {
                return Err(invalid(
                    "the object is `<kind>/<group>/<name>` or \
                     `<prefix>/<version>/kind/<kind>/<group>/<name>`",
                ));
            }
        };
        let kind = match kind.to_lowercase().as_str() {
            "secret" => ObjectKind::Secret,
            "configuration" => ObjectKind::Configuration,
            _ => return Err(unsupported()),
        };
        let prefix = if prefix == PREFIX_ALIAS { DEFAULT_PREFIX.to_owned() } else { prefix };
        Ok(Self::Object {
            prefix,
            kind,
            group: group.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Reference, LookupError> {
        text.parse()
    }

    #[test]
    fn short_long_and_alias_forms_are_one_reference() {
        let short = parse("secret/mysql/password:password").unwrap();
        assert_eq!(
            short,
            Reference::Object {
                prefix: DEFAULT_PREFIX.into(),
                kind: ObjectKind::Secret,
                group: "mysql".into(),
                name: "password".into(),
                key: "password".into(),
            }
        );
        for text in [
            "simplecontainer.io/v1/kind/secret/mysql/password:password",
            "simplecontainers.io/v1/kind/secret/mysql/password:password",
            "Secret/mysql/password:password",
        ] {
            assert_eq!(parse(text).unwrap(), short, "{text}");
        }
        assert_eq!(short.to_string(), "secret/mysql/password:password");
        assert_eq!(short.object_path(), "simplecontainer.io/v1/kind/secret/mysql/password");
    }

    #[test]
    fn foreign_prefixes_stay_distinct_and_display_round_trips() {
        for text in [
            "traefik.io/v1/kind/configuration/a/b:c",
            "configuration/a/b:c.d/e",
            "runtime/container/configuration:name",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn broken_references_are_refused() {
        for text in ["", "secret/a/b", "secret/a/b:c:d", "secret//b:c", "secret/a/b:", "a/b:c"] {
            assert!(matches!(parse(text), Err(LookupError::Invalid { .. })), "{text}");
        }
        for text in ["resource/a/b:c", "runtime/node/x:y", "p/v1/state/secret/a/b:c"] {
            assert!(matches!(parse(text), Err(LookupError::Unsupported { .. })), "{text}");
        }
    }
}
