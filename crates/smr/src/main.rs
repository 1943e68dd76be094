//! The `smr` binary, also known as `smrctl` and `smrmgr`.

use std::process::ExitCode;

use smr_cli::{Hooks, Survey, SurveyedMember};

fn main() -> ExitCode {
    // Every TLS library below takes the process-wide provider; there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hooks = Hooks {
        start: |config| Ok(smr_node::run(config)?),
        sealed: |file| Ok(smr_node::backup_is_sealed(file)?),
        verify: |file, keys| Ok(smr_node::verify_backup(file, keys.data, keys.passphrase)?),
        restore: |file, config, wish| {
            let how = smr_node::Restore {
                passphrase: wish.passphrase,
                name: wish.name.map(str::to_owned),
                replace: wish.replace,
                unproved: wish.unproved,
            };
            Ok(smr_node::restore_backup(file, config, &how)?)
        },
        survey: |config| Ok(told(smr_node::survey(config)?)),
        recover: |config| Ok(smr_node::recover(config)?),
    };
    smr_cli::main(std::env::args_os(), hooks)
}

fn told(copy: smr_node::LocalCopy) -> Survey {
    let member = |it: smr_node::MemberAddress| SurveyedMember { id: it.id, address: it.address };
    Survey {
        id: copy.id,
        name: copy.name,
        cluster: copy.cluster,
        epoch: copy.epoch,
        term: copy.term,
        last_log_term: copy.last_log_term,
        last_log_index: copy.last_log_index,
        committed_index: copy.committed_index,
        voters: copy.voters,
        members: copy.members.into_iter().map(member).collect(),
    }
}
