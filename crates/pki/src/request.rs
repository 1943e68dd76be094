//! Certificates for keys that stay where they were made: the holder makes a key and a request,
//! the authority signs the request's public key under a subject of the authority's choice.

use rcgen::{CertificateParams, CertificateSigningRequestParams, PublicKeyData as _};

use crate::{
    Credentials, PkiError, PrivateKey, TrustBundle, key::certificates_from_pem, trust::sha256_hex,
};

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

    /// Joins the key with the certificate and the authorities that came back, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Damaged`]; [`PkiError::KeyMismatch`] if the answer is for another key.
    pub fn complete(self, certificate: &str, authorities: &str) -> Result<Credentials, PkiError> {
        complete(self.key, certificate, authorities)
    }
}

/// Id of the public key in a signing request (PEM), as in [`crate::Identity::key_id`]. The
/// request's signature is checked: whoever made it holds the key.
///
/// # Errors
/// [`PkiError::BadRequest`].
pub fn request_key_id(request: &str) -> Result<String, PkiError> {
    let request = CertificateSigningRequestParams::from_pem(request)
        .map_err(|err| PkiError::BadRequest { name: "unknown".to_owned(), source: err.into() })?;
    Ok(sha256_hex(&request.public_key.subject_public_key_info()))
}

/// The key with its certificate, which must have been made for it, and the authorities to trust.
pub(crate) fn complete(
    key: PrivateKey,
    certificate: &str,
    authorities: &str,
) -> Result<Credentials, PkiError> {
    const ORIGIN: &str = "the answer to the signing request";
    let certificate = certificates_from_pem(certificate.as_bytes(), ORIGIN)?.remove(0);
    let authorities = TrustBundle::from_pem(authorities, "the authority's answer")?;
    Credentials::new(key, certificate, authorities, ORIGIN)
}
