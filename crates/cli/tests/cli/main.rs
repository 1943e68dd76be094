//! The command line as a whole: arguments in, output and exit code out. No cluster.
#![allow(clippy::unwrap_used, reason = "in tests a panic with its place is what is wanted")]

mod arguments;
mod cluster;
mod contexts;
mod fake;
mod node;
mod packs;
mod reference;
mod run;
