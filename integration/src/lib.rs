//! Harness for tests and benches against real engines: a private dockerd in its own network namespace,
//! images built from Debian packages, and the real `smr` binary.
//!
//! Start reading at [`Lab`], then [`Node`]. Nothing here is used by the product; `xtask` uses
//! [`images`] and [`docker`] for `up` and the benches. No registry and no internet are needed
//! beyond the package mirror that the machine is set up with.

#![expect(clippy::print_stderr, reason = "a harness talks to the person who runs the tests")]

mod client;
mod cluster;
pub mod cpu;
pub mod docker;
pub mod events;
pub mod http;
pub mod images;
mod lab;
mod node;
pub mod process;
mod ready;
pub mod registry;
mod rig;
mod wait;

pub use client::{Client, Output};
pub use cluster::Cluster;
pub use docker::Docker;
pub use lab::Lab;
pub use node::{Node, smr_binary};
pub use ready::ReadySocket;
pub use registry::Registry;
pub use rig::Rig;
pub use wait::wait;
