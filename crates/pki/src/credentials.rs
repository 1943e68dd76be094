//! A key with its certificate and the authorities that are trusted: what one end of a connection
//! needs. Written as one PEM bundle, so that key and certificate never get out of step.

use std::{net::IpAddr, path::Path, time::Duration};

use jiff::Timestamp;
use rustls::{CertificateError, pki_types::CertificateDer, sign::CertifiedKey};
use secrecy::{ExposeSecret as _, SecretString};
use x509_parser::prelude::GeneralName;

use crate::{
    Authority, Identity, PkiError, PrivateKey, Subject, TrustBundle, Validity,
    authority::quoted,
    files::{read_private, write_private},
    identity,
    key::{certificate_to_pem, certificates_from_pem},
    subject::NODE_URI,
    tls,
    verify::{client_verifier, unix_time},
};

/// Key, certificate and trusted authorities. The key belongs to the certificate; whether the
/// certificate is in its validity and from one of them is what [`Credentials::check`] says.
#[derive(Debug, Clone)]
pub struct Credentials {
    key: PrivateKey,
    certificate: CertificateDer<'static>,
    authorities: TrustBundle,
    identity: Identity,
    validity: Validity,
}

/// What [`node_credentials`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeOutcome {
    /// The certificate on disk is good and not due.
    Kept,
    /// There was none, it was due, or it no longer fitted: a new one was made.
    Issued,
}

impl Credentials {
    pub(crate) fn new(
        key: PrivateKey,
        certificate: CertificateDer<'static>,
        authorities: TrustBundle,
        origin: &str,
    ) -> Result<Self, PkiError> {
        let identity = Identity::read(&certificate, origin)?;
        let validity = identity::validity(&identity::parse(&certificate, origin)?);
        let credentials = Self { key, certificate, authorities, identity, validity };
        credentials.certified_key(origin)?;
        Ok(credentials)
    }

    /// Reads a bundle: private key, certificate, one or more authorities, all PEM. `origin` names it in errors,
    /// such as ``context `prod` ``.
    ///
    /// # Errors
    /// [`PkiError::Damaged`], [`PkiError::KeyMismatch`] and those of [`Identity::from_der`].
    pub fn from_bundle(bundle: &str, origin: &str) -> Result<Self, PkiError> {
        let key = PrivateKey::from_pem(bundle.as_bytes(), origin)?;
        let mut certificates = certificates_from_pem(bundle.as_bytes(), origin)?;
        if certificates.len() < 2 {
            return Err(PkiError::Damaged {
                origin: origin.to_owned(),
                what: "bundle (private key, certificate and authority's certificate, PEM)",
            });
        }
        let certificate = certificates.remove(0);
        Self::new(key, certificate, TrustBundle::from_der(certificates, origin)?, origin)
    }

    /// The bundle: private key, certificate, authorities.
    pub fn bundle(&self) -> SecretString {
        let key = self.key.to_pem();
        let certificate = certificate_to_pem(&self.certificate);
        let authorities = self.authorities.to_pem();
        let length = key.expose_secret().len() + certificate.len() + authorities.len();
        let mut bundle = String::with_capacity(length);
        bundle.push_str(key.expose_secret());
        bundle.push_str(&certificate);
        bundle.push_str(&authorities);
        bundle.into()
    }

    /// Reads a bundle from a file; `None` when there is none.
    ///
    /// # Errors
    /// [`PkiError::Read`] and those of [`Credentials::from_bundle`].
    pub fn load(path: &Path) -> Result<Option<Self>, PkiError> {
        let Some(bytes) = read_private(path)? else { return Ok(None) };
        let origin = quoted(path);
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| PkiError::Damaged { origin: origin.clone(), what: "bundle (PEM)" })?;
        Self::from_bundle(text, &origin).map(Some)
    }

    /// Writes the bundle to a file of mode 0600.
    pub fn save(&self, path: &Path) -> Result<(), PkiError> {
        write_private(path, self.bundle().expose_secret().as_bytes())
    }

    /// Whether the certificate can be used at `now`: in its validity and signed by one of the
    /// bundle's authorities. `origin` names it in errors.
    ///
    /// # Errors
    /// [`PkiError::Expired`], [`PkiError::NotYetValid`], [`PkiError::OtherAuthority`].
    pub fn check(&self, origin: &str, now: Timestamp) -> Result<(), PkiError> {
        self.check_against(&self.authorities, origin, now)
    }

    fn check_against(
        &self,
        authorities: &TrustBundle,
        origin: &str,
        now: Timestamp,
    ) -> Result<(), PkiError> {
        let verifier = client_verifier(authorities.roots(origin)?, origin)?;
        let origin = origin.to_owned();
        match verifier.verify_client_cert(&self.certificate, &[], unix_time(now)) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => Err(PkiError::Expired { origin, not_after: self.validity.not_after }),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => Err(PkiError::NotYetValid { origin, not_before: self.validity.not_before, now }),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Err(PkiError::OtherAuthority { origin }),
            Err(source) => Err(PkiError::Tls { origin, source }),
        }
    }

    /// Who the certificate is for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate's validity.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// When the certificate is to be renewed.
    pub fn renew_at(&self) -> Timestamp {
        self.validity.renew_at()
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        certificate_to_pem(&self.certificate)
    }

    /// The authorities that are trusted.
    pub fn authorities(&self) -> &TrustBundle {
        &self.authorities
    }

    /// The same key and certificate, with other authorities trusted.
    pub fn with_authorities(self, authorities: TrustBundle) -> Self {
        Self { authorities, ..self }
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Whether `authority` signed this certificate and it can be used at `now`.
    pub(crate) fn is_from(&self, authority: &Authority, now: Timestamp) -> bool {
        self.authorities.contains(authority.certificate())
            && self.check_against(&authority.trust(), "", now).is_ok()
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn certified_key(&self, origin: &str) -> Result<CertifiedKey, PkiError> {
        CertifiedKey::from_der(
            vec![self.certificate.clone()],
            self.key.to_rustls(),
            &tls::provider(),
        )
        .map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => {
                PkiError::KeyMismatch { origin: origin.to_owned() }
            }
            source => PkiError::Tls { origin: origin.to_owned(), source },
        })
    }

    /// Whether a new certificate is needed and would live longer than this one.
    pub(crate) fn is_due(&self, authority: &Authority, now: Timestamp) -> bool {
        now >= self.renew_at() && self.validity.not_after < authority.validity().not_after
    }

    /// Whether the certificate names exactly the subject, with all its addresses.
    pub(crate) fn is_for(&self, subject: &Subject) -> bool {
        if self.identity.name != subject.name() || self.identity.role != subject.role() {
            return false;
        }
        let Ok(parsed) = identity::parse(&self.certificate, "") else { return false };
        let Ok(Some(names)) = parsed.subject_alternative_name() else { return false };
        let (mut domains, mut ips) = (Vec::new(), Vec::<IpAddr>::new());
        for name in &names.value.general_names {
            match name {
                GeneralName::DNSName(domain) => domains.push((*domain).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                        (Ok(v4), _) => ips.push(v4.into()),
                        (_, Ok(v6)) => ips.push(v6.into()),
                        _ => return false,
                    }
                }
                // Read into `identity.node_id` already.
                GeneralName::URI(uri) if uri.starts_with(NODE_URI) => {}
                _ => return false,
            }
        }
        domains.sort_unstable();
        ips.sort_unstable();
        domains == subject.domains()
            && ips == subject.ips()
            && self.identity.node_id == subject.node_id()
    }
}

/// The node's certificate in the file `path`: loaded if it is good, fits `subject`, is from
/// `authority` and not due for renewal at `now`; otherwise made anew and saved. A node calls this
/// at start and again at [`Credentials::renew_at`].
///
/// # Errors
/// Files that cannot be read or written; a file that holds something other than a bundle is
/// reported, not overwritten.
pub fn node_credentials(
    path: &Path,
    authority: &Authority,
    subject: &Subject,
    lifetime: Duration,
    now: Timestamp,
) -> Result<(Credentials, NodeOutcome), PkiError> {
    if let Some(credentials) = Credentials::load(path)?
        && credentials.is_for(subject)
        && credentials.is_from(authority, now)
        && !credentials.is_due(authority, now)
    {
        return Ok((credentials, NodeOutcome::Kept));
    }
    let credentials = authority.issue(subject, lifetime, now)?;
    credentials.save(path)?;
    Ok((credentials, NodeOutcome::Issued))
}
