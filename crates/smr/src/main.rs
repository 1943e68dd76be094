//! The `smr` binary, also known as `smrctl` and `smrmgr`.

use std::process::ExitCode;

use smr_cli::Hooks;

fn main() -> ExitCode {
    // Every TLS library below takes the process-wide provider; there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hooks = Hooks {
        start: |config| Ok(smr_node::run(config)?),
        verify: |file| Ok(smr_node::verify_backup(file)?),
        restore: |file, config, replace| Ok(smr_node::restore_backup(file, config, replace)?),
    };
    smr_cli::main(std::env::args_os(), hooks)
}
