//! What can be wrong with a key, a certificate or the files they are in.

use std::{error::Error, io, path::PathBuf};

use jiff::Timestamp;

/// A failure with keys, certificates or their files. `origin` is the path of a file or a phrase
/// such as ``context `prod` ``, so the operator knows where to look. Key material never appears.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// A file or directory could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why, according to the operating system.
        source: io::Error,
    },
    /// A file or directory could not be written, or its mode not be set.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why, according to the operating system.
        source: io::Error,
    },
    /// A private file that others can read and whose mode cannot be changed.
    #[error("`{}` is private but open to others, and its mode cannot be changed", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Why, according to the operating system.
        source: io::Error,
    },
    /// One half of the authority is there, the other is not.
    #[error("`{}` exists but `{}` is missing", present.display(), missing.display())]
    Incomplete {
        /// The file that was found.
        present: PathBuf,
        /// The file that belongs to it.
        missing: PathBuf,
    },
    /// Text that should hold a key or certificate does not.
    #[error("{origin} does not hold a readable {what}")]
    Damaged {
        /// Where the text came from.
        origin: String,
        /// What was expected, such as `private key (PKCS#8, PEM)`.
        what: &'static str,
    },
    /// The private key is not the one the certificate was made for.
    #[error("the private key in {origin} does not belong to its certificate")]
    KeyMismatch {
        /// Where key and certificate came from.
        origin: String,
    },
    /// The certificate is past its end.
    #[error("the certificate in {origin} expired at {not_after}")]
    Expired {
        /// Where the certificate came from.
        origin: String,
        /// Its end.
        not_after: Timestamp,
    },
    /// The certificate is not valid yet.
    #[error(
        "the certificate in {origin} is not valid before {not_before}, and this machine's clock \
         says {now}"
    )]
    NotYetValid {
        /// Where the certificate came from.
        origin: String,
        /// Its start, by the clock of the machine that signed it.
        not_before: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// A certificate that cannot sign others where an authority's belongs.
    #[error("the certificate in {origin} is not that of an authority")]
    NotAnAuthority {
        /// Where the certificate came from.
        origin: String,
    },
    /// The certificate was signed by another authority.
    #[error("the certificate in {origin} was not signed by this cluster's authority")]
    OtherAuthority {
        /// Where the certificate came from.
        origin: String,
    },
    /// A certificate without a name.
    #[error("the certificate in {origin} names nobody (its subject has no common name)")]
    NoName {
        /// Where the certificate came from.
        origin: String,
    },
    /// A certificate without a role.
    #[error("the certificate of `{name}` carries no role")]
    NoRole {
        /// The common name.
        name: String,
    },
    /// A role this version does not know.
    #[error("`{role}` is not a role; use admin, operator, viewer or node")]
    UnknownRole {
        /// What was found.
        role: String,
    },
    /// A node's certificate with an id that is none, or with several.
    #[error("the certificate of node `{name}` has no proper node id; it is `smr://node/NUMBER`")]
    BadNodeId {
        /// The common name.
        name: String,
    },
    /// A certificate for a member was asked for without saying which one it is.
    #[error("`{name}` cannot get a member's certificate without a node id")]
    NotAMember {
        /// The subject.
        name: String,
    },
    /// A file that holds another data key than the one to write.
    #[error(
        "`{}` holds another data key already; what is sealed with it would be lost",
        path.display()
    )]
    OtherDataKey {
        /// The file.
        path: PathBuf,
    },
    /// A user certificate was asked for with the role of nodes.
    #[error("user `{name}` cannot have the role `node`; use admin, operator or viewer")]
    NodeRoleForUser {
        /// The user.
        name: String,
    },
    /// A name that cannot be a common name.
    #[error(
        "`{name}` cannot be a certificate name; use 1 to 63 letters, digits, `.`, `_` or `-`, \
         starting with a letter or digit"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// A domain that cannot be in a certificate.
    #[error(
        "`{domain}` cannot be a certificate's domain; use a DNS name such as `node.example.com`"
    )]
    BadDomain {
        /// What was given.
        domain: String,
    },
    /// A signing request that cannot be read or whose own signature is wrong.
    #[error("the certificate signing request of `{name}` is damaged or not signed by its own key")]
    BadRequest {
        /// The subject the request was for.
        name: String,
        /// The parser's finding.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The cryptographic library refused: a bug or a system without randomness.
    #[error("cannot {action}")]
    Crypto {
        /// What was attempted.
        action: &'static str,
        /// The library's finding.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The TLS library refused a certificate for a reason of its own.
    #[error("the certificate in {origin} cannot be used for TLS")]
    Tls {
        /// Where the certificate came from.
        origin: String,
        /// The library's finding.
        source: rustls::Error,
    },
}

impl PkiError {
    /// The next command or setting to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    Some("run as the user that owns the file, or give it to this user".to_owned())
                }
                io::ErrorKind::StorageFull => Some("free space on that disk".to_owned()),
                _ => None,
            },
            Self::OpenToOthers { path, .. } => {
                Some(format!("run `chmod 600 {}` as its owner", path.display()))
            }
            Self::Incomplete { missing, .. } => {
                Some(format!("restore `{}` from a backup of this node", missing.display()))
            }
            Self::Damaged { .. } | Self::KeyMismatch { .. } => Some(
                "restore it from a backup of this node, or import the context again".to_owned(),
            ),
            Self::Expired { .. } | Self::OtherAuthority { .. } => Some(
                "export a fresh context on a node with `smrctl context export` and import it here"
                    .to_owned(),
            ),
            Self::NotYetValid { .. } => {
                Some("compare the clocks of this machine and of the cluster's nodes".to_owned())
            }
            Self::OtherDataKey { path } => Some(format!(
                "if this machine was a node of its own whose secrets are not needed any more, \
                 remove `{}`",
                path.display()
            )),
            Self::NoName { .. }
            | Self::NoRole { .. }
            | Self::BadNodeId { .. }
            | Self::NotAnAuthority { .. } => {
                Some("use a certificate issued by this cluster".to_owned())
            }
            Self::UnknownRole { .. }
            | Self::NodeRoleForUser { .. }
            | Self::NotAMember { .. }
            | Self::BadName { .. }
            | Self::BadDomain { .. }
            | Self::BadRequest { .. }
            | Self::Crypto { .. }
            | Self::Tls { .. } => None,
        }
    }
}
