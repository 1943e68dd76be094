//! Harness for tests against real engines.
