//! The `smr` binary, also known as `smrctl` and `smrmgr`.

use std::{path::Path, process::ExitCode};

use smr_cli::{Failure, Hooks};

fn main() -> ExitCode {
    // Every TLS library below takes the process-wide provider; there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hooks = Hooks {
        start: |_| Err(no_node()),
        verify: |_: &Path| Err(no_node()),
        restore: |_, _, _| Err(no_node()),
    };
    smr_cli::main(std::env::args_os(), hooks)
}

fn no_node() -> Failure {
    "this build has no node".into()
}
