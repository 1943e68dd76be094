//! Who a peer is, read from the certificate it presented.

use jiff::Timestamp;
use x509_parser::prelude::{GeneralName, X509Certificate};

use crate::{
    PkiError, Role, Validity,
    subject::{JOINER, NODE_URI},
    trust::sha256_hex,
};

/// The holder of a certificate. Only the certificate's fields are read here: that it was signed
/// by the cluster's authority and is in its validity is the TLS handshake's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Common name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Of a member of a cluster: its id.
    pub node_id: Option<u64>,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Id of the public key: SHA-256 of its `SubjectPublicKeyInfo`, lower-case hex. It stays the
    /// same when a certificate is renewed with the same key.
    pub key_id: String,
    /// End of validity.
    pub not_after: Timestamp,
}

/// What a server learns from the certificate of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Whom the certificate names.
    pub identity: Identity,
    /// Whether the certificate was past its end at the time the connection was made. Only a server
    /// with [`crate::ExpiredPeers::Admit`] ever sees this; it must answer such a peer nothing but
    /// a request for a new certificate.
    pub expired: bool,
}

impl PeerIdentity {
    /// Reads the first certificate a peer presented (`peer_certificates()[0]`), at `now`.
    ///
    /// # Errors
    /// Those of [`Identity::from_der`].
    pub fn from_der(der: &[u8], now: Timestamp) -> Result<Self, PkiError> {
        let identity = Identity::from_der(der)?;
        let expired = identity.is_expired(now);
        Ok(Self { identity, expired })
    }
}

impl Identity {
    /// Reads the first certificate a peer presented (`peer_certificates()[0]`).
    ///
    /// # Errors
    /// [`PkiError::Damaged`], [`PkiError::NoName`], [`PkiError::NoRole`],
    /// [`PkiError::UnknownRole`], [`PkiError::BadNodeId`]; also when one of them occurs twice.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        Self::read(der, "the peer's request")
    }

    /// Whether the certificate is past its end at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// Of the holder of a join token: the token's id.
    pub fn token_id(&self) -> Option<&str> {
        if self.role == Role::Join { self.name.strip_prefix(JOINER) } else { None }
    }

    pub(crate) fn read(der: &[u8], origin: &str) -> Result<Self, PkiError> {
        let certificate = parse(der, origin)?;
        let subject = certificate.subject();
        let name = only(subject.iter_common_name())
            .ok_or_else(|| PkiError::NoName { origin: origin.to_owned() })?
            .to_owned();
        let role = only(subject.iter_organizational_unit())
            .ok_or_else(|| PkiError::NoRole { name: name.clone() })?
            .parse()?;
        let node_id = if role == Role::Node { node_id(&certificate, &name)? } else { None };
        Ok(Self {
            name,
            role,
            node_id,
            serial: serial(&certificate),
            key_id: sha256_hex(certificate.public_key().raw),
            not_after: validity(&certificate).not_after,
        })
    }
}

/// The id in the certificate of a member.
fn node_id(certificate: &X509Certificate<'_>, name: &str) -> Result<Option<u64>, PkiError> {
    let bad = || PkiError::BadNodeId { name: name.to_owned() };
    let Some(names) = certificate.subject_alternative_name().map_err(|_| bad())? else {
        return Ok(None);
    };
    let mut id = None;
    for general in &names.value.general_names {
        let GeneralName::URI(uri) = general else { continue };
        let found: u64 = uri.strip_prefix(NODE_URI).and_then(|n| n.parse().ok()).ok_or_else(bad)?;
        if id.replace(found).is_some() || *uri != format!("{NODE_URI}{found}") {
            return Err(bad());
        }
    }
    Ok(id)
}

/// The serial number, lower-case hex.
pub(crate) fn serial(certificate: &X509Certificate<'_>) -> String {
    hex::encode(certificate.raw_serial())
}

/// The validity of a certificate.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let at = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let validity = certificate.validity();
    Validity {
        not_before: at(validity.not_before.timestamp()),
        not_after: at(validity.not_after.timestamp()),
    }
}

/// Parses a certificate.
pub(crate) fn parse<'a>(der: &'a [u8], origin: &str) -> Result<X509Certificate<'a>, PkiError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(PkiError::Damaged { origin: origin.to_owned(), what: "certificate (X.509)" }),
    }
}

/// The value, if there is exactly one and it is text.
fn only<'a, 'b: 'a>(
    mut values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'b>>,
) -> Option<&'a str> {
    let value = values.next()?.as_str().ok()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(attributes: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_roles_must_be_there_and_known() {
        let refused = |attributes: &[(DnType, &str)]| {
            Identity::from_der(&certificate(attributes)).unwrap_err().to_string()
        };
        let kim = (DnType::CommonName, "kim");
        assert_eq!(
            refused(&[(DnType::OrganizationalUnitName, "admin")]),
            "the certificate in the peer's request names nobody (its subject has no common name)"
        );
        assert_eq!(refused(std::slice::from_ref(&kim)), "the certificate of `kim` carries no role");
        assert_eq!(
            refused(&[kim, (DnType::OrganizationalUnitName, "root")]),
            "`root` is not a role; use admin, operator, viewer or node"
        );
        assert_eq!(
            Identity::from_der(b"nonsense").unwrap_err().to_string(),
            "the peer's request does not hold a readable certificate (X.509)"
        );
    }
}
