//! Real connections over loopback.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "suite/connections.rs"]
mod connections;
#[path = "suite/fixture.rs"]
mod fixture;
#[path = "suite/messages.rs"]
mod messages;
#[path = "suite/proxy.rs"]
mod proxy;
#[path = "suite/refusals.rs"]
mod refusals;
