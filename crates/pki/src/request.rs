//! Certificates for keys that stay where they were made: the holder makes a key and a request,
//! the authority signs the request's public key under a subject of the authority's choice.

use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;

use crate::{Credentials, PkiError, PrivateKey, key::certificates_from_pem};

/// A key waiting for its certificate. Send [`SigningRequest::pem`] to the authority.
#[derive(Debug)]
pub struct SigningRequest {
    key: PrivateKey,
    pem: String,
}

impl SigningRequest {
    /// Makes a key and a request. The request carries nothing but the public key and proof of
    /// the private one: who the certificate is for is decided where it is signed.
    pub fn generate() -> Result<Self, PkiError> {
        let key = PrivateKey::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let pem = key
            .with_pair(|pair| params.serialize_request(pair).and_then(|csr| csr.pem()))
            .map_err(|err| PkiError::Crypto {
                action: "make a signing request",
                source: err.into(),
            })?;
        Ok(Self { key, pem })
    }

    /// The request, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Joins the key with the certificate and the authority that came back, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Damaged`]; [`PkiError::KeyMismatch`] if the answer is for another key.
    pub fn complete(self, certificate: &str, authority: &str) -> Result<Credentials, PkiError> {
        let first = |pem: &str, origin: &str| -> Result<CertificateDer<'static>, PkiError> {
            Ok(certificates_from_pem(pem.as_bytes(), origin)?.remove(0))
        };
        Credentials::new(
            self.key,
            first(certificate, "the answer to the signing request")?,
            first(authority, "the authority's answer")?,
            "the answer to the signing request",
        )
    }
}
