//! The key of a node that joins a cluster: made on the node, and never leaves it.

use std::path::Path;

use rcgen::CertificateParams;

use crate::{
    Credentials, PkiError, PrivateKey, Subject,
    authority::quoted,
    files::{create_private, read_private},
    request,
    trust::sha256_hex,
};

/// The key of a node, kept in a file of its own from before the node has a certificate, so that
/// asking again after a crash is asking for the same key.
#[derive(Debug, Clone)]
pub struct NodeKey {
    key: PrivateKey,
}

impl NodeKey {
    /// Loads the key from `path` (PEM), or makes one there (mode 0600). Two that make it at the
    /// same time get the same key.
    ///
    /// # Errors
    /// Unreadable files; [`PkiError::Damaged`] for a file without a key. Never overwrites.
    pub fn load_or_create(path: &Path) -> Result<Self, PkiError> {
        use secrecy::ExposeSecret as _;
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let key = PrivateKey::generate()?;
        if create_private(path, key.to_pem().expose_secret().as_bytes())? {
            return Ok(Self { key });
        }
        Self::load(path)?.ok_or_else(|| PkiError::Read {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// Loads the key from `path`; `None` when there is no file. A bundle of credentials will do:
    /// its key is taken.
    ///
    /// # Errors
    /// See [`NodeKey::load_or_create`].
    pub fn load(path: &Path) -> Result<Option<Self>, PkiError> {
        let Some(pem) = read_private(path)? else { return Ok(None) };
        Ok(Some(Self { key: PrivateKey::from_pem(&pem, &quoted(path))? }))
    }

    /// The key of these credentials.
    pub fn of(credentials: &Credentials) -> Self {
        Self { key: credentials.key().clone() }
    }

    /// Id of the public key, as in [`crate::Identity::key_id`].
    pub fn id(&self) -> String {
        sha256_hex(&self.key.spki())
    }

    /// A signing request, PEM, signed with the key. It proves that whoever sends it holds the key;
    /// what it says about `subject` is a wish which the cluster may look at.
    pub fn request(&self, subject: &Subject) -> Result<String, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.distinguished_name();
        params.subject_alt_names = subject.alternative_names()?;
        self.key.with_pair(|pair| params.serialize_request(pair).and_then(|csr| csr.pem())).map_err(
            |err| PkiError::Crypto { action: "make a signing request", source: err.into() },
        )
    }

    /// Joins the key with the certificate that came back and the authorities to trust, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Damaged`]; [`PkiError::KeyMismatch`] if the certificate is for another key.
    pub fn complete(&self, certificate: &str, authorities: &str) -> Result<Credentials, PkiError> {
        request::complete(self.key.clone(), certificate, authorities)
    }
}
