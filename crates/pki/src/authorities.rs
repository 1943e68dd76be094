//! The authorities of a cluster, of which there are two while one takes the place of the other.
//! Every step is safe to stop after: at each one, every node trusts what any other presents.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    Authority, Credentials, DataKey, JoinToken, JoinTokenError, NodeKey, NodeOutcome, PkiError,
    SealError, Subject, TrustBundle,
    key::{certificate_to_pem, certificates_from_pem},
    trust::sha256_hex,
};

const ORIGIN: &str = "the stored authorities";

/// Where the cluster stands in changing its authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationPhase {
    /// One authority signs and is trusted.
    Stable,
    /// A new one is trusted by all, the old one still signs.
    Begun,
    /// The new one signs, the old one is still trusted.
    Switched,
}

/// Why a step is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RotationError {
    /// There is a rotation already.
    #[error("the cluster is changing its authority already; finish that first")]
    InProgress,
    /// The new authority is the one there is.
    #[error("the new authority is the one that signs already")]
    SameAuthority,
    /// There is nothing to switch to.
    #[error("there is no new authority to switch to; begin a rotation first")]
    NotBegun,
    /// There is no new authority that could still be dropped.
    #[error("there is no new authority to give up: none was made, or it signs already")]
    NothingToCancel,
    /// The old authority still signs, or there is none.
    #[error("there is no old authority to drop; switch to the new one first")]
    NotSwitched,
}

/// Why stored authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// The key of an authority does not open.
    #[error("cannot open the key of the authority with the hash `{hash}`")]
    Seal {
        /// SHA-256 of its certificate.
        hash: String,
        /// What the data key says.
        source: SealError,
    },
    /// A certificate or key is not what it should be.
    #[error("cannot use the stored authorities")]
    Pki {
        /// What is wrong.
        #[from]
        source: PkiError,
    },
}

/// The authorities of a cluster with their keys: the one that signs, and others that are trusted.
#[derive(Debug, Clone)]
pub struct AuthoritySet {
    active: Authority,
    next: Option<Authority>,
    /// Trusted, but without their keys: they sign nothing any more.
    retiring: Vec<CertificateDer<'static>>,
}

impl AuthoritySet {
    /// The set of a cluster with one authority.
    pub fn new(active: Authority) -> Self {
        Self { active, next: None, retiring: Vec::new() }
    }

    /// The authority that signs.
    pub fn active(&self) -> &Authority {
        &self.active
    }

    /// The authority that will sign.
    pub fn next(&self) -> Option<&Authority> {
        self.next.as_ref()
    }

    /// Where the cluster stands.
    pub fn phase(&self) -> RotationPhase {
        match (&self.next, self.retiring.is_empty()) {
            (Some(_), _) => RotationPhase::Begun,
            (None, false) => RotationPhase::Switched,
            (None, true) => RotationPhase::Stable,
        }
    }

    /// All that are trusted, the one that signs first.
    pub fn trust(&self) -> TrustBundle {
        let mut all = vec![self.active.certificate().clone()];
        all.extend(self.next.iter().map(|next| next.certificate().clone()));
        all.extend(self.retiring.iter().cloned());
        TrustBundle::from_der(all, ORIGIN).expect("the constructors checked the certificates")
    }

    /// First step: `next` is trusted from now on. Take the second one when every member (and every
    /// user who shall go on without a new context) trusts it.
    pub fn begin(&self, next: Authority) -> Result<Self, RotationError> {
        if self.phase() != RotationPhase::Stable {
            return Err(RotationError::InProgress);
        }
        if next.certificate() == self.active.certificate() {
            return Err(RotationError::SameAuthority);
        }
        Ok(Self { next: Some(next), ..self.clone() })
    }

    /// Second step: the new authority signs, the old one is trusted and its key is forgotten. Take
    /// the third one when every certificate that shall go on working is signed by the new one.
    pub fn switch(&self) -> Result<Self, RotationError> {
        let next = self.next.clone().ok_or(RotationError::NotBegun)?;
        let mut retiring = self.retiring.clone();
        retiring.push(self.active.certificate().clone());
        Ok(Self { active: next, next: None, retiring })
    }

    /// Third step: the old authority is not trusted any more.
    pub fn finish(&self) -> Result<Self, RotationError> {
        if self.phase() != RotationPhase::Switched {
            return Err(RotationError::NotSwitched);
        }
        Ok(Self::new(self.active.clone()))
    }

    /// Takes a first step back: the new authority, which has signed nothing, is dropped.
    pub fn cancel(&self) -> Result<Self, RotationError> {
        if self.phase() != RotationPhase::Begun {
            return Err(RotationError::NothingToCancel);
        }
        Ok(Self { next: None, ..self.clone() })
    }

    /// A new key and certificate for `subject`, with the whole set trusted; see
    /// [`Authority::issue`].
    pub fn issue(
        &self,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        Ok(self.active.issue(subject, lifetime, now)?.with_authorities(self.trust()))
    }

    /// A new join token, whose holder takes nodes of any authority in the set; see
    /// [`JoinToken::issue`].
    pub fn join_token(
        &self,
        apis: &[String],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<JoinToken, JoinTokenError> {
        let token = JoinToken::issue(&self.active, apis, lifetime, now)?;
        Ok(token.with_authorities(self.trust()))
    }

    /// Like [`crate::node_credentials`], with the whole set trusted: the certificate in the file is
    /// also made anew when the authority that signs is another, and the file is written again when
    /// only the trusted authorities are others.
    pub fn node_credentials(
        &self,
        path: &Path,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Credentials, NodeOutcome), PkiError> {
        if let Some(kept) = self.kept(path, subject, now)? {
            return Ok((kept, NodeOutcome::Kept));
        }
        let credentials = self.issue(subject, lifetime, now)?;
        credentials.save(path)?;
        Ok((credentials, NodeOutcome::Issued))
    }

    /// Like [`AuthoritySet::node_credentials`], but the key stays: the cluster knows a member by it.
    ///
    /// # Errors
    /// See [`crate::node_credentials`] and [`Authority::sign_node`].
    pub fn certify(
        &self,
        key: &NodeKey,
        path: &Path,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Credentials, NodeOutcome), PkiError> {
        if let Some(kept) = self.kept(path, subject, now)?
            && kept.identity().key_id == key.id()
        {
            return Ok((kept, NodeOutcome::Kept));
        }
        let signed = self.active.sign_node(&key.request(subject)?, subject, lifetime, now)?;
        let credentials = key.complete(&signed.pem, &self.trust().to_pem())?;
        credentials.save(path)?;
        Ok((credentials, NodeOutcome::Issued))
    }

    /// What is in the file `path`, if it will do; written again with the trusted authorities of now.
    fn kept(
        &self,
        path: &Path,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Option<Credentials>, PkiError> {
        let Some(found) = Credentials::load(path)? else { return Ok(None) };
        let trust = self.trust();
        let changed = *found.authorities() != trust;
        let found = found.with_authorities(trust);
        if !found.is_for(subject)
            || !found.is_from(&self.active, now)
            || found.is_due(&self.active, now)
        {
            return Ok(None);
        }
        if changed {
            found.save(path)?;
        }
        Ok(Some(found))
    }

    /// The form in which the set is stored.
    pub fn seal(&self, key: &DataKey) -> Result<SealedAuthorities, SealError> {
        Ok(SealedAuthorities {
            active: SealedAuthority::seal(&self.active, key)?,
            next: self.next.as_ref().map(|next| SealedAuthority::seal(next, key)).transpose()?,
            retiring: self.retiring.iter().map(certificate_to_pem).collect(),
        })
    }
}

/// An [`AuthoritySet`] as it is stored: certificates in the open, keys sealed with the data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedAuthorities {
    active: SealedAuthority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<SealedAuthority>,
    /// Certificates, PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retiring: Vec<String>,
}

impl SealedAuthorities {
    /// All that are trusted, the one that signs first; needs no key.
    ///
    /// # Errors
    /// Those of [`TrustBundle::from_pem`].
    pub fn trust(&self) -> Result<TrustBundle, PkiError> {
        let mut pem = self.active.certificate.clone();
        pem.extend(self.next.iter().map(|next| next.certificate.as_str()));
        pem.extend(self.retiring.iter().map(String::as_str));
        TrustBundle::from_pem(&pem, ORIGIN)
    }

    /// Opens the keys.
    pub fn open(&self, key: &DataKey) -> Result<AuthoritySet, AuthoritiesError> {
        self.trust()?;
        let mut retiring = Vec::with_capacity(self.retiring.len());
        for pem in &self.retiring {
            retiring.push(certificates_from_pem(pem.as_bytes(), ORIGIN)?.remove(0));
        }
        Ok(AuthoritySet {
            active: self.active.open(key)?,
            next: self.next.as_ref().map(|next| next.open(key)).transpose()?,
            retiring,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SealedAuthority {
    /// PEM.
    certificate: String,
    /// PEM, sealed for [`place`].
    key: String,
}

impl SealedAuthority {
    fn seal(authority: &Authority, key: &DataKey) -> Result<Self, SealError> {
        let pem = authority.key().to_pem();
        let sealed = key.seal(&place(&authority.hash()), pem.expose_secret().as_bytes())?;
        Ok(Self { certificate: authority.certificate_pem(), key: sealed })
    }

    fn open(&self, key: &DataKey) -> Result<Authority, AuthoritiesError> {
        let certificate = certificates_from_pem(self.certificate.as_bytes(), ORIGIN)?.remove(0);
        let hash = sha256_hex(&certificate);
        let pem = key
            .open(&place(&hash), &self.key)
            .map_err(|source| AuthoritiesError::Seal { hash, source })?;
        let damaged =
            |_| PkiError::Damaged { origin: ORIGIN.to_owned(), what: "private key (PEM)" };
        let pem = SecretString::from(std::str::from_utf8(pem.expose_secret()).map_err(damaged)?);
        Ok(Authority::from_pem(&self.certificate, pem.expose_secret(), ORIGIN)?)
    }
}

/// A key opens with its own certificate only.
fn place(hash: &str) -> String {
    format!("authority/{hash}")
}
