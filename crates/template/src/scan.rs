//! Finds the expressions of a text before the parser sees it.
//!
//! The parser below takes any pair of delimiters but stops an expression at the first closing one,
//! accepts blocks without `end`, and recurses on `else if`. So expressions are located and their
//! structure is checked here, and their delimiters are replaced by a pair of control characters of
//! the same length: every byte offset stays what it was in the text.

use crate::Delimiters;
use crate::error::{Error, ErrorKind};

/// Longest text that is parsed, in bytes.
const MAX_INPUT: usize = 8 << 20;
/// Deepest nesting of blocks, `else if`s included.
const MAX_BLOCKS: usize = 64;
/// Deepest nesting of parentheses inside of one expression.
const MAX_PARENTHESES: usize = 24;

/// A text with at least one expression, ready for the parser.
pub(crate) struct Scanned {
    /// The text with unambiguous delimiters; same length as the original.
    pub(crate) source: String,
    /// Stands for the opening delimiter.
    pub(crate) left: String,
    /// Stands for the closing delimiter.
    pub(crate) right: String,
    /// What the user wrote for `left` and `right`.
    pub(crate) written: (&'static str, &'static str),
}

/// Line and column, both from 1, of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Locates all expressions; `None` when there are none.
pub(crate) fn scan(text: &str, delimiters: Delimiters) -> Result<Option<Scanned>, Error> {
    let written = match delimiters {
        Delimiters::Object => ("((", "))"),
        Delimiters::Pack => ("{{", "}}"),
    };
    if !text.contains(written.0) {
        return Ok(None);
    }
    if text.len() > MAX_INPUT {
        let message = format!("the text is larger than {MAX_INPUT} bytes");
        return Err(Error::new(1, 1, ErrorKind::Budget { message }));
    }
    let mut scanner =
        Scanner { text, left: written.0, right: written.1, blocks: Vec::new(), edits: Vec::new() };
    scanner.run(delimiters)?;
    if scanner.edits.is_empty() {
        return Ok(None);
    }
    let (left, right) = spare_pair(text).ok_or_else(|| {
        syntax(text, 0, "the text uses every control character that could stand for a delimiter")
    })?;
    let edits = std::mem::take(&mut scanner.edits);
    let mut output = text.as_bytes().to_vec();
    for edit in edits {
        match edit {
            Edit::Left(at) => output[at..at + 2].copy_from_slice(left.as_bytes()),
            Edit::Right(at) => output[at..at + 2].copy_from_slice(right.as_bytes()),
            Edit::Comment(start, end) => {
                output[start..end].fill(b' ');
                output[start..start + 2].copy_from_slice(b"\"\"");
            }
        }
    }
    let source = String::from_utf8(output)
        .map_err(|_| syntax(text, 0, "an expression is split inside of a character"))?;
    Ok(Some(Scanned { source, left, right, written }))
}

/// Two control characters, two bytes each, that the text does not use.
fn spare_pair(text: &str) -> Option<(String, String)> {
    let mut spare = ('\u{80}'..='\u{9f}')
        .filter(|candidate| *candidate != '\u{85}' && !text.contains(*candidate));
    Some((spare.next()?.to_string(), spare.next()?.to_string()))
}

fn syntax(text: &str, offset: usize, message: impl Into<String>) -> Error {
    let (line, column) = position(text, offset);
    Error::new(line, column, ErrorKind::Syntax { message: message.into() })
}

/// A change of the text that keeps its length.
enum Edit {
    Left(usize),
    Right(usize),
    /// A comment becomes an expression that prints nothing.
    Comment(usize, usize),
}

/// A block that waits for its `end`.
struct Block {
    keyword: &'static str,
    offset: usize,
    has_else: bool,
    /// How many `else if` and `else with` were seen: each is one more level for the parser.
    links: usize,
}

struct Scanner<'a> {
    text: &'a str,
    left: &'static str,
    right: &'static str,
    blocks: Vec<Block>,
    edits: Vec<Edit>,
}

impl Scanner<'_> {
    fn run(&mut self, delimiters: Delimiters) -> Result<(), Error> {
        let mut at = 0;
        while let Some(found) = self.text[at..].find(self.left) {
            let open = at + found;
            let after_dollar = open > at && self.text.as_bytes()[open - 1] == b'$';
            at = if delimiters == Delimiters::Object && after_dollar {
                balanced_end(self.text, open).unwrap_or(open + 2)
            } else {
                self.expression(open)?
            };
        }
        match self.blocks.last() {
            Some(block) => {
                Err(self.error(block.offset, format!("`{}` has no `end`", block.keyword)))
            }
            None => Ok(()),
        }
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> Error {
        syntax(self.text, offset, message)
    }

    /// Scans the expression whose delimiter is at `open`; returns the offset behind it.
    fn expression(&mut self, open: usize) -> Result<usize, Error> {
        let bytes = self.text.as_bytes();
        let mut start = open + 2;
        if bytes.get(start) == Some(&b'-')
            && bytes.get(start + 1).is_some_and(u8::is_ascii_whitespace)
        {
            start += 1;
        }
        while bytes.get(start).is_some_and(u8::is_ascii_whitespace) {
            start += 1;
        }
        self.edits.push(Edit::Left(open));
        if self.text[start..].starts_with("/*") {
            return self.comment(open, start);
        }
        let close = self.closing(open, start)?;
        self.edits.push(Edit::Right(close));
        self.structure(open, self.text[start..close].trim_end_matches('-'))?;
        Ok(close + 2)
    }

    fn comment(&mut self, open: usize, start: usize) -> Result<usize, Error> {
        let length =
            self.text[start..].find("*/").ok_or_else(|| self.error(open, "unclosed comment"))?;
        let end = start + length + 2;
        let bytes = self.text.as_bytes();
        let mut close = end;
        while bytes.get(close).is_some_and(u8::is_ascii_whitespace) {
            close += 1;
        }
        if close > end && bytes.get(close) == Some(&b'-') {
            close += 1;
        }
        if !self.text[close..].starts_with(self.right) {
            let message = format!("a comment ends with `*/{}`", self.right);
            return Err(self.error(end, message));
        }
        self.edits.push(Edit::Comment(start, end));
        self.edits.push(Edit::Right(close));
        Ok(close + 2)
    }

    /// Offset of the delimiter that closes the expression opened at `open`.
    fn closing(&self, open: usize, start: usize) -> Result<usize, Error> {
        let bytes = self.text.as_bytes();
        let mut depth = 0;
        let mut at = start;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' | b'\'' => at = self.quoted(at)?,
                b'`' => {
                    let length = self.text[at + 1..]
                        .find('`')
                        .ok_or_else(|| self.error(at, "unterminated raw string"))?;
                    at += length + 1;
                }
                b'(' => {
                    depth += 1;
                    if depth > MAX_PARENTHESES {
                        let message = format!("more than {MAX_PARENTHESES} nested parentheses");
                        return Err(self.error(at, message));
                    }
                }
                b')' if depth > 0 => depth -= 1,
                _ if self.text.as_bytes()[at..].starts_with(self.right.as_bytes()) => {
                    return if depth == 0 {
                        Ok(at)
                    } else {
                        Err(self.error(at, "unclosed parenthesis"))
                    };
                }
                b')' => return Err(self.error(at, "unexpected `)`")),
                _ => {}
            }
            at += 1;
        }
        Err(self.error(open, format!("`{}` is not closed by `{}`", self.left, self.right)))
    }

    /// Offset of the quote that ends the literal which starts at `at`.
    fn quoted(&self, at: usize) -> Result<usize, Error> {
        let bytes = self.text.as_bytes();
        let mut end = at + 1;
        loop {
            match bytes.get(end) {
                None | Some(b'\n') => return Err(self.error(at, "unterminated string")),
                Some(b'\\') => end += 2,
                Some(byte) if *byte == bytes[at] => return Ok(end),
                Some(_) => end += 1,
            }
        }
    }

    /// Tracks blocks: what opens, continues and ends them.
    fn structure(&mut self, offset: usize, expression: &str) -> Result<(), Error> {
        let mut words = expression.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let word_end = first
            .find(|character: char| !character.is_alphanumeric() && character != '_')
            .unwrap_or(first.len());
        match &first[..word_end] {
            "if" => self.open(offset, "if"),
            "range" => self.open(offset, "range"),
            "with" => self.open(offset, "with"),
            "define" => self.open(offset, "define"),
            "block" => self.open(offset, "block"),
            "else" => self.otherwise(offset, words.next()),
            "end" => match self.blocks.pop() {
                Some(_) => Ok(()),
                None => Err(self.error(offset, "`end` without a block that it ends")),
            },
            keyword @ ("break" | "continue") => {
                let mut inner = self.blocks.iter().rev();
                match inner.find(|block| matches!(block.keyword, "range" | "define" | "block")) {
                    Some(block) if block.keyword == "range" => Ok(()),
                    _ => Err(self.error(offset, format!("`{keyword}` outside of `range`"))),
                }
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, offset: usize, keyword: &'static str) -> Result<(), Error> {
        if keyword == "define" && !self.blocks.is_empty() {
            return Err(self.error(offset, "`define` inside of another block"));
        }
        self.blocks.push(Block { keyword, offset, has_else: false, links: 0 });
        self.depth(offset)
    }

    fn otherwise(&mut self, offset: usize, condition: Option<&str>) -> Result<(), Error> {
        let stray = self.error(offset, "`else` without an `if`, `with` or `range`");
        let Some(block) = self.blocks.last_mut() else { return Err(stray) };
        if block.has_else || !matches!(block.keyword, "if" | "range" | "with") {
            return Err(stray);
        }
        match condition {
            Some(_) => block.links += 1,
            None => block.has_else = true,
        }
        self.depth(offset)
    }

    fn depth(&self, offset: usize) -> Result<(), Error> {
        let depth: usize = self.blocks.iter().map(|block| 1 + block.links).sum();
        if depth > MAX_BLOCKS {
            return Err(self.error(offset, format!("more than {MAX_BLOCKS} nested blocks")));
        }
        Ok(())
    }
}

/// Offset behind the parenthesis that closes the two at `open`, if there is one.
fn balanced_end(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return Some(offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}
