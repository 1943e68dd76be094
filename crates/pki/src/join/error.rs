//! What can be wrong with a join token.

use jiff::Timestamp;

use crate::PkiError;

/// Why a join token was not made, or is of no use. Nothing of its contents is shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinTokenError {
    /// Some other text.
    #[error("this is not a join token; it begins with `smrjoin1-`")]
    NotAToken,
    /// A token made by another version.
    #[error("the join token has format {found}, this version reads {supported}")]
    Version {
        /// The token's format.
        found: String,
        /// The format that is read here.
        supported: u8,
    },
    /// The end is missing.
    #[error("the join token is cut off: {found} of {expected} bytes are there")]
    CutOff {
        /// Bytes that are there.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Something in it is not as it was made.
    #[error("the join token was changed on its way: its checksum does not fit")]
    Tampered,
    /// Its checksum is right, but what is inside is no token's contents.
    #[error("the join token does not hold {what}")]
    Contents {
        /// What is missing or wrong.
        what: &'static str,
    },
    /// The authority inside is not the one that the token names.
    #[error(
        "the authority's certificate in the join token has the hash `{found}`, the token says \
         `{expected}`"
    )]
    OtherAuthority {
        /// SHA-256 of the certificate inside, hex.
        found: String,
        /// SHA-256 that the token names, hex.
        expected: String,
    },
    /// Its time is over.
    #[error("the join token expired at {not_after}")]
    Expired {
        /// Its end.
        not_after: Timestamp,
    },
    /// The clocks differ too much.
    #[error("the join token is not valid before {not_before}, and this machine's clock says {now}")]
    NotYetValid {
        /// Its start, by the clock of the cluster.
        not_before: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// A token needs somewhere to go with it.
    #[error("a join token needs at least one address of the cluster's API, and at most {most}")]
    Addresses {
        /// Most addresses.
        most: usize,
    },
    /// An address that cannot be dialled.
    #[error("`{url}` is not an API address; write `https://HOST:PORT`")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// The key or certificate inside.
    #[error("the credentials of the join token cannot be used")]
    Pki {
        /// What is wrong with them.
        #[from]
        source: PkiError,
    },
}

impl JoinTokenError {
    /// The next command or setting to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAToken | Self::CutOff { .. } | Self::Tampered | Self::Contents { .. } => {
                Some("copy the whole line that was printed when the token was made".to_owned())
            }
            Self::Version { .. } => {
                Some("use the same version of smr on this machine and in the cluster".to_owned())
            }
            Self::OtherAuthority { .. } | Self::Expired { .. } => {
                Some("make a new token on a node of the cluster".to_owned())
            }
            Self::NotYetValid { .. } => {
                Some("compare the clocks of this machine and of the cluster's nodes".to_owned())
            }
            Self::Pki { source } => source.hint(),
            Self::Addresses { .. } | Self::BadUrl { .. } => None,
        }
    }
}
