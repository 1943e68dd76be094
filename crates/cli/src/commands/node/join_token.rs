//! A join token on its way into a file: never an argument, and not for long in the environment.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use smr_config::{Config, Override};

use crate::{args::StartArgs, commands::context::read_input, error::Error};

/// The name that stands for standard input.
pub(crate) const STDIN: &str = "-";

/// The variable with a join token.
pub(crate) const VARIABLE: &str = "SMR_JOIN_TOKEN";

/// The file in the data directory, beside the node's record: a node takes a directory for a new one
/// only if nothing is in it but what it knows by these names.
const FILE: &str = ".node.json.join-token";

/// Names the file of a token that comes by standard input or by the environment, so that the
/// configuration is checked as what it will be.
pub(crate) fn announce(overrides: &mut Vec<Override>, args: &StartArgs) {
    let origin = match &args.overrides.token_file {
        Some(path) if path == Path::new(STDIN) => "--token-file -",
        None if variable().is_some() => VARIABLE,
        _ => return,
    };
    overrides.push(Override {
        key: "cluster.token_file".to_owned(),
        value: format!("/{FILE}"),
        origin: origin.to_owned(),
    });
}

/// Keeps the token that came by standard input or by the environment in a file, which the
/// configuration then names. With one in the environment, the program is run again without it:
/// only then it is gone from there for other processes too.
pub(crate) fn take(config: Config, args: &StartArgs) -> Result<Config, Error> {
    let path = config.data.dir.join(FILE);
    let given = args.overrides.token_file.as_deref();
    if let Some(token) = variable() {
        let named = match given {
            Some(_) => None,
            None => {
                keep(&path, token.as_bytes())?;
                Some(path.as_path())
            }
        };
        return Err(Error::Start { source: run_again(named).into() });
    }
    if given != Some(Path::new(STDIN)) {
        return Ok(config);
    }
    keep(&path, read_input()?.as_bytes())?;
    Ok(config.override_with(&[Override {
        key: "cluster.token_file".to_owned(),
        value: path.display().to_string(),
        origin: "--token-file -".to_owned(),
    }])?)
}

/// The token in the environment.
fn variable() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|token| !token.is_empty())
}

/// Writes a token to a file of its own, for the owner only.
fn keep(path: &Path, token: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let token = token.trim_ascii();
    if token.is_empty() {
        return Err(Error::usage(
            "the join token is empty",
            "`smrctl token create --quiet` prints one",
        ));
    }
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    let mut part: PathBuf = path.to_owned();
    part.set_extension("part");
    let _ = fs::remove_file(&part);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
    file.write_all(token).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    fs::rename(&part, path).map_err(failed)
}

/// Becomes the same program with the same arguments, without the variable. Returns only failures.
fn run_again(token_file: Option<&Path>) -> std::io::Error {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "smr".into());
    let mut command = Command::new("/proc/self/exe");
    command.arg0(name).args(arguments).env_remove(VARIABLE);
    if let Some(path) = token_file {
        command.arg("--token-file").arg(path);
    }
    command.exec()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_token_is_kept_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/join-token");
        for token in ["one", "  two \n"] {
            keep(&path, token.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", token.trim()));
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(keep(&path, b" \n").unwrap_err().exit_code(), 2);
    }
}
