//! Real connections over loopback.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod connections;
mod fixture;
mod messages;
mod proxy;
mod refusals;
