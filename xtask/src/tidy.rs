//! `cargo xtask tidy`: the rules of ARCHITECTURE.md that the compiler does not know. Also a test.

mod arrows;
mod documents;
mod purity;
mod scrub;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{generate, paths, run::say};

/// Checks everything and reports every problem, not the first.
pub(crate) fn tidy() -> Result<()> {
    let problems = problems()?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems found by tidy", problems.len());
    }
    say("tidy: nothing to complain about");
    Ok(())
}

fn problems() -> Result<Vec<String>> {
    let root = paths::root();
    let mut problems = arrows::problems(&paths::metadata()?);
    problems.extend(purity::problems(&root));
    problems.extend(sources::problems(&root));
    problems.extend(documents::problems(&root));
    problems.extend(generate::problems());
    Ok(problems)
}

/// All Rust sources below a folder, sorted; build output is left out.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files(folder, "rs")
}

/// All files with an extension below a folder, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as people write it: from the top of the checkout.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_workspace_is_tidy() {
        let problems = super::problems().unwrap();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }
}
