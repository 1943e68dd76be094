//! The command line without a node, quick to build: what the tests of this crate run.

use std::{path::Path, process::ExitCode};

use smr_cli::{Failure, Hooks};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hooks = Hooks {
        start: |config| Err(Failure::from(format!("no node for `{}`", config.node.name))),
        verify: |_: &Path| Err(Failure::from("there is no node in this program")),
        restore: |_, _, _| Err(Failure::from("there is no node in this program")),
    };
    smr_cli::main(std::env::args_os(), hooks)
}
