//! From what users write to definitions, with every mistake named and placed.
//!
//! Strict about types, lenient about spelling (spec 18.1): fields match whatever their case,
//! scalars become texts with their digits as written (`tag: 8.0` stays `8.0`), unknown fields are
//! warnings, server-owned fields are ignored.

mod document;
mod load;
pub(crate) mod node;
mod report;
mod walk;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::walk::field_path;
use self::{
    node::{Node, Position},
    report::Reporter,
};
use crate::{
    definition::{Definition, Owner},
    issue::{Issue, SourceName},
};

/// One definition and where it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Number within the source, counted from 1, empty documents included.
    pub number: usize,
    /// Line on which it begins, counted from 1; 0 when unknown.
    pub line: usize,
    /// What it says. [`Meta::owner`](crate::Meta::owner) is empty.
    pub definition: Definition,
    /// The owner written in `meta.owner` or `meta.runtime.owner`. The server sets owners itself;
    /// this is for callers that are allowed to act for one.
    pub owner: Option<Owner>,
    /// Canonical path of each field to where its value begins.
    positions: BTreeMap<String, Position>,
}

impl Document {
    /// Line and column, from 1, of the value of a field, or of the innermost field around it that
    /// is written: `position("spec.envs[1]")`. [`field_path`] builds paths. 0 when unknown.
    pub fn position(&self, path: &str) -> (usize, usize) {
        let known = |path: &str| self.positions.get(path).copied();
        let at = document::nearest_position(path, known)
            .unwrap_or(Position { line: self.line, column: self.line.min(1) });
        (at.line, at.column)
    }
}

/// What a text says, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parsed {
    /// The documents without errors, in the order of the text.
    pub documents: Vec<Document>,
    /// All errors and warnings, in the order of the text.
    pub issues: Vec<Issue>,
}

impl Parsed {
    /// Whether anything must be repaired before use.
    pub fn has_errors(&self) -> bool {
        self.issues.iter().any(Issue::is_error)
    }

    /// What must be repaired.
    pub fn errors(&self) -> impl Iterator<Item = &Issue> {
        self.issues.iter().filter(|i| i.is_error())
    }

    /// What has no effect or a surprising one.
    pub fn warnings(&self) -> impl Iterator<Item = &Issue> {
        self.issues.iter().filter(|i| !i.is_error())
    }

    /// The definitions and the warnings, or all issues if any of them is an error.
    pub fn into_result(self) -> Result<(Vec<Definition>, Vec<Issue>), Vec<Issue>> {
        if self.has_errors() {
            return Err(self.issues);
        }
        Ok((self.documents.into_iter().map(|d| d.definition).collect(), self.issues))
    }
}

/// Reads YAML (so JSON too), one or several documents: syntax, types and
/// [validity](crate::validate()). Never fails: what cannot be used is in the issues.
pub fn parse(text: &str, source: &SourceName) -> Parsed {
    let mut report = Reporter::new(source);
    let loaded = load::load(text, &mut report);
    let mut documents = Vec::new();
    for document in loaded {
        report.document = document.number;
        documents.extend(document::read(&document.node, document.number, &mut report));
    }
    Parsed { documents, issues: report.into_issues() }
}

/// The same for JSON that has been read already: one definition, or a list of them. Issues have
/// no positions.
pub fn parse_value(value: &Value, source: &SourceName) -> Parsed {
    let mut report = Reporter::new(source);
    let values = match value {
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut documents = Vec::new();
    for (index, value) in values.iter().enumerate() {
        report.document = index + 1;
        if !value.is_null() {
            documents.extend(document::read(&Node::from_json(value), index + 1, &mut report));
        }
    }
    Parsed { documents, issues: report.into_issues() }
}
