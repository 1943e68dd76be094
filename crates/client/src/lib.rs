//! Typed client of the control API: a method per route, streams for what does not end, and errors
//! that say whether the cluster could not be reached or refused.
//!
//! Start reading at [`Client`]. Nothing here retries, reads files or looks for contexts; the
//! caller brings credentials and decides what to do about failures.

mod api;
mod cluster;
mod connection;
mod error;
mod exec;
mod fetch;
mod stream;

pub use connection::{Client, Options};
pub use error::Error;
pub use exec::{Exec, ExecInput, ExecOutput};
pub use fetch::fetch_text;
pub use stream::{FrameDecoder, LineDecoder, LogChunk, LogFrame, LogSource};
