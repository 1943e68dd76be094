//! Who may talk to whom: the cluster's certificate authority, node and user certificates with
//! their roles, TLS configurations that take a renewed certificate without a restart, contexts
//! and their encrypted export, and the sealing of secrets at rest.
//!
//! The clock is never read here: every function that depends on time takes `now`.

mod authority;
mod context;
mod credentials;
mod error;
mod files;
mod identity;
mod key;
mod request;
mod role;
mod seal;
mod subject;
mod tls;
mod validity;

pub use authority::Authority;
pub use context::{
    Context, ContextError, ContextStore, DEFAULT_CONTEXT, ExportedContext, LocalAdmin,
    ensure_local_admin, generate_local_admin, local_api,
};
pub use credentials::{Credentials, NodeOutcome, node_credentials};
pub use error::PkiError;
pub use files::{ensure_private_dir, read_private, write_private};
pub use identity::Identity;
pub use key::PrivateKey;
pub use request::SigningRequest;
pub use role::Role;
pub use seal::{DataKey, SealError, SecretBytes};
pub use secrecy::{ExposeSecret, SecretString};
pub use subject::Subject;
pub use tls::{Alpn, TlsMaterial, client_config, server_config};
pub use validity::{Lifetimes, Validity, renew_at};
