//! What can go wrong between a client and a cluster.

use std::{error::Error as StdError, time::Duration};

use smr_wire::{ApiError, Code};

/// The cause of a transport failure, as the libraries below report it.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// A request that was not answered with success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection could be made.
    #[error("cannot reach the cluster at `{url}`")]
    Unreachable {
        /// Address of the control API.
        url: String,
        /// Why.
        source: Cause,
    },
    /// The two sides do not accept each other's certificates.
    #[error("no secure connection to the cluster at `{url}`")]
    Tls {
        /// Address of the control API.
        url: String,
        /// Why.
        source: Cause,
    },
    /// The connection broke before the answer was complete.
    #[error("the connection to the cluster at `{url}` was lost")]
    Lost {
        /// Address of the control API.
        url: String,
        /// Why.
        source: Cause,
    },
    /// No answer in time.
    #[error("the cluster at `{url}` did not answer within {} s", after.as_secs())]
    Timeout {
        /// Address of the control API.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The cluster answered that it cannot or will not.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// The answer is not what this version of the protocol says.
    #[error("`{url}` did not answer as a control API does: {what}")]
    Protocol {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(Box<smr_pki::PkiError>),
    /// The credentials of the context cannot be read.
    #[error(transparent)]
    Context(Box<smr_pki::ContextError>),
    /// A download failed.
    #[error("cannot download `{url}`")]
    Download {
        /// What was downloaded.
        url: String,
        /// Why.
        source: Cause,
    },
    /// A download was answered with something else than success.
    #[error("definition not found at specific URL: `{url}` answered {status}")]
    DownloadStatus {
        /// What was downloaded.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A download is larger than a definition may be.
    #[error("`{url}` is larger than {limit} bytes")]
    DownloadTooLarge {
        /// What was downloaded.
        url: String,
        /// The most that is accepted.
        limit: usize,
    },
}

impl Error {
    /// Whether the cluster could not be reached, as opposed to having refused.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Lost { .. } | Self::Timeout { .. }
        )
    }

    /// The code of the cluster's refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Api(err) => Some(err.code),
            _ => None,
        }
    }

    /// The next command or setting to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "check that the node runs (`smr status` there) and that `smrctl context` is the \
                 cluster you mean"
                    .to_owned(),
            ),
            Self::Tls { .. } => Some(
                "the context's certificate may be expired or of another cluster; import it again \
                 with `smrctl context import`"
                    .to_owned(),
            ),
            Self::Lost { .. } | Self::Timeout { .. } => {
                Some("try again; the node's log says more".to_owned())
            }
            Self::Api(err) => err.hint.clone(),
            Self::Protocol { .. } => {
                Some("compare `smrctl version` on both sides; is this the right port?".to_owned())
            }
            Self::Credentials(err) => err.hint(),
            Self::Context(err) => err.hint(),
            Self::Download { .. } | Self::DownloadStatus { .. } | Self::DownloadTooLarge { .. } => {
                None
            }
        }
    }
}

impl From<ApiError> for Error {
    fn from(err: ApiError) -> Self {
        Self::Api(Box::new(err))
    }
}

/// What kind of transport failure `err` is, by what is below it.
pub(crate) fn transport(url: &str, err: Cause, connecting: bool) -> Error {
    let url = url.to_owned();
    if chain(&*err).into_iter().any(is_tls) {
        let source = match smr_pki::explain_handshake(&*err) {
            Some(said) => Box::new(Root(said)),
            None => root(&*err),
        };
        return Error::Tls { url, source };
    }
    let source = root(&*err);
    if connecting { Error::Unreachable { url, source } } else { Error::Lost { url, source } }
}

fn chain<'a>(err: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut causes = vec![err];
    let mut last = err;
    while let Some(cause) = last.source() {
        causes.push(cause);
        last = cause;
    }
    causes
}

/// Whether it is a TLS error, however deeply wrapped: an I/O error does not count what it carries
/// as its source.
fn is_tls(err: &(dyn StdError + 'static)) -> bool {
    err.downcast_ref::<rustls::Error>().is_some()
        || err
            .downcast_ref::<std::io::Error>()
            .and_then(|err| err.get_ref())
            .is_some_and(|carried| is_tls(carried))
}

/// The innermost cause of `err`.
pub(crate) fn root(err: &(dyn StdError + 'static)) -> Cause {
    Box::new(Root::of(err))
}

/// The innermost cause: the layers in between only repeat that a request failed.
#[derive(Debug)]
struct Root(String);

impl Root {
    fn of(err: &(dyn StdError + 'static)) -> Self {
        Self(chain(err).last().map(|err| err.to_string()).unwrap_or_default())
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Root {}
