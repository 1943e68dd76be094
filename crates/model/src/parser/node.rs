//! What a document says before anything is known of its meaning: texts, lists and mappings, each
//! with its position.

use serde_json::{Map, Number, Value};

/// Line and column, both counted from 1; 0 when unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Line.
    pub(crate) line: usize,
    /// Column.
    pub(crate) column: usize,
}

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) position: Position,
    /// What it is.
    pub(crate) content: Content,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A scalar with its text as written. Plain ones may mean a number, a boolean or nothing.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text, keys unique.
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Key as written.
    pub(crate) key: String,
    /// Where the key begins.
    pub(crate) position: Position,
    /// Value.
    pub(crate) value: Node,
}

impl Node {
    /// Whether nothing was given: an empty value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// Depth of nesting, 1 for a scalar.
    pub(crate) fn height(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } => 1,
            Content::List(items) => 1 + items.iter().map(Node::height).max().unwrap_or(0),
            Content::Map(entries) => {
                1 + entries.iter().map(|e| e.value.height()).max().unwrap_or(0)
            }
        }
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        32 + match &self.content {
            Content::Scalar { text, .. } => text.len(),
            Content::List(items) => items.iter().map(Node::weight).sum(),
            Content::Map(entries) => entries.iter().map(|e| e.key.len() + e.value.weight()).sum(),
        }
    }

    /// A node without positions.
    pub(crate) fn from_json(value: &Value) -> Self {
        let scalar = |text: String, plain| Content::Scalar { text, plain };
        let content = match value {
            Value::Null => scalar("null".to_owned(), true),
            Value::Bool(value) => scalar(value.to_string(), true),
            Value::Number(number) => scalar(number.to_string(), true),
            Value::String(text) => scalar(text.clone(), false),
            Value::Array(items) => Content::List(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        position: Position::default(),
                        value: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self { position: Position::default(), content }
    }

    /// The value as untyped data: numbers and booleans as YAML 1.2 has them, besides octal
    /// numbers with a leading zero; `yes`, `no`, `on` and `off` stay texts.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar { .. } if self.is_null() => Value::Null,
            Content::Scalar { text, plain: false } => Value::String(text.clone()),
            Content::Scalar { text, plain: true } => plain(text),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }
}

fn plain(text: &str) -> Value {
    if let Some(value) = boolean(text) {
        return Value::Bool(value);
    }
    if let Some(number) = unsigned(text) {
        return Value::Number(number.into());
    }
    let negative = text.strip_prefix('-').and_then(unsigned);
    if let Some(Ok(number)) = negative.map(|number| i64::try_from(-i128::from(number))) {
        return Value::Number(number.into());
    }
    let digits = text.trim_start_matches(['-', '+']);
    let looks_like_float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && text.contains(['.', 'e', 'E']);
    if looks_like_float && let Some(number) = text.parse().ok().and_then(Number::from_f64) {
        return Value::Number(number);
    }
    Value::String(text.to_owned())
}

/// `true` or `false` in the spellings of YAML 1.2.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number: decimal, `0x1f`, `0o644`, and `0644` as octal (YAML 1.1, which upstream's
/// files are written for).
pub(crate) fn unsigned(text: &str) -> Option<u64> {
    let (digits, radix) = if let Some(rest) = text.strip_prefix("0x") {
        (rest, 16)
    } else if let Some(rest) = text.strip_prefix("0o") {
        (rest, 8)
    } else if text.len() > 1 && text.starts_with('0') {
        (&text[1..], 8)
    } else {
        (text, 10)
    };
    // `from_str_radix` takes a sign, which belongs in front of the prefix.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}
