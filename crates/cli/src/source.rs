//! Where definitions come from: files, directories, packs, URLs, standard input.

mod body;
mod pack;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use body::{Body, Piece};

use crate::error::Error;

/// Longest time for a download.
const DOWNLOAD: Duration = Duration::from_secs(30);

/// What a source turned out to be.
#[derive(Debug)]
pub(crate) enum Source {
    /// Texts with definitions.
    Pieces(Vec<Piece>),
    /// No path; perhaps a resource.
    NotAPath,
}

/// Reads one source. Packs are rendered with their variables and `set`; everything else is taken
/// as it is.
pub(crate) async fn read(
    name: &str,
    set: &[String],
    now: jiff::Timestamp,
) -> Result<Source, Error> {
    if name == "-" {
        return Ok(Source::Pieces(vec![stdin()?]));
    }
    if name.starts_with("http://") || name.starts_with("https://") {
        let text = smr_client::fetch_text(name, DOWNLOAD).await?;
        return Ok(Source::Pieces(vec![Piece { file: name.to_owned(), text }]));
    }
    let path = Path::new(name);
    if path.is_dir() {
        return directory(path, set, now).map(Source::Pieces);
    }
    if path.exists() {
        return Ok(Source::Pieces(vec![file(path)?]));
    }
    Ok(Source::NotAPath)
}

/// Reads sources that must be paths; one body of all.
pub(crate) async fn read_all(
    names: &[String],
    set: &[String],
    now: jiff::Timestamp,
) -> Result<Body, Error> {
    let mut pieces = Vec::new();
    for name in names {
        match read(name, set, now).await? {
            Source::Pieces(more) => pieces.extend(more),
            Source::NotAPath => {
                return Err(Error::NoSuchSource { source_name: name.clone() });
            }
        }
    }
    let body = Body::new(pieces);
    if body.is_empty() {
        return Err(no_definitions(names));
    }
    Ok(body)
}

/// Nothing was found in any of these.
pub(crate) fn no_definitions(names: &[String]) -> Error {
    let names = names.iter().map(|name| if name == "-" { "standard input" } else { name });
    Error::NoDefinitions { source_name: names.collect::<Vec<_>>().join(" ") }
}

fn stdin() -> Result<Piece, Error> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|source| Error::Terminal { what: "standard input", source })?;
    Ok(Piece { file: "<stdin>".to_owned(), text })
}

fn file(path: &Path) -> Result<Piece, Error> {
    let text =
        fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(Piece { file: path.display().to_string(), text })
}

/// A pack, or a plain directory of definitions.
fn directory(dir: &Path, set: &[String], now: jiff::Timestamp) -> Result<Vec<Piece>, Error> {
    let (pack, definitions) = (dir.join("Pack.yaml"), dir.join("definitions"));
    match (pack.exists(), definitions.is_dir()) {
        (true, true) => pack::render(&definitions, set, now),
        (true, false) => Err(Error::NotAPack { dir: dir.to_owned(), missing: definitions }),
        (false, true) => Err(Error::NotAPack { dir: dir.to_owned(), missing: pack }),
        (false, false) => {
            let files = files(dir, &["yaml", "yml", "json"])?;
            files.iter().map(|path| file(path)).collect()
        }
    }
}

/// The files of a directory with one of these extensions, in byte order of their names.
fn files(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
