//! `backup`: the cluster's state in one file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use futures_util::StreamExt as _;
use smr_wire::BackupInfo;

use super::{DONE, Outcome, block, node};
use crate::{
    args::{BackupCommand, BackupCreateArgs, BackupRestoreArgs},
    error::Error,
    hooks::Hooks,
    running,
    settings::Settings,
};

/// `backup`.
pub(crate) fn run(settings: &Settings, command: BackupCommand, hooks: Hooks) -> Outcome {
    match command {
        BackupCommand::Create(args) => block(create(settings, args, hooks)),
        BackupCommand::Verify(args) => {
            let info = (hooks.verify)(&args.file)
                .map_err(|source| Error::Backup { path: args.file.clone(), source })?;
            settings.printer.line(summary(&args.file, &info))?;
            Ok(DONE)
        }
        BackupCommand::Restore(args) => restore(settings, args, hooks),
    }
}

/// Writes beside the file first: a backup that is cut off never has the name of a good one.
async fn create(settings: &Settings, args: BackupCreateArgs, hooks: Hooks) -> Outcome {
    let path = args.file;
    let to_stdout = path == Path::new("-");
    if !to_stdout && !args.force && path.exists() {
        return Err(Error::Exists { path });
    }
    let mut stream = settings.client()?.backup().await?;
    if to_stdout {
        while let Some(chunk) = stream.next().await {
            settings.printer.bytes(&chunk?)?;
        }
        return Ok(DONE);
    }
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
        (hooks.verify)(&part).map_err(|source| Error::Backup { path: path.clone(), source })
    }
    .await;
    let info = match written {
        Ok(info) => info,
        Err(err) => {
            let _ = fs::remove_file(&part);
            return Err(err);
        }
    };
    fs::rename(&part, &path).map_err(|source| Error::Write { path: path.clone(), source })?;
    settings.printer.line(summary(&path, &info))?;
    Ok(DONE)
}

/// A file of our own only: one that was cut off may be there, or what somebody else put there to be
/// written to. It holds sealed secrets and is nobody else's business.
fn new_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    }
}

fn restore(settings: &Settings, args: BackupRestoreArgs, hooks: Hooks) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    if running::running(&config.data.dir)?.is_some() {
        return Err(Error::AlreadyRuns { dir: config.data.dir });
    }
    let info = (hooks.restore)(&args.file, &config, args.force)
        .map_err(|source| Error::Backup { path: args.file.clone(), source })?;
    settings.printer.line(summary(&args.file, &info))?;
    settings.printer.line(format_args!("restored to {}", config.data.dir.display()))?;
    Ok(DONE)
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
