//! `backup`: the cluster's state in one file.

mod passphrase;
pub(crate) mod recover;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use smr_pki::{Costs, ExposeSecret as _, KeyLock, SecretString};
use smr_wire::BackupInfo;

use super::{DONE, Outcome, block, node};
use crate::{
    args::{BackupCommand, BackupCreateArgs, BackupRestoreArgs, BackupVerifyArgs, PassphraseArg},
    error::Error,
    hooks::{BackupKeys, Hooks, RestoreWish},
    running::Held,
    settings::Settings,
};

/// `backup`.
pub(crate) fn run(settings: &Settings, command: BackupCommand, hooks: Hooks) -> Outcome {
    match command {
        BackupCommand::Create(args) => create(settings, args, hooks),
        BackupCommand::Verify(args) => verify(settings, &args, hooks),
        BackupCommand::Restore(args) => restore(settings, args, hooks),
    }
}

fn create(settings: &Settings, args: BackupCreateArgs, hooks: Hooks) -> Outcome {
    let path = args.file;
    let to_stdout = path == Path::new("-");
    if !to_stdout && !args.force && path.exists() {
        return Err(Error::Exists { path });
    }
    let passphrase = match passphrase::given(&args.passphrase)? {
        None if !args.no_passphrase && passphrase::can_ask() => ask_twice()?,
        given => given,
    };
    let lock = passphrase.as_ref().map(|it| KeyLock::new(it, Costs::default())).transpose();
    let lock = lock.map_err(|err| Error::Passphrase { source: err.into() })?;
    if to_stdout {
        return block(stream(settings, lock.as_ref()));
    }
    let info = block(write(settings, &path, lock.as_ref(), passphrase.as_ref(), hooks))?;
    settings.printer.line(summary(&path, &info))?;
    if !info.has_key {
        settings.printer.note(
            "the data key is not in it: to restore it on another machine, keep `pki/data.key` of a \
             node in a safe place, or make the backup with `--passphrase-file FILE`",
        );
    }
    Ok(DONE)
}

fn ask_twice() -> Result<Option<SecretString>, Error> {
    let first = passphrase::ask("Passphrase for the data key (empty: leave the key out)")?;
    if first.expose_secret().is_empty() {
        return Ok(None);
    }
    let second = passphrase::ask("The same again")?;
    if first.expose_secret() != second.expose_secret() {
        return Err(Error::usage("the two passphrases differ", "try again"));
    }
    Ok(Some(first))
}

async fn stream(settings: &Settings, lock: Option<&KeyLock>) -> Outcome {
    let mut stream = settings.client()?.backup(lock).await?;
    while let Some(chunk) = stream.next().await {
        settings.printer.bytes(&chunk?)?;
    }
    Ok(DONE)
}

/// Writes beside the file first: a backup that is cut off never has the name of a good one.
async fn write(
    settings: &Settings,
    path: &Path,
    lock: Option<&KeyLock>,
    passphrase: Option<&SecretString>,
    hooks: Hooks,
) -> Result<BackupInfo, Error> {
    let mut stream = settings.client()?.backup(lock).await?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let failed = |source| Error::Write { path: part.clone(), source };
    let mut file = new_private(&part).map_err(failed)?;
    let written = async {
        while let Some(chunk) = stream.next().await {
            file.write_all(&chunk?).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        (hooks.verify)(&part, BackupKeys { data: None, passphrase })
            .map_err(|source| Error::Backup { path: path.to_owned(), source })
    }
    .await;
    let info = match written {
        Ok(info) => info,
        Err(err) => {
            let _ = fs::remove_file(&part);
            return Err(err);
        }
    };
    fs::rename(&part, path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
    Ok(info)
}

/// A file of our own only: one that was cut off may be there, or what somebody else put there to be
/// written to. It holds sealed secrets and is nobody else's business.
fn new_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    }
}

fn verify(settings: &Settings, args: &BackupVerifyArgs, hooks: Hooks) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    let data = &config.data.dir;
    let passphrase = wanted(&args.passphrase, &args.file, data, hooks)?;
    let keys = BackupKeys { data: Some(data), passphrase: passphrase.as_ref() };
    let info = (hooks.verify)(&args.file, keys)
        .map_err(|source| Error::Backup { path: args.file.clone(), source })?;
    settings.printer.line(summary(&args.file, &info))?;
    settings.printer.lines(facts(&info))?;
    Ok(DONE)
}

fn restore(settings: &Settings, args: BackupRestoreArgs, hooks: Hooks) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    let data = &config.data.dir;
    let failed = |source| Error::Backup { path: args.file.clone(), source };
    let passphrase = wanted(&args.passphrase, &args.file, data, hooks)?;
    // A file that is not there should not leave a directory behind.
    let _held = match data.exists() {
        true => Some(Held::hold(data)?),
        false => None,
    };
    let wish = RestoreWish {
        passphrase: passphrase.as_ref(),
        name: args.name.as_deref(),
        replace: args.force,
        unproved: args.unproved,
    };
    let info = (hooks.restore)(&args.file, &config, wish).map_err(failed)?;
    settings.printer.line(summary(&args.file, &info))?;
    settings.printer.line(format_args!("restored to {}", data.display()))?;
    settings.printer.note(
        "when it starts, the node is the only member of the cluster; former members are removed and \
         join again with empty data directories",
    );
    Ok(DONE)
}

/// The passphrase that was named, or one that is asked for where it is of use.
fn wanted(
    arg: &PassphraseArg,
    file: &Path,
    data: &Path,
    hooks: Hooks,
) -> Result<Option<SecretString>, Error> {
    let given = passphrase::given(arg)?;
    if given.is_some() || data.join("pki/data.key").exists() || !passphrase::can_ask() {
        return Ok(given);
    }
    let sealed =
        (hooks.sealed)(file).map_err(|source| Error::Backup { path: file.to_owned(), source })?;
    if !sealed {
        return Ok(None);
    }
    let typed = passphrase::ask("Passphrase of the backup (empty: none)")?;
    Ok((!typed.expose_secret().is_empty()).then_some(typed))
}

fn summary(path: &Path, info: &BackupInfo) -> String {
    format!(
        "{}: revision {}, {} keys, {} bytes",
        path.display(),
        info.revision,
        info.keys,
        info.bytes
    )
}

/// What else is to say about a backup.
fn facts(info: &BackupInfo) -> Vec<String> {
    let seconds = i64::try_from(info.created).unwrap_or_default();
    let made = Timestamp::from_second(seconds).unwrap_or_default();
    if info.cluster.is_empty() {
        return vec![
            format!("made:      {made}"),
            "authentic: cannot be told, it is of the first format".to_owned(),
            "data key:  not in it; `pki/data.key` of the node is needed to restore it".to_owned(),
        ];
    }
    let authentic = match info.authentic {
        true => "yes, nothing was changed since it was made",
        false => {
            "not known; it is complete, but neither its passphrase nor its data key is at hand"
        }
    };
    let key = match info.has_key {
        true => "in it, sealed under a passphrase",
        false => "not in it; `pki/data.key` of a node is needed to restore it elsewhere",
    };
    vec![
        format!("made:      {made} on {} of cluster {}", info.node, info.cluster),
        format!("authentic: {authentic}"),
        format!("data key:  {key}"),
    ]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn nothing_is_written_through_what_somebody_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let (part, target) = (dir.path().join("b.part"), dir.path().join("passwd"));
        fs::write(&target, "theirs").unwrap();
        symlink(&target, &part).unwrap();
        for _ in 0..2 {
            new_private(&part).unwrap().write_all(b"ours").unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"theirs");
            let written = fs::symlink_metadata(&part).unwrap();
            assert_eq!((written.is_file(), written.mode() & 0o777), (true, 0o600));
        }
    }
}
