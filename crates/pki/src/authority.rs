//! The cluster's certificate authority: made once, kept in `ca.crt` and `ca.key`.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SerialNumber,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::CertificateDer;
use secrecy::ExposeSecret as _;

use crate::{
    Credentials, Identity, PkiError, PrivateKey, Role, Subject, TrustBundle, Validity,
    files::{ensure_private_dir, read_private, write_private, write_public},
    identity,
    key::{certificate_to_pem, certificates_from_pem},
    subject::ORGANISATION,
    trust::sha256_hex,
};

const CERTIFICATE_FILE: &str = "ca.crt";
const KEY_FILE: &str = "ca.key";

/// A certificate that was signed for somebody else's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate, PEM.
    pub pem: String,
    /// What it says.
    pub identity: Identity,
}

/// The authority with its key. Whoever holds it can issue every role.
#[derive(Debug, Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    key: PrivateKey,
    validity: Validity,
}

impl Authority {
    /// A new authority in memory, valid for `lifetime` from `now`.
    pub fn create(lifetime: Duration, now: Timestamp) -> Result<Self, PkiError> {
        Self::for_key(PrivateKey::generate()?, lifetime, now)
    }

    /// Loads the authority from `dir`, or makes one there that is valid for `lifetime`.
    ///
    /// # Errors
    /// Unreadable, damaged, half missing, mismatched or expired files; nothing is overwritten.
    pub fn load_or_create(
        dir: &Path,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        if let Some(authority) = Self::load(dir, now)? {
            return Ok(authority);
        }
        // The key is written first: a key without certificate is what a crash here leaves, and
        // has signed nothing yet.
        let key_path = dir.join(KEY_FILE);
        let key = match read_private(&key_path)? {
            Some(pem) => PrivateKey::from_pem(&pem, &quoted(&key_path))?,
            None => PrivateKey::generate()?,
        };
        let authority = Self::for_key(key, lifetime, now)?;
        authority.save(dir)?;
        Ok(authority)
    }

    /// Loads the authority from `dir`; `None` if there is no `ca.crt`.
    ///
    /// # Errors
    /// See [`Authority::load_or_create`].
    pub fn load(dir: &Path, now: Timestamp) -> Result<Option<Self>, PkiError> {
        let (certificate_path, key_path) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        let certificate = match std::fs::read(&certificate_path) {
            Ok(pem) => certificates_from_pem(&pem, &quoted(&certificate_path))?.remove(0),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(PkiError::Read { path: certificate_path, source }),
        };
        let Some(key) = read_private(&key_path)? else {
            return Err(PkiError::Incomplete { present: certificate_path, missing: key_path });
        };
        let key = PrivateKey::from_pem(&key, &quoted(&key_path))?;
        let origin = quoted(&certificate_path);
        let authority = Self::from_parts(certificate, key, &origin, &quoted(&key_path))?;
        let not_after = authority.validity.not_after;
        if now > not_after {
            return Err(PkiError::Expired { origin, not_after });
        }
        Ok(Some(authority))
    }

    /// The authority with this certificate and key, both PEM; expired or not, see
    /// [`Authority::validity`]. `origin` names them in errors.
    ///
    /// # Errors
    /// [`PkiError::Damaged`], [`PkiError::KeyMismatch`], [`PkiError::NotAnAuthority`].
    pub fn from_pem(certificate: &str, key: &str, origin: &str) -> Result<Self, PkiError> {
        let certificate = certificates_from_pem(certificate.as_bytes(), origin)?.remove(0);
        let key = PrivateKey::from_pem(key.as_bytes(), origin)?;
        Self::from_parts(certificate, key, origin, origin)
    }

    fn from_parts(
        certificate: CertificateDer<'static>,
        key: PrivateKey,
        origin: &str,
        key_origin: &str,
    ) -> Result<Self, PkiError> {
        let parsed = identity::parse(&certificate, origin)?;
        if parsed.public_key().raw != key.spki() {
            return Err(PkiError::KeyMismatch { origin: key_origin.to_owned() });
        }
        if !parsed.is_ca() {
            return Err(PkiError::NotAnAuthority { origin: origin.to_owned() });
        }
        let validity = identity::validity(&parsed);
        Ok(Self { certificate, key, validity })
    }

    /// Writes `ca.key` (0600) and `ca.crt` (0644) to `dir` (0700).
    pub fn save(&self, dir: &Path) -> Result<(), PkiError> {
        ensure_private_dir(dir)?;
        write_private(&dir.join(KEY_FILE), self.key.to_pem().expose_secret().as_bytes())?;
        write_public(&dir.join(CERTIFICATE_FILE), self.certificate_pem().as_bytes())
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        certificate_to_pem(&self.certificate)
    }

    /// SHA-256 of the authority's certificate (DER), lower-case hex.
    pub fn hash(&self) -> String {
        sha256_hex(&self.certificate)
    }

    /// The private key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// This authority alone, as those to trust.
    pub fn trust(&self) -> TrustBundle {
        TrustBundle::from_der(vec![self.certificate.clone()], "the authority")
            .expect("the constructors checked the certificate")
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's own validity.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Makes a key and its certificate for `subject`, valid for `lifetime` from `now` and at
    /// most as long as the authority. Renewing is issuing again.
    pub fn issue(
        &self,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Credentials, PkiError> {
        let key = PrivateKey::generate()?;
        let certificate = key.with_pair(|pair| self.sign(subject, pair, lifetime, now))?;
        Credentials::new(key, certificate, self.trust(), "a new certificate")
    }

    /// Signs the public key of a request made by [`crate::SigningRequest`]. Everything else in
    /// the request is ignored: names, role and lifetime are the caller's. Returns PEM.
    ///
    /// # Errors
    /// [`PkiError::BadRequest`] also when the request is not signed by its own key.
    pub fn sign_request(
        &self,
        request: &str,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        let request = read_request(request, subject)?;
        let certificate = self.sign(subject, &request.public_key, lifetime, now)?;
        Ok(certificate_to_pem(&certificate))
    }

    /// Signs the public key of a request made by [`crate::NodeKey`] for the member `subject`.
    /// Like [`Authority::sign_request`], it takes nothing else from the request.
    ///
    /// # Errors
    /// [`PkiError::NotAMember`] for a subject that is no node with an id;
    /// [`PkiError::BadRequest`] also for kinds of keys that nodes do not make.
    pub fn sign_node(
        &self,
        request: &str,
        subject: &Subject,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<IssuedCertificate, PkiError> {
        if subject.node_id().is_none() {
            return Err(PkiError::NotAMember { name: subject.name().to_owned() });
        }
        let request = read_request(request, subject)?;
        if ![&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
            .contains(&request.public_key.algorithm())
        {
            let source = "its key is not of a kind that nodes use (ECDSA P-256)".into();
            return Err(PkiError::BadRequest { name: subject.name().to_owned(), source });
        }
        let certificate = self.sign(subject, &request.public_key, lifetime, now)?;
        let identity = Identity::read(&certificate, "a new certificate")?;
        Ok(IssuedCertificate { pem: certificate_to_pem(&certificate), identity })
    }

    fn for_key(key: PrivateKey, lifetime: Duration, now: Timestamp) -> Result<Self, PkiError> {
        let validity = Validity::starting(now, lifetime);
        let serial = random_serial()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, ORGANISATION);
        // The serial keeps the names of two clusters' authorities apart.
        let name = format!("simplecontainer cluster authority {}", hex::encode(&serial[..4]));
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, validity);
        let certificate = key
            .with_pair(|pair| {
                CertifiedIssuer::self_signed(params, pair).map(|issuer| issuer.der().clone())
            })
            .map_err(|err| PkiError::Crypto { action: "make the authority", source: err.into() })?;
        Ok(Self { certificate, key, validity })
    }

    fn sign(
        &self,
        subject: &Subject,
        public_key: &impl PublicKeyData,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let mut validity = match subject.role() {
            Role::Join => Validity::never_renewed(now, lifetime),
            _ => Validity::starting(now, lifetime),
        };
        validity.not_before = validity.not_before.max(self.validity.not_before);
        validity.not_after = validity.not_after.min(self.validity.not_after);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.distinguished_name();
        params.subject_alt_names = subject.alternative_names()?;
        params.serial_number = Some(SerialNumber::from(random_serial()?));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if subject.role().is_node() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, validity);
        let failed = |err: rcgen::Error| PkiError::Crypto {
            action: "sign a certificate",
            source: err.into(),
        };
        self.key.with_pair(|pair| {
            let issuer = Issuer::from_ca_cert_der(&self.certificate, pair).map_err(failed)?;
            let signed = params.signed_by(public_key, &issuer).map_err(failed)?;
            Ok(signed.der().clone())
        })
    }
}

fn read_request(
    request: &str,
    subject: &Subject,
) -> Result<CertificateSigningRequestParams, PkiError> {
    CertificateSigningRequestParams::from_pem(request)
        .map_err(|err| PkiError::BadRequest { name: subject.name().to_owned(), source: err.into() })
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |t: Timestamp| epoch + Duration::from_secs(t.as_second().max(0).unsigned_abs());
    params.not_before = at(validity.not_before);
    params.not_after = at(validity.not_after);
}

/// 128 random bits; the first is cleared, because serials are positive, and the second set,
/// so that every serial has the same length.
fn random_serial() -> Result<Vec<u8>, PkiError> {
    let mut serial = vec![0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|err| PkiError::Crypto {
        action: "get random bytes",
        source: err.to_string().into(),
    })?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

pub(crate) fn quoted(path: &Path) -> String {
    format!("`{}`", path.display())
}
