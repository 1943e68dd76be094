//! Object and replica identities (spec 1: canonical key and short formats).

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kind::{Kind, UnknownKind};

/// The prefix and version of an object that names none.
pub const DEFAULT_PREFIX: &str = "simplecontainer.io/v1";

/// The identity of an object: `prefix/version/kind/group/name`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct ObjectKey {
    /// Prefix and version in one text with exactly one `/`, for example `simplecontainer.io/v1`.
    pub prefix: String,
    /// What the object is.
    pub kind: Kind,
    /// Namespace of the object.
    pub group: String,
    /// Name, unique within kind and group.
    pub name: String,
}

impl ObjectKey {
    /// A key under [`DEFAULT_PREFIX`].
    pub fn new(kind: Kind, group: impl Into<String>, name: impl Into<String>) -> Self {
        Self { prefix: DEFAULT_PREFIX.to_owned(), kind, group: group.into(), name: name.into() }
    }

    /// `kind/group/name`, the form people type.
    pub fn short(&self) -> String {
        format!("{}/{}/{}", self.kind, self.group, self.name)
    }

    /// `prefix/version/kind/<kind>/group/name`, the canonical form with its category element.
    pub fn canonical(&self) -> String {
        format!("{}/kind/{}/{}/{}", self.prefix, self.kind, self.group, self.name)
    }
}

impl fmt::Display for ObjectKey {
    /// The short form, preceded by the prefix when it is not the default one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == DEFAULT_PREFIX { f.pad(&self.short()) } else { f.pad(&self.canonical()) }
    }
}

/// Why a text is not an object reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing was given.
    #[error("empty input")]
    Empty,
    /// Two slashes in a row, or one at an end.
    #[error("format elements cannot be empty: `{text}`")]
    EmptyElement {
        /// The text as given.
        text: String,
    },
    /// More or fewer elements than any known form.
    #[error(
        "`{text}` is not a valid format; valid formats are: prefix/version/kind/KIND/group/name, \
         kind/group/name, kind/name, kind"
    )]
    Elements {
        /// The text as given.
        text: String,
    },
    /// The kind element is unknown.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
}

/// A possibly partial reference to objects, as typed on a command line (spec 1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// Prefix and version; [`DEFAULT_PREFIX`] when not given.
    pub prefix: String,
    /// The kind.
    pub kind: Kind,
    /// The group; absent for `kind` and `kind/name` forms.
    pub group: Option<String>,
    /// The name; absent for the `kind` form.
    pub name: Option<String>,
    /// The seventh element of a canonical key, for example a replica name.
    pub field: Option<String>,
}

impl ObjectRef {
    /// The full key, if group and name are known; a missing group becomes `default_group`.
    pub fn key(&self, default_group: &str) -> Option<ObjectKey> {
        Some(ObjectKey {
            prefix: self.prefix.clone(),
            kind: self.kind,
            group: self.group.clone().unwrap_or_else(|| default_group.to_owned()),
            name: self.name.clone()?,
        })
    }
}

impl FromStr for ObjectRef {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let elements: Vec<&str> = text.splitn(7, '/').collect();
        if elements.iter().any(|e| e.is_empty()) {
            return Err(KeyError::EmptyElement { text: text.to_owned() });
        }
        let short = |kind: &str, group: Option<&str>, name: Option<&str>| {
            Ok(Self {
                prefix: DEFAULT_PREFIX.to_owned(),
                kind: kind.parse()?,
                group: group.map(str::to_owned),
                name: name.map(str::to_owned),
                field: None,
            })
        };
        match elements.as_slice() {
            [kind] => short(kind, None, None),
            [kind, name] => short(kind, None, Some(name)),
            [kind, group, name] => short(kind, Some(group), Some(name)),
            ["kind" | "state", kind, group, name] => short(kind, Some(group), Some(name)),
            [prefix, version, "kind" | "state", kind, group, name] => Ok(Self {
                prefix: format!("{prefix}/{version}"),
                ..short(kind, Some(group), Some(name))?
            }),
            [prefix, version, "kind" | "state", kind, group, name, field] => Ok(Self {
                prefix: format!("{prefix}/{version}"),
                field: Some((*field).to_owned()),
                ..short(kind, Some(group), Some(name))?
            }),
            _ => Err(KeyError::Elements { text: text.to_owned() }),
        }
    }
}

/// One replica of a `containers` object. Group, name and index are kept apart, because generated
/// names cannot be taken apart again when a group or name contains `-`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct ReplicaKey {
    /// Group of the `containers` object.
    pub group: String,
    /// Name of the `containers` object.
    pub name: String,
    /// Index, counted from 1.
    pub index: u32,
}

impl ReplicaKey {
    /// A key from its parts.
    pub fn new(group: impl Into<String>, name: impl Into<String>, index: u32) -> Self {
        Self { group: group.into(), name: name.into(), index }
    }

    /// `<group>-<name>-<index>`: container name, host name and DNS host part (spec 1.5).
    pub fn generated_name(&self) -> String {
        format!("{}-{}-{}", self.group, self.name, self.index)
    }

    /// Container name of the init container: `<group>-<name>-<index>-init`.
    pub fn init_name(&self) -> String {
        format!("{}-init", self.generated_name())
    }

    /// The `containers` object this replica belongs to, under the default prefix.
    pub fn object(&self) -> ObjectKey {
        ObjectKey::new(Kind::Containers, &self.group, &self.name)
    }
}

impl fmt::Display for ReplicaKey {
    /// `containers/<group>/<generated name>`, as tables show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "containers/{}/{}", self.group, self.generated_name())
    }
}
