//! Collects issues of one source.

use super::node::Position;
use crate::issue::{Issue, Severity, SourceName};

/// Collects issues; knows the source and the document being read.
pub(super) struct Reporter {
    source: SourceName,
    /// The document being read, counted from 1.
    pub(super) document: usize,
    issues: Vec<Issue>,
}

impl Reporter {
    pub(super) fn new(source: &SourceName) -> Self {
        Self { source: source.clone(), document: 1, issues: Vec::new() }
    }

    pub(super) fn error(&mut self, at: Position, path: &str, message: String, hint: String) {
        self.add(Severity::Error, at, path, message, hint);
    }

    pub(super) fn warning(&mut self, at: Position, path: &str, message: String, hint: String) {
        self.add(Severity::Warning, at, path, message, hint);
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        at: Position,
        path: &str,
        message: String,
        hint: String,
    ) {
        self.issues.push(Issue {
            severity,
            file: self.source.as_str().to_owned(),
            document: self.document,
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            message,
            hint,
        });
    }

    /// Whether an error was reported for the document being read.
    pub(super) fn failed(&self) -> bool {
        self.issues.iter().any(|i| i.document == self.document && i.is_error())
    }

    /// Whether an error was reported at this field, one inside it or one around it.
    pub(super) fn failed_at(&self, path: &str) -> bool {
        let inside = |outer: &str, inner: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.issues.iter().any(|i| {
            i.document == self.document
                && i.is_error()
                && !i.path.is_empty()
                && (inside(&i.path, path) || inside(path, &i.path))
        })
    }

    /// All issues, in the order of the text.
    pub(super) fn into_issues(mut self) -> Vec<Issue> {
        self.issues.sort_by_key(|i| (i.document, i.line, i.column));
        self.issues
    }
}
