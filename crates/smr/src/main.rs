//! The `smr` binary.
fn main() {}
