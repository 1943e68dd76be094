//! The controllers on real stores, with nodes that only pretend.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consensus;
mod leaving;
mod nodes;
mod placing;
mod rollouts;
mod support;
