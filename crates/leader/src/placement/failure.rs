//! Why a controller cannot go on.

/// Why a controller cannot go on for the moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The keyspace could not be read or written.
    #[error("the keyspace cannot be used")]
    Store {
        /// What the store said.
        #[from]
        source: smr_store::Error,
    },
    /// The object API refused.
    #[error("what was decided cannot be written")]
    Control {
        /// What it said.
        #[from]
        source: smr_control::Error,
    },
    /// A record cannot be encoded.
    #[error("a record cannot be encoded")]
    Encode(#[source] serde_json::Error),
}
