//! What the documents promise exists: invariants name tests, links lead somewhere.

use std::{fs, path::Path};

use super::{files, shown};

/// Longest ARCHITECTURE.md.
const LINES: usize = 300;

pub(super) fn problems(root: &Path) -> Vec<String> {
    let mut problems = match fs::read_to_string(root.join("ARCHITECTURE.md")) {
        Ok(text) => architecture(root, &text),
        Err(error) => vec![format!("ARCHITECTURE.md: {error}")],
    };
    let mut documents = files(&root.join("docs"), "md");
    documents.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|it| root.join(it)));
    documents.extend(files(&root.join("examples"), "md"));
    for path in documents {
        let name = shown(root, &path);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let folder = path.parent().unwrap_or(root);
        problems.extend(broken_links(&name, folder, &text));
    }
    problems
}

/// Length; and each numbered item of the section "Invariants" names tests as `path/to/file.rs::test`.
fn architecture(root: &Path, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        problems.push(format!("ARCHITECTURE.md: {lines} lines, at most {LINES}"));
    }
    let items = invariants(text);
    if items.is_empty() {
        problems.push("ARCHITECTURE.md: no numbered list under a heading `Invariants`".to_owned());
    }
    for (number, item) in items {
        let references = references(&item);
        if references.is_empty() {
            problems.push(format!(
                "ARCHITECTURE.md: invariant {number} names no test (`crates/x/src/y.rs::test_name`)"
            ));
        }
        for (file, test) in references {
            let source = fs::read_to_string(root.join(&file)).unwrap_or_default();
            let function = format!("fn {test}(");
            if !source.contains(&function) && !source.contains(&format!("fn {test}<")) {
                problems.push(format!(
                    "ARCHITECTURE.md: invariant {number} names `{file}::{test}`, which does not exist"
                ));
            }
        }
    }
    problems
}

/// Numbered items below the heading, each with its continuation lines.
fn invariants(text: &str) -> Vec<(String, String)> {
    let mut items: Vec<(String, String)> = Vec::new();
    let section = text
        .lines()
        .skip_while(|line| !(line.starts_with('#') && line.to_lowercase().contains("invariants")))
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    for line in section {
        let number = line.split_once(". ").map(|(number, _)| number);
        if let Some(number) = number.filter(|it| !it.is_empty() && it.chars().all(char::is_numeric))
        {
            items.push((number.to_owned(), line.to_owned()));
        } else if let Some((_, item)) = items.last_mut() {
            item.push('\n');
            item.push_str(line);
        }
    }
    items
}

/// Every `path.rs::name` between backticks.
fn references(item: &str) -> Vec<(String, String)> {
    item.split('`')
        .filter_map(|part| part.split_once(".rs::"))
        .map(|(file, test)| {
            let name = test.rsplit("::").next().unwrap_or(test);
            (format!("{file}.rs"), name.to_owned())
        })
        .collect()
}

/// A text without what is between backticks: code has brackets too.
fn prose(text: &str) -> String {
    let without_blocks: String = text.split("```").step_by(2).collect();
    let in_line = |line: &str| line.split('`').step_by(2).collect::<String>();
    without_blocks.lines().map(|line| in_line(line) + "\n").collect()
}

/// Relative links whose file is not there.
fn broken_links(name: &str, folder: &Path, text: &str) -> Vec<String> {
    prose(text)
        .split("](")
        .skip(1)
        .filter_map(|after| after.split(')').next())
        .filter(|link| {
            !link.contains("://") && !link.starts_with('#') && !link.starts_with("mailto:")
        })
        .filter_map(|link| link.split(['#', ' ']).next())
        .filter(|link| !link.is_empty() && !folder.join(link).exists())
        .map(|link| format!("{name}: link to `{link}`, which does not exist"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n## Invariants\n\n1. Pure. `xtask/src/x.rs::tests::a`\n2. Safe:\n   \
        `crates/b.rs::c`, `d.rs::e`\n\n## Next\n3. No.";

    #[test]
    fn items_are_read_with_their_continuation() {
        let items = invariants(TEXT);
        assert_eq!(items.len(), 2);
        let found = references(&items[1].1);
        assert_eq!(found, [("crates/b.rs".into(), "c".into()), ("d.rs".into(), "e".into())]);
        assert_eq!(references(&items[0].1), [("xtask/src/x.rs".into(), "a".into())]);
    }

    #[test]
    fn a_link_into_nothing_is_told() {
        let text = "[a](Cargo.toml#x) [b](nothing.md) [c](https://example.org) [d](#here) \
            `[e](code)`\n```\n[f](block)\n```\n";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = broken_links("T.md", folder, text);
        assert_eq!(found, ["T.md: link to `nothing.md`, which does not exist"]);
    }
}
