//! Who may talk to whom: the cluster's certificate authorities and their rotation, node and user
//! certificates with their roles, their revocation, join tokens, TLS configurations that take a renewed certificate without a restart, contexts
//! and their encrypted export, and the sealing of secrets at rest.
//!
//! The clock is never read here: every function that depends on time takes `now`.

mod authorities;
mod authority;
mod context;
mod credentials;
mod error;
mod files;
mod handshake;
mod identity;
mod join;
mod key;
mod node_key;
mod passphrase;
mod request;
mod revocation;
mod role;
mod seal;
mod subject;
mod tls;
mod trust;
mod validity;
mod verify;

pub use authorities::{
    AuthoritiesError, AuthoritySet, RotationError, RotationPhase, SealedAuthorities,
};
pub use authority::{Authority, IssuedCertificate};
pub use context::{
    Context, ContextError, ContextStore, DEFAULT_CONTEXT, ExportedContext, LocalAdmin,
    ensure_local_admin, generate_local_admin, local_api,
};
pub use credentials::{Credentials, NodeOutcome, node_credentials};
pub use error::PkiError;
pub use files::{ensure_private_dir, read_private, write_private};
pub use handshake::explain_handshake;
pub use identity::{Identity, PeerIdentity};
pub use join::{JoinToken, JoinTokenError};
pub use key::PrivateKey;
pub use node_key::NodeKey;
pub use passphrase::{Costs, KeyLock, LockError, LockedKey};
pub use request::{SigningRequest, request_key_id};
pub use revocation::RevocationList;
pub use role::Role;
pub use seal::{DataKey, SealError, SecretBytes};
pub use secrecy::{ExposeSecret, SecretString};
pub use subject::Subject;
pub use tls::{
    Alpn, ExpectedPeer, ExpiredPeers, TlsMaterial, client_config, join_client_config, server_config,
};
pub use trust::TrustBundle;
pub use validity::{Lifetimes, Validity, renew_at};
pub use verify::PeerRefusal;
