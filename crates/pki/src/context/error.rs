//! What can be wrong with contexts.

use std::{io, path::PathBuf};

use crate::PkiError;

/// A failure with a context; never contains keys or certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// No context is active.
    #[error("no active context found")]
    NoActive,
    /// No context of that name.
    #[error("context `{name}` does not exist")]
    NotFound {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A name that cannot be a file's name.
    #[error(
        "`{name}` cannot be the name of a context; use 1 to 63 letters, digits, `.`, `_` or `-`, \
         starting with a letter or digit and not ending in `.key`"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// An address that cannot be dialled.
    #[error("`{url}` is not an API address; write `https://HOST:PORT`")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// A file or decrypted text that is not a context.
    #[error("{origin} is not a context")]
    NotAContext {
        /// The file or text.
        origin: String,
    },
    /// Import needs text and key.
    #[error("an exported context has two parts, the encrypted text and its key; found {found}")]
    Parts {
        /// How many parts there were.
        found: usize,
    },
    /// The text is not hexadecimal.
    #[error("the exported context is not hexadecimal: `{character}` at position {position}")]
    TextNotHex {
        /// The first other character.
        character: char,
        /// Where it is, from 1.
        position: usize,
    },
    /// An odd number of digits, or too few for the smallest context.
    #[error("the exported context is cut off: {digits} hexadecimal digits")]
    TextCutOff {
        /// How many digits there were.
        digits: usize,
    },
    /// The key is not hexadecimal.
    #[error("the key is not hexadecimal")]
    KeyNotHex,
    /// The key has the wrong length.
    #[error("the key has {digits} hexadecimal digits, it must have 64")]
    KeyLength {
        /// How many digits there were.
        digits: usize,
    },
    /// Authenticated decryption failed; wrong key and changed text cannot be told apart.
    #[error(
        "the exported context does not open: the key is wrong or the text was changed or cut off"
    )]
    DoesNotOpen,
    /// It opened but holds too much or damaged data.
    #[error("the exported context opened but does not hold a context")]
    Contents,
    /// The system has no randomness to give.
    #[error("cannot get random bytes")]
    Random,
    /// The list of contexts could not be read.
    #[error("cannot read the contexts in `{}`", dir.display())]
    List {
        /// The directory.
        dir: PathBuf,
        /// Why, according to the operating system.
        source: io::Error,
    },
    /// Removing failed.
    #[error("cannot remove `{}`", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why, according to the operating system.
        source: io::Error,
    },
    /// Keys, certificates or files.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

impl ContextError {
    /// The next command to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoActive => Some(
                "choose one with `smrctl context switch NAME`, or import one with \
                 `smrctl context import`"
                    .to_owned(),
            ),
            Self::NotFound { known, .. } if known.is_empty() => {
                Some("there is none; import one with `smrctl context import`".to_owned())
            }
            Self::NotFound { known, .. } => Some(format!("there are: {}", known.join(", "))),
            Self::Parts { .. } => Some(
                "run `smrctl context import TEXT KEY`, or give the key on standard input"
                    .to_owned(),
            ),
            Self::TextNotHex { .. }
            | Self::TextCutOff { .. }
            | Self::KeyNotHex
            | Self::KeyLength { .. }
            | Self::DoesNotOpen
            | Self::Contents => Some(
                "copy the whole line that `smrctl context export` printed, or export again"
                    .to_owned(),
            ),
            Self::NotAContext { .. } => {
                Some("remove it with `smrctl context remove NAME` and import it again".to_owned())
            }
            Self::Pki(err) => err.hint(),
            Self::BadName { .. }
            | Self::BadUrl { .. }
            | Self::Random
            | Self::List { .. }
            | Self::Remove { .. } => None,
        }
    }
}
