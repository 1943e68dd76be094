//! What the scheduler decides, from outside.

mod chunks;
mod properties;
mod rules;
mod support;
