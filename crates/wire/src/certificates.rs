//! Issued certificates, revoking them, the cluster's authorities and their replacement.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// An issued certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateInfo {
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Name of the node, user or token it is for.
    pub name: String,
    /// Role: `admin`, `operator`, `viewer`, `node`, `join`.
    pub role: String,
    /// Id of the node it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// When it was issued.
    #[schemars(with = "String")]
    pub issued: Timestamp,
    /// When it ends.
    #[schemars(with = "String")]
    pub not_after: Timestamp,
    /// Whole days until then, negative after it.
    pub days_left: i64,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revoked: Option<Timestamp>,
    /// Why, and by whom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Issued certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateList {
    /// By name, then end.
    pub items: Vec<CertificateInfo>,
}

/// Why certificates are revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RevokeRequest {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What was revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokeResponse {
    /// Certificates that were valid before; empty when they were revoked already.
    pub revoked: Vec<CertificateInfo>,
}

/// A node asks for a certificate for its key, new or the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateRequest {
    /// Signing request, PEM.
    pub request: String,
    /// DNS names it is reached at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Addresses it is reached at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
}

/// The answer to [`CertificateRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateAnswer {
    /// The certificate, PEM.
    pub certificate: String,
    /// The authorities to trust, PEM, the one that signed first.
    pub authorities: String,
}

/// A user to be given a key and a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserCreate {
    /// Name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Role: `admin`, `operator` or `viewer`.
    pub role: String,
    /// How long the certificate is valid, seconds; `certificates.user` of the configuration unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// A user's new key and certificate, the only time the key is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserCreated {
    /// What is kept of the certificate.
    #[serde(flatten)]
    pub certificate: CertificateInfo,
    /// Key, certificate and trusted authorities, PEM: what a context is made of.
    pub bundle: Secret,
}

/// A step in the replacement of the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RotateAction {
    /// Make a new authority, which everybody trusts beside the old one.
    Begin,
    /// Let the new one sign.
    Switch,
    /// Trust the old one no more.
    Finish,
    /// Give up the new one, as long as it has not signed.
    Cancel,
}

/// See [`RotateAction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// The step.
    pub action: RotateAction,
    /// Also while nodes that are down trust the old authority alone, or hold certificates of it.
    #[serde(default)]
    pub force: bool,
}

/// How far the replacement is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RotationState {
    /// There is one authority.
    #[default]
    Stable,
    /// The old one signs, both are trusted.
    Begun,
    /// The new one signs, both are trusted.
    Switched,
}

/// An authority of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityInfo {
    /// SHA-256 of its certificate, hex.
    pub fingerprint: String,
    /// Whether it signs.
    pub signs: bool,
    /// When it ends; of one that only verifies, nobody keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_after: Option<Timestamp>,
}

/// Which authorities a member trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustInfo {
    /// Id of the member.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub ready: bool,
    /// Whether it trusts exactly the authorities in force.
    pub current: bool,
    /// Whether its certificate in use is from the authority that signs.
    pub renewed: bool,
}

/// The authorities of the cluster and who trusts them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthoritiesInfo {
    /// How far their replacement is.
    pub state: RotationState,
    /// The authorities that are trusted.
    pub authorities: Vec<AuthorityInfo>,
    /// Every member, in order of id.
    pub nodes: Vec<TrustInfo>,
    /// Users whose certificates are of another authority than the one that signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_users: Vec<String>,
}
