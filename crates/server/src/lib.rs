//! The control API over mutual TLS: who may do what, requests in, answers and streams out.
//!
//! Start reading at [`Server`], then `routes.rs` (the table every route is a line of) and `api.rs`
//! (what a request passes on its way). Handlers only translate; rules about objects live in
//! `smr-control`, and what is not in the keyspace comes from the node through [`Runtime`].
//!
//! Not here: certificates (`smr-pki`), the meaning of requests (`smr-control`).
//!
//! Invariants: nobody without a certificate of the cluster gets a byte of an answer; every route
//! is in the table, and the table is what is checked and described; every failure is in the one
//! error envelope; no request body is ever logged.

mod addresses;
mod api;
mod caller;
mod config;
mod connection;
mod error;
mod extract;
mod holder;
mod listen;
mod openapi;
mod prompt;
mod remainder;
mod respond;
mod route;
mod routes;
mod runtime;
mod server;
mod telemetry;

pub use config::ServerConfig;
pub use error::Error;
pub use openapi::openapi;
pub use runtime::{ExecInput, ExecOutput, ExecSession, LogChunk, Runtime};
pub use server::Server;
pub use telemetry::{RenderMetrics, Telemetry, start_telemetry};
