//! Whom each side of a TLS connection believes. Trusted authorities and revoked certificates are
//! looked up at every handshake, so both can change while servers and clients run.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::{Identity, PkiError, RevocationList, Role, TrustBundle, identity, tls::provider};

/// Why a certificate that the cluster did sign is refused between nodes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerRefusal {
    /// A user's or a joiner's certificate where only nodes talk.
    #[error("`{name}` has the role `{role}`, only nodes of the cluster may talk here")]
    NotANode {
        /// The common name.
        name: String,
        /// The role in the certificate.
        role: Role,
    },
    /// A node's certificate from before it was a member of a cluster.
    #[error("the certificate of node `{name}` carries no node id; let it join the cluster again")]
    NoNodeId {
        /// The common name.
        name: String,
    },
    /// Another node answers at this address.
    #[error("expected node {expected}, but node {found} (`{name}`) answers there")]
    OtherNode {
        /// The id that was dialled.
        expected: u64,
        /// The id in the certificate.
        found: u64,
        /// Its common name.
        name: String,
    },
    /// The certificate says something about its holder that is not understood.
    #[error("the certificate cannot be read: {reason}")]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

impl From<PeerRefusal> for Error {
    fn from(refusal: PeerRefusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// What is made of the trusted authorities, exchanged as one.
pub(crate) struct Trust {
    pub(crate) bundle: TrustBundle,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
}

impl Trust {
    pub(crate) fn new(bundle: TrustBundle) -> Result<Self, PkiError> {
        let origin = "the TLS configuration";
        let roots = bundle.roots(origin)?;
        let clients = client_verifier(roots.clone(), origin)?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|err| unusable(origin, &err))?;
        Ok(Self { bundle, roots, clients, servers })
    }
}

/// The trust of the moment.
pub(crate) struct CurrentTrust(RwLock<Arc<Trust>>);

impl CurrentTrust {
    pub(crate) fn new(trust: Trust) -> Self {
        Self(RwLock::new(Arc::new(trust)))
    }

    pub(crate) fn get(&self) -> Arc<Trust> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, trust: Trust) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }
}

impl fmt::Debug for CurrentTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CurrentTrust").field(&self.get().bundle.hashes()).finish()
    }
}

/// Which clients a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// All with a certificate of the cluster; roles are looked at for each request.
    All,
    /// Nodes with an id.
    Nodes,
    /// Nodes with an id, also when their certificate has expired.
    NodesAlsoExpired,
}

/// Checks the certificates of clients.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    pub(crate) trust: Arc<CurrentTrust>,
    pub(crate) revoked: RevocationList,
    pub(crate) clients: Clients,
}

impl ClientCertVerifier for ClientVerifier {
    /// None: the names of authorities change while the server runs, and our clients have one
    /// certificate to show.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trust = self.trust.get();
        match trust.clients.verify_client_cert(end_entity, intermediates, now) {
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) if self.clients == Clients::NodesAlsoExpired => {
                // Everything else about it must have been right when it expired.
                let end = unix_time(validity(end_entity)?.not_after);
                trust.clients.verify_client_cert(end_entity, intermediates, end)?;
            }
            verified => {
                verified?;
            }
        }
        check_revocation(&self.revoked, end_entity)?;
        if self.clients != Clients::All {
            check_node(end_entity, Servers::Node(None))?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Which servers a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Those whose certificate is for the name or address that was dialled.
    Named,
    /// Nodes with this id, or with any.
    Node(Option<u64>),
    /// Nodes, with an id or without.
    Nodes,
}

/// Checks the certificates of servers.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) trust: Arc<CurrentTrust>,
    pub(crate) revoked: RevocationList,
    pub(crate) servers: Servers,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trust = self.trust.get();
        if self.servers == Servers::Named {
            trust.servers.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &trust.roots,
                intermediates,
                now,
                provider().signature_verification_algorithms.all,
            )?;
            check_node(end_entity, self.servers)?;
        }
        check_revocation(&self.revoked, end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A verifier for clients with no more than the chain to look at.
pub(crate) fn client_verifier(
    roots: Arc<RootCertStore>,
    origin: &str,
) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|err| unusable(origin, &err))
}

/// The time in the form of the TLS library.
pub(crate) fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().max(0).unsigned_abs()))
}

fn unusable(origin: &str, err: &impl fmt::Display) -> PkiError {
    PkiError::Tls { origin: origin.to_owned(), source: Error::General(err.to_string()) }
}

fn validity(certificate: &CertificateDer<'_>) -> Result<crate::Validity, Error> {
    let parsed = identity::parse(certificate, "").map_err(|_| CertificateError::BadEncoding)?;
    Ok(identity::validity(&parsed))
}

fn check_revocation(list: &RevocationList, certificate: &CertificateDer<'_>) -> Result<(), Error> {
    if list.is_empty() {
        return Ok(());
    }
    let parsed = identity::parse(certificate, "").map_err(|_| CertificateError::BadEncoding)?;
    if list.is_revoked(&identity::serial(&parsed)) {
        return Err(CertificateError::Revoked.into());
    }
    Ok(())
}

fn check_node(certificate: &CertificateDer<'_>, wanted: Servers) -> Result<(), PeerRefusal> {
    let identity = Identity::from_der(certificate)
        .map_err(|err| PeerRefusal::Unreadable { reason: err.to_string() })?;
    let Identity { name, role, node_id, .. } = identity;
    if !role.is_node() {
        return Err(PeerRefusal::NotANode { name, role });
    }
    match (wanted, node_id) {
        (Servers::Node(_), None) => Err(PeerRefusal::NoNodeId { name }),
        (Servers::Node(Some(expected)), Some(found)) if expected != found => {
            Err(PeerRefusal::OtherNode { expected, found, name })
        }
        _ => Ok(()),
    }
}
