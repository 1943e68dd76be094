//! The command line without a node, quick to build: what the tests of this crate run.

use std::process::ExitCode;

use smr_cli::{Failure, Hooks};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hooks = Hooks {
        start: |config| Err(Failure::from(format!("no node for `{}`", config.node.name))),
        sealed: |_| Err(none()),
        verify: |_, _| Err(none()),
        restore: |_, _, _| Err(none()),
        survey: |_| Err(none()),
        recover: |_| Err(none()),
    };
    smr_cli::main(std::env::args_os(), hooks)
}

fn none() -> Failure {
    Failure::from("there is no node in this program")
}
