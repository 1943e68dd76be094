//! Networks, volumes, Git sources and credentials.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{key::DEFAULT_PREFIX, quantity::GoDuration};

/// A network of the container engine. Its engine name is the object's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSpec {
    /// Network driver, `bridge` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Address range in CIDR form; the engine chooses when empty.
    #[serde(rename = "ipv4AddressPool", skip_serializing_if = "String::is_empty")]
    pub ipv4_address_pool: String,
    /// Driver options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// No way out of the network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}

/// A volume of the container engine. Its engine name is `<group>-<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeSpec {
    /// Volume driver, `local` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Driver options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
}

/// A reference to a `certkey` or `httpauth` object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialRef {
    /// Prefix and version of the object.
    #[serde(default = "default_prefix", skip_serializing_if = "is_default_prefix")]
    pub prefix: String,
    /// Group of the object.
    pub group: String,
    /// Name of the object.
    pub name: String,
}

fn default_prefix() -> String {
    DEFAULT_PREFIX.to_owned()
}

fn is_default_prefix(prefix: &String) -> bool {
    prefix == DEFAULT_PREFIX
}

/// A Git repository whose pack is applied and kept applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitopsSpec {
    /// Repository address (`https://`, `ssh://` or `git@host:path`).
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// Branch, tag or commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// Directory of the pack inside the repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub directory_path: String,
    /// How often the repository is asked for changes; 360 s when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling_interval: Option<GoDuration>,
    /// Apply changes without being asked.
    #[serde(default)]
    pub automatic_sync: bool,
    /// Key for access by SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_key_ref: Option<CredentialRef>,
    /// User name and password for access by HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_auth_ref: Option<CredentialRef>,
}

/// Keys and certificates, base64 by convention.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertkeySpec {
    /// Certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub certificate: String,
    /// Public key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_key: String,
    /// Private key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_key: String,
    /// Password of the private key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_key_password: String,
    /// Key store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_store: String,
    /// Password of the key store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_store_password: String,
    /// Certificate store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_store: String,
    /// Password of the certificate store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_store_password: String,
}

/// User name and password for HTTP basic authentication.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpauthSpec {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for CertkeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertkeySpec([redacted])")
    }
}

impl fmt::Debug for HttpauthSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpauthSpec([redacted])")
    }
}
