//! From a request's body to definitions, with every mistake in the envelope's shape.

use std::collections::{BTreeMap, BTreeSet};

use smr_model::{
    Definition, Document, Issue, ObjectKey, Parsed, Severity, SourceName, parse, parse_value,
};
use smr_wire::{ErrorDetail, Warning};

use crate::{Error, templates};

/// How the message of a detail begins that is no mistake. A warning beside mistakes is often what
/// explains them.
pub(crate) const WARNING: &str = "warning: ";

/// What a request says.
#[derive(Debug)]
pub(crate) struct Documents {
    /// In the order of the request, no two of the same object.
    pub(crate) definitions: Vec<Definition>,
    pub(crate) warnings: Vec<Warning>,
}

impl Documents {
    /// Reads YAML or JSON documents.
    pub(crate) fn read(body: &str, source: &str) -> Result<Self, Error> {
        Self::from_parsed(parse(body, &SourceName::new(source)), source)
    }

    /// Reads one definition in JSON form.
    pub(crate) fn from_value(value: &serde_json::Value, source: &str) -> Result<Self, Error> {
        Self::from_parsed(parse_value(value, &SourceName::new(source)), source)
    }

    fn from_parsed(parsed: Parsed, source: &str) -> Result<Self, Error> {
        let mut issues = parsed.issues;
        for document in &parsed.documents {
            for mistake in templates::mistakes(&document.definition) {
                let (line, column) = document.position(&mistake.path);
                issues.push(Issue {
                    severity: if mistake.is_error { Severity::Error } else { Severity::Warning },
                    file: source.to_owned(),
                    document: document.number,
                    line,
                    column,
                    path: mistake.path,
                    message: mistake.message,
                    hint: String::new(),
                });
            }
        }
        let twice = twice(&parsed.documents, source);
        if !twice.is_empty() || issues.iter().any(Issue::is_error) {
            let mut details: Vec<ErrorDetail> = issues.iter().map(detail).chain(twice).collect();
            details.sort_by_key(|detail| (detail.document, detail.line, detail.column));
            return Err(Error::Invalid { details: shortened(details) });
        }
        let warnings = issues.iter().map(|issue| Warning { message: issue.to_string() }).collect();
        if parsed.documents.is_empty() {
            return Err(Error::NoDocuments);
        }
        let definitions = parsed.documents.into_iter().map(|d| d.definition).collect();
        Ok(Self { definitions, warnings })
    }

    /// Checks definitions that do not come from a text.
    pub(crate) fn check(definitions: &[Definition]) -> Result<Vec<Warning>, Error> {
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, definition) in definitions.iter().enumerate() {
            let key = definition.key();
            for problem in smr_model::validate(definition) {
                if problem.severity == Severity::Error {
                    mistakes.push(ErrorDetail {
                        document: number(index + 1),
                        path: problem.path,
                        message: format!("`{key}`: {}", problem.message),
                        hint: some(problem.hint),
                        ..ErrorDetail::default()
                    });
                } else {
                    warnings.push(Warning { message: format!("{key}: {problem}") });
                }
            }
            for mistake in templates::mistakes(definition) {
                let message = format!("`{key}`: {}", mistake.message);
                if mistake.is_error {
                    mistakes.push(ErrorDetail {
                        document: number(index + 1),
                        path: mistake.path,
                        message,
                        ..ErrorDetail::default()
                    });
                } else {
                    warnings.push(Warning { message: format!("{}: {message}", mistake.path) });
                }
            }
            if !seen.insert(key.clone()) {
                let message = format!("`{key}` is in the request twice");
                mistakes.push(ErrorDetail {
                    document: number(index + 1),
                    message,
                    ..ErrorDetail::default()
                });
            }
        }
        if mistakes.is_empty() { Ok(warnings) } else { Err(Error::Invalid { details: mistakes }) }
    }
}

/// Nobody reads more mistakes than this, and a hostile body could have hundreds of thousands.
const MISTAKES: usize = 200;

/// The first mistakes; the last entry says how many more there are.
fn shortened(mut details: Vec<ErrorDetail>) -> Vec<ErrorDetail> {
    if details.len() > MISTAKES {
        let more = details.len() - MISTAKES;
        details.truncate(MISTAKES);
        let message = format!("{more} more mistakes are not listed; correct these first");
        details.push(ErrorDetail { message, ..ErrorDetail::default() });
    }
    details
}

/// Documents about an object that an earlier one is about already.
fn twice(documents: &[Document], source: &str) -> Vec<ErrorDetail> {
    let mut seen: BTreeMap<ObjectKey, (usize, usize)> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for document in documents {
        let key = document.definition.key();
        if let Some((number, line)) = seen.get(&key) {
            mistakes.push(ErrorDetail {
                file: source.to_owned(),
                document: self::number(document.number),
                line: self::number(document.line),
                column: 1,
                message: format!(
                    "`{key}` is defined twice, first in document {number} on line {line}"
                ),
                hint: Some("keep one of the two, or give them different names".to_owned()),
                ..ErrorDetail::default()
            });
        } else {
            seen.insert(key, (document.number, document.line));
        }
    }
    mistakes
}

fn detail(issue: &Issue) -> ErrorDetail {
    ErrorDetail {
        file: issue.file.clone(),
        document: number(issue.document),
        line: number(issue.line),
        column: number(issue.column),
        path: issue.path.clone(),
        message: match issue.severity {
            Severity::Error => issue.message.clone(),
            Severity::Warning => format!("{WARNING}{}", issue.message),
        },
        hint: some(issue.hint.clone()),
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn some(hint: String) -> Option<String> {
    (!hint.is_empty()).then_some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_mistakes_is_shortened() {
        let body = "---\na: 1\n".repeat(1000);
        let Err(Error::Invalid { details }) = Documents::read(&body, "flood") else {
            panic!("a document without kind is a mistake")
        };
        assert_eq!(details.len(), MISTAKES + 1);
        assert!(details[MISTAKES].message.contains("more mistakes"));
    }
}
