//! TLS 1.3 with certificates required on both sides; certificates, trusted authorities and
//! revocations can be exchanged while servers and clients run.

use std::{
    fmt,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use rustls::{
    ClientConfig, ServerConfig, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};

use crate::{
    Credentials, JoinToken, PkiError, RevocationList, TrustBundle,
    verify::{ClientVerifier, Clients, CurrentTrust, ServerVerifier, Servers, Trust},
};

/// The protocols offered inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2, else HTTP/1.1.
    Http,
    /// HTTP/1.1 only: websockets.
    Http1,
    /// HTTP/2 only: nodes among themselves.
    Http2,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// What a server for nodes does with nodes whose certificate has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiredPeers {
    /// Ends the handshake.
    Refuse,
    /// Takes them in, so that a node that was away for long can ask for a new certificate: it has
    /// shown that it holds its key. [`crate::PeerIdentity::expired`] is set, and whoever asked
    /// for this must answer nothing but that one request.
    Admit,
}

/// The node that has to answer at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedPeer {
    /// The node with this id.
    Node(u64),
    /// Any member of the cluster; [`crate::Identity::node_id`] says which one it was.
    Any,
}

/// What servers and clients made from this present and believe in every new handshake.
/// [`TlsMaterial::reload`] exchanges the certificate, [`TlsMaterial::reload_trust`] the authorities;
/// open connections go on undisturbed. Clones share everything.
#[derive(Debug, Clone)]
pub struct TlsMaterial {
    trust: Arc<CurrentTrust>,
    revoked: RevocationList,
    current: Arc<Current>,
}

impl TlsMaterial {
    /// Starts with `credentials`; their authorities are those peers are checked against. Nothing
    /// is revoked.
    pub fn new(credentials: &Credentials) -> Result<Self, PkiError> {
        let key = Arc::new(credentials.certified_key("the TLS configuration")?);
        let trust = Trust::new(credentials.authorities().clone())?;
        Ok(Self {
            trust: Arc::new(CurrentTrust::new(trust)),
            revoked: RevocationList::new(),
            current: Arc::new(Current(RwLock::new(key))),
        })
    }

    /// The same, with `list` consulted by servers and clients made from here on.
    pub fn with_revocation(self, list: RevocationList) -> Self {
        Self { revoked: list, ..self }
    }

    /// The list of revoked certificates that is consulted.
    pub fn revocation(&self) -> &RevocationList {
        &self.revoked
    }

    /// Presents `credentials` from the next handshake on. The authorities stay what they were.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), PkiError> {
        let key = Arc::new(credentials.certified_key("the renewed certificate")?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// Believes the authorities in `bundle`, and no others, from the next handshake on.
    pub fn reload_trust(&self, bundle: &TrustBundle) -> Result<(), PkiError> {
        self.trust.set(Trust::new(bundle.clone())?);
        Ok(())
    }

    /// The authorities that are believed.
    pub fn trust(&self) -> TrustBundle {
        self.trust.get().bundle.clone()
    }

    /// For a server: TLS 1.3, a client certificate of the authority is required. Sessions are
    /// not resumed, so every connection shows a certificate that is valid now.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, PkiError> {
        self.server(Clients::All, Alpn::Http)
    }

    /// For the server that the other nodes of the cluster talk to: only nodes with an id are let
    /// in, HTTP/2 only.
    pub fn peer_server_config(&self, expired: ExpiredPeers) -> Result<Arc<ServerConfig>, PkiError> {
        let clients = match expired {
            ExpiredPeers::Refuse => Clients::Nodes,
            ExpiredPeers::Admit => Clients::NodesAlsoExpired,
        };
        self.server(clients, Alpn::Http2)
    }

    /// For a client: TLS 1.3, the server's certificate must be of the authority and for the
    /// name or address that was dialled.
    pub fn client_config(&self, alpn: Alpn) -> Result<ClientConfig, PkiError> {
        self.client(Servers::Named, alpn)
    }

    /// For a node that talks to another: HTTP/2 only. The server must be the expected node,
    /// whatever name or address it was dialled by; none is sent.
    pub fn peer_client_config(&self, expected: ExpectedPeer) -> Result<ClientConfig, PkiError> {
        let id = match expected {
            ExpectedPeer::Node(id) => Some(id),
            ExpectedPeer::Any => None,
        };
        self.client(Servers::Node(id), Alpn::Http2)
    }

    fn server(&self, clients: Clients, alpn: Alpn) -> Result<Arc<ServerConfig>, PkiError> {
        let verifier =
            ClientVerifier { trust: self.trust.clone(), revoked: self.revoked.clone(), clients };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(no_tls13)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = alpn.protocols();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn client(&self, servers: Servers, alpn: Alpn) -> Result<ClientConfig, PkiError> {
        let verifier =
            ServerVerifier { trust: self.trust.clone(), revoked: self.revoked.clone(), servers };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(no_tls13)?
            .dangerous() // every check of the usual verifier is made, see `verify`
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.current.clone());
        config.alpn_protocols = alpn.protocols();
        config.enable_sni = servers == Servers::Named;
        // A resumed session would not look at the certificate again.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// A server configuration for credentials that are not exchanged; see
/// [`TlsMaterial::server_config`].
pub fn server_config(credentials: &Credentials) -> Result<Arc<ServerConfig>, PkiError> {
    TlsMaterial::new(credentials)?.server_config()
}

/// A client configuration for credentials that are not exchanged; see
/// [`TlsMaterial::client_config`].
pub fn client_config(credentials: &Credentials, alpn: Alpn) -> Result<ClientConfig, PkiError> {
    TlsMaterial::new(credentials)?.client_config(alpn)
}

/// For the first contact of a machine that joins: presents the token's certificate and takes any
/// node of the cluster whose authority is in the token, by whatever address it is reached.
pub fn join_client_config(token: &JoinToken) -> Result<ClientConfig, PkiError> {
    TlsMaterial::new(token.credentials())?.client(Servers::Nodes, Alpn::Http)
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    PROVIDER.clone()
}

fn no_tls13(source: rustls::Error) -> PkiError {
    PkiError::Tls { origin: "the TLS configuration".to_owned(), source }
}

struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
