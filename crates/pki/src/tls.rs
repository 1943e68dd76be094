//! TLS 1.3 with certificates required on both sides, and certificates that can be exchanged while
//! a server runs.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SignatureScheme,
    client::ResolvesClientCert,
    crypto::CryptoProvider,
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
    version::TLS13,
};

use crate::{Credentials, PkiError};

/// The protocols offered inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2, else HTTP/1.1.
    Http,
    /// HTTP/1.1 only: websockets.
    Http1,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Http1 => vec![b"http/1.1".to_vec()],
        }
    }
}

/// The certificate that servers and clients made from this present in every new handshake.
/// [`TlsMaterial::reload`] exchanges it; open connections go on undisturbed.
#[derive(Debug, Clone)]
pub struct TlsMaterial {
    roots: Arc<RootCertStore>,
    current: Arc<Current>,
}

impl TlsMaterial {
    /// Starts with `credentials`; their authority is the one peers are checked against.
    pub fn new(credentials: &Credentials) -> Result<Self, PkiError> {
        let origin = "the TLS configuration";
        let key = Arc::new(credentials.certified_key(origin)?);
        Ok(Self { roots: credentials.roots(origin)?, current: Arc::new(Current(RwLock::new(key))) })
    }

    /// Presents `credentials` from the next handshake on. The authority stays what it was.
    pub fn reload(&self, credentials: &Credentials) -> Result<(), PkiError> {
        let key = Arc::new(credentials.certified_key("the renewed certificate")?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// For a server: TLS 1.3, a client certificate of the authority is required. Sessions are
    /// not resumed, so every connection shows a certificate that is valid now.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, PkiError> {
        let verifier = client_verifier(self.roots.clone(), "the TLS configuration")?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(no_tls13)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.current.clone());
        config.alpn_protocols = Alpn::Http.protocols();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// For a client: TLS 1.3, the server's certificate must be of the authority and for the
    /// name or address that was dialled.
    pub fn client_config(&self, alpn: Alpn) -> Result<ClientConfig, PkiError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(no_tls13)?
            .with_root_certificates(self.roots.clone())
            .with_client_cert_resolver(self.current.clone());
        config.alpn_protocols = alpn.protocols();
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

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn client_verifier(
    roots: Arc<RootCertStore>,
    origin: &str,
) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
    WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|err| {
        PkiError::Tls { origin: origin.to_owned(), source: rustls::Error::General(err.to_string()) }
    })
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
