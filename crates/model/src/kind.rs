//! The kinds of objects.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an object is. The text form is lower case (`containers`, `httpauth`, ...).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Replicated containers.
    Containers,
    /// Template variables shared by containers.
    Configuration,
    /// Text files rendered and placed into containers.
    Resource,
    /// Confidential values; sealed at rest, masked when shown.
    Secret,
    /// A Docker network.
    Network,
    /// A Docker volume.
    Volume,
    /// Arbitrary data for external readers.
    Custom,
    /// A Git repository as source of truth.
    Gitops,
    /// Keys and certificates, for example Git deploy keys.
    Certkey,
    /// A user name and password.
    Httpauth,
}

impl Kind {
    /// Every kind, in the order in which dependencies usually point.
    pub const ALL: [Kind; 10] = [
        Kind::Network,
        Kind::Volume,
        Kind::Secret,
        Kind::Configuration,
        Kind::Resource,
        Kind::Containers,
        Kind::Custom,
        Kind::Certkey,
        Kind::Httpauth,
        Kind::Gitops,
    ];

    /// The text form used in keys, YAML and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Containers => "containers",
            Kind::Configuration => "configuration",
            Kind::Resource => "resource",
            Kind::Secret => "secret",
            Kind::Network => "network",
            Kind::Volume => "volume",
            Kind::Custom => "custom",
            Kind::Gitops => "gitops",
            Kind::Certkey => "certkey",
            Kind::Httpauth => "httpauth",
        }
    }

    /// Whether the object's `spec` is confidential: sealed at rest and masked when shown.
    pub fn is_confidential(self) -> bool {
        matches!(self, Kind::Secret | Kind::Certkey | Kind::Httpauth)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A kind nobody defined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind `{kind}`{}", suggestion.map(|k| format!(", did you mean `{k}`?")).unwrap_or_default())]
pub struct UnknownKind {
    /// The text as given.
    pub kind: String,
    /// The closest known kind, if one is close.
    pub suggestion: Option<Kind>,
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Case-insensitive; singular and plural spellings of the same word are accepted
    /// (`container`, `secrets`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let same = |k: &Kind| {
            let known = k.as_str().trim_end_matches('s');
            known == lower.trim_end_matches('s')
        };
        if let Some(kind) = Kind::ALL.into_iter().find(same) {
            return Ok(kind);
        }
        let suggestion = Kind::ALL
            .into_iter()
            .map(|k| (strsim::damerau_levenshtein(k.as_str(), &lower), k))
            .filter(|(distance, _)| *distance <= 3)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, k)| k);
        Err(UnknownKind { kind: text.to_owned(), suggestion })
    }
}
