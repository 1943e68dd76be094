//! Private keys: made here, kept as PKCS#8, wiped from memory when dropped.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{PemObject as _, SectionKind},
};
use secrecy::SecretString;
use zeroize::{Zeroize as _, Zeroizing};

use crate::PkiError;

/// A private key, ECDSA P-256 when made here. `Debug` shows nothing of it, and the memory is
/// wiped on drop.
#[derive(Clone)]
pub struct PrivateKey {
    /// PKCS#8, accepted by rcgen when this was constructed.
    der: Zeroizing<Vec<u8>>,
}

impl PrivateKey {
    /// A new random key.
    pub fn generate() -> Result<Self, PkiError> {
        let mut pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|err| PkiError::Crypto { action: "make a key", source: err.into() })?;
        let der = Zeroizing::new(pair.serialized_der().to_vec());
        pair.zeroize();
        Ok(Self { der })
    }

    /// Reads the first private key in `pem`: PKCS#8 under the label `PRIVATE KEY` or, as old
    /// contexts have it, `EC PRIVATE KEY`. `origin` goes into the error.
    pub fn from_pem(pem: &[u8], origin: &str) -> Result<Self, PkiError> {
        let damaged = || PkiError::Damaged {
            origin: origin.to_owned(),
            what: "private key (PKCS#8, PEM label `PRIVATE KEY`)",
        };
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| damaged())?;
        let der = Zeroizing::new(key.secret_der().to_vec());
        let mut pair = KeyPair::try_from(der.as_slice()).map_err(|_| damaged())?;
        pair.zeroize();
        Ok(Self { der })
    }

    /// The key as PEM with the label `PRIVATE KEY`.
    pub fn to_pem(&self) -> SecretString {
        pem_block("PRIVATE KEY", &self.der).into()
    }

    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.der.to_vec()))
    }

    /// PKCS#8.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn from_der(der: &[u8], origin: &str) -> Result<Self, PkiError> {
        let mut pair = KeyPair::try_from(der).map_err(|_| PkiError::Damaged {
            origin: origin.to_owned(),
            what: "private key (PKCS#8)",
        })?;
        pair.zeroize();
        Ok(Self { der: Zeroizing::new(der.to_vec()) })
    }

    /// The public key as `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> Vec<u8> {
        self.with_pair(PublicKeyData::subject_public_key_info)
    }

    /// Lends the key to rcgen and wipes the copy afterwards.
    pub(crate) fn with_pair<T>(&self, use_pair: impl FnOnce(&KeyPair) -> T) -> T {
        let mut pair =
            KeyPair::try_from(self.der.as_slice()).expect("the constructors had rcgen accept it");
        let result = use_pair(&pair);
        pair.zeroize();
        result
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey([REDACTED])")
    }
}

/// All certificates in `pem`, in order; at least one.
pub(crate) fn certificates_from_pem(
    pem: &[u8],
    origin: &str,
) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let damaged =
        || PkiError::Damaged { origin: origin.to_owned(), what: "certificate (X.509, PEM)" };
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, mut der) = section.map_err(|_| damaged())?;
        if kind == SectionKind::Certificate {
            x509_parser::parse_x509_certificate(&der).map_err(|_| damaged())?;
            found.push(CertificateDer::from(der));
        } else {
            der.zeroize();
        }
    }
    if found.is_empty() { Err(damaged()) } else { Ok(found) }
}

/// One certificate as PEM.
pub(crate) fn certificate_to_pem(certificate: &CertificateDer<'_>) -> String {
    pem_block("CERTIFICATE", certificate)
}

fn pem_block(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    // One allocation, so that no outgrown copy of a key stays in memory.
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 64);
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    for at in (0..text.len()).step_by(64) {
        pem.push_str(&text[at..(at + 64).min(text.len())]);
        pem.push('\n');
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn both_labels_are_read_and_the_standard_one_is_written() {
        let key = PrivateKey::generate().unwrap();
        let pem = key.to_pem();
        let pem = pem.expose_secret();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let old = pem.replace("PRIVATE KEY", "EC PRIVATE KEY");
        assert_eq!(PrivateKey::from_pem(old.as_bytes(), "x").unwrap().der, key.der);
        assert_eq!(PrivateKey::from_pem(pem.as_bytes(), "x").unwrap().der, key.der);
    }

    #[test]
    fn damage_is_named_and_keys_are_not_printed() {
        let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let message = PrivateKey::from_pem(pem.as_bytes(), "`/a/key`").unwrap_err().to_string();
        assert_eq!(
            message,
            "`/a/key` does not hold a readable private key (PKCS#8, PEM label `PRIVATE KEY`)"
        );
        let key = PrivateKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey([REDACTED])");
    }
}
