//! The agent over a real store and the engine in memory: what users apply becomes containers,
//! whatever happens to them, the engine and the agent meanwhile.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod assign;
mod changes;
mod dependencies;
mod engine;
mod failures;
mod infrastructure;
mod lifecycle;
mod moves;
mod random;
mod replace;
mod reports;
mod support;
