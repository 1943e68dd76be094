//! Several texts as one request, so that all of them are applied or none, with positions that
//! lead back to the text they are in.

use smr_wire::{ApiError, ErrorDetail, Warning};

/// The name the request has when it is made of several texts.
const COMBINED: &str = "definitions";

/// A text with definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Name for messages.
    pub file: String,
    /// YAML or JSON.
    pub text: String,
}

/// One request made of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// Name of the request for the cluster's messages.
    pub source: String,
    /// All documents.
    pub text: String,
    /// Name and first line of each text; empty for a single one.
    starts: Vec<(String, u32)>,
}

impl Body {
    /// Joins texts in their order.
    pub(crate) fn new(mut pieces: Vec<Piece>) -> Self {
        if pieces.len() == 1 {
            let piece = pieces.remove(0);
            return Self { source: piece.file, text: piece.text, starts: Vec::new() };
        }
        let mut body =
            Self { source: COMBINED.to_owned(), text: String::new(), starts: Vec::new() };
        let mut line = 1;
        for piece in pieces {
            if !body.text.is_empty() {
                body.text.push_str("---\n");
                line += 1;
            }
            body.starts.push((piece.file, line));
            body.text.push_str(&piece.text);
            if !piece.text.ends_with('\n') {
                body.text.push('\n');
            }
            line += piece.text.lines().count() as u32;
        }
        body
    }

    /// Whether there is nothing but comments and document marks.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || line == "---"
        })
    }

    /// Which text a line is in, and which line of it.
    fn locate(&self, line: u32) -> Option<(&str, u32)> {
        let (file, start) = self.starts.iter().rev().find(|(_, start)| *start <= line)?;
        Some((file, line - start + 1))
    }

    /// Makes the positions in a refusal those of the texts.
    pub(crate) fn localize(&self, mut err: ApiError) -> ApiError {
        for detail in &mut err.details {
            self.localize_detail(detail);
        }
        if let Some(message) = self.localize_text(&err.message) {
            err.message = message;
        }
        err
    }

    fn localize_detail(&self, detail: &mut ErrorDetail) {
        if let Some((file, line)) = self.locate(detail.line).filter(|_| detail.line > 0) {
            detail.file = file.to_owned();
            detail.line = line;
            detail.document = 0;
        }
    }

    /// Makes the position at the start of a warning that of the text.
    pub(crate) fn localize_warning(&self, warning: &Warning) -> String {
        self.localize_text(&warning.message).unwrap_or_else(|| warning.message.clone())
    }

    /// `definitions:21:13 (document 4): ...` as `web.yaml:5:13: ...`.
    fn localize_text(&self, text: &str) -> Option<String> {
        let rest = text.strip_prefix(COMBINED)?.strip_prefix(':')?;
        let (line, rest) = rest.split_once(':')?;
        let (file, line) = self.locate(line.parse().ok()?)?;
        let (column, message) = rest.split_once(": ")?;
        let column = column.split_once(" (document ").map_or(column, |(column, _)| column);
        Some(format!("{file}:{line}:{column}: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use smr_wire::Code;

    use super::*;

    fn body() -> Body {
        let piece = |file: &str, text: &str| Piece { file: file.into(), text: text.into() };
        Body::new(vec![piece("a.yaml", "kind: a\nmeta: 1"), piece("b.yaml", "---\nkind: b\n")])
    }

    #[test]
    fn a_single_text_stays_as_it_is() {
        let body = Body::new(vec![Piece { file: "a.yaml".into(), text: "kind: a".into() }]);
        assert_eq!((body.source.as_str(), body.text.as_str()), ("a.yaml", "kind: a"));
        let warning = Warning { message: "definitions:1:2: x".into() };
        assert_eq!(body.localize_warning(&warning), "definitions:1:2: x");
    }

    #[test]
    fn positions_lead_back_to_the_text() {
        let body = body();
        assert_eq!(body.text, "kind: a\nmeta: 1\n---\n---\nkind: b\n");
        let detail = |line| ErrorDetail { line, file: "definitions".into(), ..Default::default() };
        let err = ApiError::new(Code::Invalid, "x").details(vec![detail(2), detail(5), detail(0)]);
        let places: Vec<_> =
            body.localize(err).details.into_iter().map(|d| (d.file, d.line)).collect();
        assert_eq!(
            places,
            [("a.yaml".into(), 2), ("b.yaml".into(), 2), ("definitions".to_owned(), 0)]
        );
        for place in ["definitions:5:1", "definitions:5:1 (document 3)"] {
            let warning = Warning { message: format!("{place}: meta.x: unknown") };
            assert_eq!(body.localize_warning(&warning), "b.yaml:2:1: meta.x: unknown");
            let err = body.localize(ApiError::new(Code::Invalid, warning.message.clone()));
            assert_eq!(err.message, "b.yaml:2:1: meta.x: unknown");
        }
    }

    #[test]
    fn comments_alone_are_nothing() {
        let body = |text: &str| Body::new(vec![Piece { file: "a".into(), text: text.into() }]);
        assert!(body("# x\n---\n\n").is_empty());
        assert!(!body("kind: x").is_empty());
        assert!(Body::new(Vec::new()).is_empty());
    }
}
