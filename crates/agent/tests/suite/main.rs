//! The agent over a real store and the engine in memory: what users apply becomes containers,
//! whatever happens to them, the engine and the agent meanwhile.

mod changes;
mod dependencies;
mod engine;
mod failures;
mod infrastructure;
mod lifecycle;
mod random;
mod reports;
mod support;
