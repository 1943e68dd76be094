//! What a user applies: one object of one kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    key::{DEFAULT_PREFIX, ObjectKey},
    kind::Kind,
    spec::{
        CertkeySpec, ContainersSpec, DataSpec, GitopsSpec, HttpauthSpec, NetworkSpec, VolumeSpec,
    },
};

/// The object that manages another one, for example the gitops object that created it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// Kind of the owner.
    pub kind: Kind,
    /// Group of the owner.
    pub group: String,
    /// Name of the owner.
    pub name: String,
}

/// Who an object is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Namespace of the object.
    pub group: String,
    /// Name, unique within kind and group.
    pub name: String,
    /// Free labels; values may contain templates on `containers`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The object that manages this one; set by the server, never by users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub owner: Option<Owner>,
}

/// One object as applied, validated: kind, identity and typed specification.
///
/// Serialises in the shape of the YAML users write, defaults left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Prefix and version, for example `simplecontainer.io/v1`.
    pub prefix: String,
    /// Identity and labels.
    pub meta: Meta,
    /// The kind and its specification.
    pub spec: Spec,
}

/// A specification, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// Replicated containers.
    Containers(Box<ContainersSpec>, Option<Box<InitContainer>>),
    /// Template variables.
    Configuration(DataSpec),
    /// Files.
    Resource(DataSpec),
    /// Confidential values.
    Secret(DataSpec),
    /// A Docker network.
    Network(NetworkSpec),
    /// A Docker volume.
    Volume(VolumeSpec),
    /// Anything.
    Custom(serde_json::Map<String, serde_json::Value>),
    /// A Git repository.
    Gitops(GitopsSpec),
    /// Keys and certificates.
    Certkey(CertkeySpec),
    /// User name and password.
    Httpauth(HttpauthSpec),
}

/// The init container has the fields of a container specification; the ones that concern
/// replication are ignored.
pub type InitContainer = ContainersSpec;

impl Spec {
    /// The kind this specification belongs to.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::Containers(..) => Kind::Containers,
            Spec::Configuration(_) => Kind::Configuration,
            Spec::Resource(_) => Kind::Resource,
            Spec::Secret(_) => Kind::Secret,
            Spec::Network(_) => Kind::Network,
            Spec::Volume(_) => Kind::Volume,
            Spec::Custom(_) => Kind::Custom,
            Spec::Gitops(_) => Kind::Gitops,
            Spec::Certkey(_) => Kind::Certkey,
            Spec::Httpauth(_) => Kind::Httpauth,
        }
    }
}

impl Definition {
    /// The kind of the object.
    pub fn kind(&self) -> Kind {
        self.spec.kind()
    }

    /// The identity of the object.
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            prefix: self.prefix.clone(),
            kind: self.kind(),
            group: self.meta.group.clone(),
            name: self.meta.name.clone(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<S> {
    kind: Kind,
    #[serde(default = "default_prefix")]
    prefix: String,
    meta: Meta,
    #[serde(default = "Option::default")]
    spec: Option<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    init_container: Option<Box<InitContainer>>,
}

fn default_prefix() -> String {
    DEFAULT_PREFIX.to_owned()
}

impl Serialize for Definition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let mut init_container = None;
        let spec = match &self.spec {
            Spec::Containers(spec, init) => {
                init_container.clone_from(init);
                serde_json::to_value(spec)
            }
            Spec::Configuration(spec) | Spec::Resource(spec) | Spec::Secret(spec) => {
                serde_json::to_value(spec)
            }
            Spec::Network(spec) => serde_json::to_value(spec),
            Spec::Volume(spec) => serde_json::to_value(spec),
            Spec::Custom(spec) => Ok(serde_json::Value::Object(spec.clone())),
            Spec::Gitops(spec) => serde_json::to_value(spec),
            Spec::Certkey(spec) => serde_json::to_value(spec),
            Spec::Httpauth(spec) => serde_json::to_value(spec),
        }
        .map_err(S::Error::custom)?;
        Document {
            kind: self.kind(),
            prefix: self.prefix.clone(),
            meta: self.meta.clone(),
            spec: Some(spec),
            init_container,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Definition {
    /// Reads the canonical JSON form (as stored and sent). Users' YAML goes through the
    /// lenient, explaining parser instead.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let document = Document::<serde_json::Value>::deserialize(deserializer)?;
        let value = document.spec.unwrap_or_else(|| serde_json::json!({}));
        fn read<T: serde::de::DeserializeOwned, E: Error>(
            value: serde_json::Value,
        ) -> Result<T, E> {
            serde_json::from_value(value).map_err(E::custom)
        }
        let spec = match document.kind {
            Kind::Containers => Spec::Containers(read(value)?, document.init_container),
            Kind::Configuration => Spec::Configuration(read(value)?),
            Kind::Resource => Spec::Resource(read(value)?),
            Kind::Secret => Spec::Secret(read(value)?),
            Kind::Network => Spec::Network(read(value)?),
            Kind::Volume => Spec::Volume(read(value)?),
            Kind::Custom => Spec::Custom(read(value)?),
            Kind::Gitops => Spec::Gitops(read(value)?),
            Kind::Certkey => Spec::Certkey(read(value)?),
            Kind::Httpauth => Spec::Httpauth(read(value)?),
        };
        Ok(Self { prefix: document.prefix, meta: document.meta, spec })
    }
}
