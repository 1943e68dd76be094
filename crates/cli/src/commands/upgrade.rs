//! `upgrade`: another version of the program for the node of this machine.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{DONE, Outcome, block, local::Local, node, relaunch};
use crate::{args::UpgradeArgs, error::Error, running, settings::Settings};

/// `upgrade`.
pub(crate) fn run(settings: &Settings, args: &UpgradeArgs) -> Outcome {
    let config = node::load_with_data(settings, &args.config, args.data_dir.as_deref())?;
    upgrade(settings, &Local::of(config), &args.file, args.timeout.0)?;
    Ok(DONE)
}

/// Tries the new program, puts it in the place of the one that runs, restarts the node and waits
/// until it works; puts the former one back if it does not.
pub(crate) fn upgrade(
    settings: &Settings,
    local: &Local,
    file: &Path,
    timeout: Duration,
) -> Result<(), Error> {
    let dir = local.config.data.dir.clone();
    let Some(process) = running::running(&dir)? else { return Err(Error::NotRunning { dir }) };
    let launched = relaunch::Launched::of(process.pid)?;
    let printer = settings.printer;
    let version = version(file)?;
    let before = block(async { Ok(local.broken(settings).await) })?;
    let swapped = Swapped::put(file, &launched.program)?;
    printer.note(format_args!("{} is {version} now", launched.program.display()));
    let restarted = relaunch::restart(settings, &launched, &process, &dir, timeout);
    let works = restarted.and_then(|()| block(local.wait(settings, &before, timeout)));
    let Err(err) = works else {
        printer.line(format_args!("node {} runs {version}", local.name))?;
        let before = swapped.before.display();
        printer.note(format_args!("note: the former program is kept as {before}"));
        return Ok(());
    };
    printer.note("the node does not work with it; putting the former program back");
    swapped.take_back()?;
    let back = match running::running(&dir)? {
        Some(process) => relaunch::restart(settings, &launched, &process, &dir, timeout),
        None => relaunch::start(settings, &launched, &dir, timeout),
    };
    let works_again = back.and_then(|()| block(local.wait(settings, &before, timeout))).is_ok();
    Err(Error::NotUpgraded { version, works_again, source: Box::new(err) })
}

/// What the program says of its version: that it can be run here at all, and is smr.
fn version(file: &Path) -> Result<String, Error> {
    let refused = |why: String| Error::NotAProgram { path: file.to_owned(), why };
    let file =
        fs::canonicalize(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
    let output = Command::new(&file)
        .args(["version", "--client"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|err| refused(err.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.lines().next().unwrap_or_default().trim();
    let is_version = version.strip_prefix('v').is_some_and(|rest| {
        rest.split('.').count() >= 3 && rest.starts_with(|c: char| c.is_ascii_digit())
    });
    match output.status.success() && is_version {
        true => Ok(version.to_owned()),
        false => Err(refused(format!("`version --client` ended with {}", output.status))),
    }
}

/// A program that was exchanged.
#[derive(Debug)]
struct Swapped {
    place: PathBuf,
    before: PathBuf,
}

impl Swapped {
    /// Puts `file` in the place of a program, in one step; the former one is kept beside it.
    fn put(file: &Path, place: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Write { path: place.to_owned(), source };
        let before = beside(place, ".before");
        let new = beside(place, ".new");
        let copied = || -> io::Result<()> {
            fs::copy(file, &new)?;
            fs::set_permissions(&new, fs::metadata(place)?.permissions())?;
            File::open(&new)?.sync_all()?;
            // The former one is never absent, not even for a moment.
            let _ = fs::remove_file(&before);
            fs::hard_link(place, &before).or_else(|_| fs::copy(place, &before).map(drop))?;
            fs::rename(&new, place)
        };
        copied().map_err(|err| {
            let _ = fs::remove_file(&new);
            failed(err)
        })?;
        Ok(Self { place: place.to_owned(), before })
    }

    fn take_back(&self) -> Result<(), Error> {
        fs::rename(&self.before, &self.place)
            .map_err(|source| Error::Write { path: self.place.clone(), source })
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(path: &Path, text: &str) {
        fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_program_is_exchanged_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("smr"), dir.path().join("download"));
        script(&old, "echo v0.1.0");
        fs::write(&new, "new").unwrap();
        let swapped = Swapped::put(&new, &old).unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"new");
        assert_eq!(fs::metadata(&old).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(version(&swapped.before).unwrap(), "v0.1.0");
        swapped.take_back().unwrap();
        assert_eq!(version(&old).unwrap(), "v0.1.0");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
        assert!(Swapped::put(&dir.path().join("missing"), &old).is_err());
        assert_eq!(version(&old).unwrap(), "v0.1.0");
    }

    #[test]
    fn what_is_no_smr_is_not_put_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(version(&path).is_err(), "not there");
        fs::write(&path, "text").unwrap();
        assert!(version(&path).is_err(), "not a program");
        for text in ["exit 1", "echo hello", "echo v0.1.0; exit 1"] {
            script(&path, text);
            let err = version(&path).unwrap_err();
            assert!(err.to_string().contains("is not a version of smr"), "{err}");
        }
    }
}
