//! Functions on slash-separated paths, as Go's `path` package defines them.

use gotmpl::Value;

use super::{Function, exactly, string, text};

pub(super) const FUNCTIONS: &[Function] = &[
    exactly("base", 1, |_, a| string(base(text(a, 0)?))),
    exactly("dir", 1, |_, a| string(dir(text(a, 0)?))),
    exactly("ext", 1, |_, a| string(ext(text(a, 0)?))),
    exactly("clean", 1, |_, a| string(clean(text(a, 0)?))),
    exactly("isAbs", 1, |_, a| Ok(Value::Bool(text(a, 0)?.starts_with('/')))),
];

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

fn ext(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rfind('.').map_or("", |dot| &file[dot..])
}

/// The shortest equivalent path.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/') {
        match element {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            other => kept.push(other),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}
