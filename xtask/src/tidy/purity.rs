//! Levels 0 and 1 do no I/O, never wait and never read a clock: invariant 1.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{rust_files, scrub, shown};

/// Crates of levels 0 and 1, by folder.
const PURE: &[&str] =
    &["model", "wire", "config", "state", "template", "scheduler", "reconcile", "membership"];

/// Words that betray an effect, and which effect.
const WORDS: &[(&str, &str)] = &[
    ("async ", "waits"),
    (".await", "waits"),
    ("tokio::", "uses a runtime"),
    ("Instant::now", "reads a clock"),
    ("SystemTime::now", "reads a clock"),
    ("Timestamp::now", "reads a clock"),
    ("Zoned::now", "reads a clock"),
    ("std::fs", "touches files"),
    ("fs::read", "touches files"),
    ("fs::write", "touches files"),
    ("File::open", "touches files"),
    ("std::net::Tcp", "uses sockets"),
    ("std::net::Udp", "uses sockets"),
    ("TcpStream", "uses sockets"),
    ("UdpSocket", "uses sockets"),
    ("std::env", "reads the environment"),
    ("env::var", "reads the environment"),
    ("std::process", "starts processes"),
    ("std::thread", "starts threads"),
    ("thread::sleep", "waits"),
];

/// The one file that may read one file: the host's configuration.
const READS_ONE_FILE: &str = "crates/config/src/config.rs";

/// Lines of product code in pure crates that have an effect.
pub(super) fn problems(root: &Path) -> Vec<String> {
    PURE.iter()
        .flat_map(|name| crate_problems(root, &root.join("crates").join(name).join("src")))
        .collect()
}

fn crate_problems(root: &Path, folder: &Path) -> Vec<String> {
    let sources: Vec<(PathBuf, String)> = rust_files(folder)
        .into_iter()
        .map(|path| {
            let code = scrub::code_only(&fs::read_to_string(&path).unwrap_or_default());
            (path, code)
        })
        .collect();
    let test_files: BTreeSet<PathBuf> =
        sources.iter().flat_map(|(path, code)| test_modules(path, code)).collect();
    let is_test = |path: &Path| path.ancestors().any(|it| test_files.contains(it));
    sources
        .iter()
        .filter(|(path, _)| !is_test(&path.with_extension("")))
        .flat_map(|(path, code)| {
            let name = shown(root, path);
            effects(code).into_iter().filter_map(move |(word, effect)| {
                let exempt = name == READS_ONE_FILE && effect == "touches files";
                (!exempt).then(|| format!("{name}: `{word}` {effect}; levels 0 and 1 may not"))
            })
        })
        .collect()
}

fn effects(code: &str) -> Vec<(&'static str, &'static str)> {
    let product = scrub::without_test_modules(code);
    WORDS.iter().filter(|(word, _)| product.contains(word)).copied().collect()
}

/// Files (without extension) that `#[cfg(test)] mod name;` lines of a source bring in.
fn test_modules(path: &Path, code: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap_or_default();
    let parent = path.parent().unwrap_or(Path::new(""));
    let folder =
        if stem == "lib" || stem == "main" { parent.to_path_buf() } else { parent.join(stem) };
    code.split("#[cfg(test)]")
        .skip(1)
        .filter_map(|after| {
            let declaration = after.trim_start().lines().next()?;
            let name = declaration.trim_start_matches("pub(crate) ").strip_prefix("mod ")?;
            Some(folder.join(name.strip_suffix(';')?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_product_code_is_found_and_one_in_tests_is_not() {
        assert_eq!(effects("let t = Instant::now();"), [("Instant::now", "reads a clock")]);
        assert_eq!(effects("#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"), []);
    }

    #[test]
    fn files_of_test_modules_are_known() {
        let found = test_modules(Path::new("src/plan.rs"), "#[cfg(test)]\nmod tests;\n");
        assert_eq!(found, [PathBuf::from("src/plan/tests")]);
        let found = test_modules(Path::new("src/lib.rs"), "#[cfg(test)] mod fake;");
        assert_eq!(found, [PathBuf::from("src/fake")]);
    }
}
