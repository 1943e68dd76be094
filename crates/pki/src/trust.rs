//! The certificates of the authorities that are believed: one as a rule, two while the cluster
//! changes its authority.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::{RootCertStore, pki_types::CertificateDer};

use crate::{
    PkiError, identity,
    key::{certificate_to_pem, certificates_from_pem},
};

/// Certificates of authorities, in the order they were given, each once, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustBundle {
    certificates: Vec<CertificateDer<'static>>,
}

impl TrustBundle {
    /// Reads one or more certificates, PEM. `origin` names the text in errors.
    ///
    /// # Errors
    /// [`PkiError::Damaged`]; [`PkiError::NotAnAuthority`] for a certificate that cannot sign
    /// others.
    pub fn from_pem(pem: &str, origin: &str) -> Result<Self, PkiError> {
        Self::from_der(certificates_from_pem(pem.as_bytes(), origin)?, origin)
    }

    pub(crate) fn from_der(
        certificates: Vec<CertificateDer<'static>>,
        origin: &str,
    ) -> Result<Self, PkiError> {
        let mut kept: Vec<CertificateDer<'static>> = Vec::with_capacity(certificates.len());
        for certificate in certificates {
            if !identity::parse(&certificate, origin)?.is_ca() {
                return Err(PkiError::NotAnAuthority { origin: origin.to_owned() });
            }
            if !kept.contains(&certificate) {
                kept.push(certificate);
            }
        }
        if kept.is_empty() {
            let what = "certificate (X.509, PEM)";
            return Err(PkiError::Damaged { origin: origin.to_owned(), what });
        }
        Ok(Self { certificates: kept })
    }

    /// All certificates, PEM, one after the other.
    pub fn to_pem(&self) -> String {
        self.certificates.iter().map(certificate_to_pem).collect()
    }

    /// SHA-256 of each certificate (DER), lower-case hex.
    pub fn hashes(&self) -> Vec<String> {
        self.certificates.iter().map(|certificate| sha256_hex(certificate)).collect()
    }

    pub(crate) fn split_first(&self) -> (&CertificateDer<'static>, &[CertificateDer<'static>]) {
        self.certificates.split_first().expect("a bundle has at least one")
    }

    pub(crate) fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.contains(certificate)
    }

    pub(crate) fn roots(&self, origin: &str) -> Result<Arc<RootCertStore>, PkiError> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.certificates {
            roots
                .add(certificate.clone())
                .map_err(|source| PkiError::Tls { origin: origin.to_owned(), source })?;
        }
        Ok(Arc::new(roots))
    }
}

/// SHA-256, lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Authority, Role, Subject};

    #[test]
    fn a_bundle_holds_each_authority_once_and_nothing_else() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let day = Duration::from_hours(24);
        let (a, b) = (Authority::create(day, now).unwrap(), Authority::create(day, now).unwrap());
        let pem = [a.certificate_pem(), b.certificate_pem(), a.certificate_pem()].concat();
        let bundle = TrustBundle::from_pem(&pem, "the test").unwrap();
        assert_eq!(bundle.hashes(), [a.hash(), b.hash()]);
        assert_eq!(TrustBundle::from_pem(&bundle.to_pem(), "the test").unwrap(), bundle);

        let kim = a.issue(&Subject::user("kim", Role::Admin).unwrap(), day, now).unwrap();
        assert_eq!(
            TrustBundle::from_pem(&kim.certificate_pem(), "`ca.crt`").unwrap_err().to_string(),
            "the certificate in `ca.crt` is not that of an authority"
        );
        assert!(TrustBundle::from_pem("", "`ca.crt`").is_err());
    }
}
