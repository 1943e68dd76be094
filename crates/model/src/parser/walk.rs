//! From nodes to canonical data: each value is held against the shape of its field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    node::{Content, Entry, Node, Position, boolean, unsigned},
    report::Reporter,
};
use crate::{
    quantity::{Bytes, Cpus, GoDuration},
    shape::{Choice, Field, ObjectShape, Shape, same_word},
    spelling,
    suggest::nearest,
};

/// Longest bad value shown in a message, in characters.
const SHOWN: usize = 40;

/// Holds nodes against shapes, reports what does not fit and notes where each field is.
pub(super) struct Walk<'a> {
    pub(super) report: &'a mut Reporter,
    /// Canonical path to position, for messages about fields that parsed.
    pub(super) positions: BTreeMap<String, Position>,
    /// Whether values must not be shown.
    pub(super) confidential: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(report: &'a mut Reporter) -> Self {
        Self { report, positions: BTreeMap::new(), confidential: false }
    }

    /// The canonical form of a value; `None` when it does not fit, which has been reported.
    pub(super) fn value(&mut self, node: &Node, shape: &Shape, path: &str) -> Option<Value> {
        self.positions.insert(path.to_owned(), node.position);
        match shape {
            Shape::Text => self.text(node, path).map(Value::String),
            Shape::Duration => self.quantity(node, path, "a duration", |text| {
                text.parse::<GoDuration>().map_err(|e| e.to_string())
            }),
            Shape::Size => self.quantity(node, path, "a size", |text| {
                text.parse::<Bytes>().map_err(|e| e.to_string())
            }),
            Shape::Processors => self.quantity(node, path, "a number of processors", |text| {
                text.parse::<Cpus>().map_err(|e| e.to_string())
            }),
            Shape::Integer { min, max } => self.integer(node, path, *min, *max),
            Shape::Number => self.number(node, path),
            Shape::Boolean => self.boolean(node, path),
            Shape::Choice(choices) => self.choice(node, path, choices),
            Shape::List(inner) => self.list(node, path, inner),
            Shape::Map(inner) => self.map(node, path, inner),
            Shape::Object(object) => self.object(node, path, object).map(Value::Object),
            Shape::Any => Some(node.to_json()),
        }
    }

    /// The canonical form of a mapping with known fields. Fields that do not fit are reported
    /// and left out.
    pub(super) fn object(
        &mut self,
        node: &Node,
        path: &str,
        object: &ObjectShape,
    ) -> Option<Map<String, Value>> {
        let Content::Map(entries) = &node.content else {
            self.wrong(node, path, "a mapping", &fields(object));
            return None;
        };
        let mut out = Map::new();
        let mut used: Vec<(&str, &str)> = Vec::new();
        for entry in entries {
            let Some(field) = object.field(&entry.key) else {
                self.unknown(entry, path, object);
                continue;
            };
            let inner = field_path(path, &field.name);
            if let Some((_, first)) = used.iter().find(|(name, _)| *name == field.name) {
                let message = format!("`{first}` and `{}` are the same field", entry.key);
                self.report.error(entry.position, &inner, message, String::new());
                continue;
            }
            used.push((&field.name, &entry.key));
            if entry.value.is_null() {
                continue;
            }
            if let Some(value) = self.value(&entry.value, &field.shape, &inner) {
                self.warn_unused(entry, &inner, object, field, &value);
                out.insert(field.name.clone(), value);
            }
        }
        for field in object.fields.iter().filter(|f| f.required) {
            let given = out.contains_key(&field.name);
            if !given && !self.report.failed_at(&field_path(path, &field.name)) {
                let message = "is missing".to_owned();
                self.report.error(
                    node.position,
                    &field_path(path, &field.name),
                    message,
                    field.description.trim_end_matches('.').to_owned(),
                );
            }
        }
        Some(out)
    }

    fn unknown(&mut self, entry: &Entry, path: &str, object: &ObjectShape) {
        if spelling::is_silently_ignored(&object.title, &entry.key) {
            return;
        }
        let names = || object.fields.iter().map(|f| f.name.as_str());
        let meant =
            spelling::meant(&object.title, &entry.key).or_else(|| nearest(&entry.key, names()));
        let hint = match meant {
            Some(name) => format!("did you mean `{name}`?"),
            None => fields(object),
        };
        let path = field_path(path, &entry.key);
        let message = "unknown field, ignored".to_owned();
        self.report.warning(entry.position, &path, message, hint);
    }

    fn warn_unused(
        &mut self,
        entry: &Entry,
        path: &str,
        object: &ObjectShape,
        field: &Field,
        value: &Value,
    ) {
        if spelling::is_unused(&object.title, &field.name, value) {
            let message = "is accepted but has no effect".to_owned();
            self.report.warning(entry.position, path, message, String::new());
        }
    }

    fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        match &node.content {
            Content::Scalar { text, .. } => Some(text.clone()),
            _ => {
                self.wrong(node, path, "a text", "");
                None
            }
        }
    }

    fn quantity<T: ToString>(
        &mut self,
        node: &Node,
        path: &str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Value> {
        let Content::Scalar { text, .. } = &node.content else {
            self.wrong(node, path, what, "");
            return None;
        };
        match parse(text) {
            Ok(value) => Some(Value::String(value.to_string())),
            Err(message) => {
                self.report.error(node.position, path, message, String::new());
                None
            }
        }
    }

    fn integer(&mut self, node: &Node, path: &str, min: u64, max: u64) -> Option<Value> {
        let limits = match max {
            u64::MAX => format!("a whole number from {min}"),
            max => format!("a whole number from {min} to {max}"),
        };
        let hint = match &node.content {
            Content::Scalar { text, plain } => match unsigned(text) {
                Some(number) if *plain && (min..=max).contains(&number) => {
                    return Some(Value::Number(number.into()));
                }
                Some(_) if !plain => "remove the quotes",
                _ => "",
            },
            _ => "",
        };
        self.wrong(node, path, &limits, hint);
        None
    }

    fn number(&mut self, node: &Node, path: &str) -> Option<Value> {
        let mut hint = "";
        if let Content::Scalar { text, plain } = &node.content {
            let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            match number {
                Some(number) if *plain => return Some(Value::Number(number)),
                Some(_) => hint = "remove the quotes",
                None => {}
            }
        }
        self.wrong(node, path, "a number", hint);
        None
    }

    fn boolean(&mut self, node: &Node, path: &str) -> Option<Value> {
        let mut hint = "";
        if let Content::Scalar { text, plain } = &node.content {
            let value = boolean(text).or(match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => Some(true),
                "no" | "off" => Some(false),
                _ => None,
            });
            match value {
                Some(value) if *plain => return Some(Value::Bool(value)),
                Some(_) => hint = "remove the quotes",
                None => {}
            }
        }
        self.wrong(node, path, "`true` or `false`", hint);
        None
    }

    fn choice(&mut self, node: &Node, path: &str, choices: &[Choice]) -> Option<Value> {
        let words = || choices.iter().map(|c| c.word.as_str());
        let allowed = format!("allowed: {}", words().collect::<Vec<_>>().join(", "));
        let Content::Scalar { text, .. } = &node.content else {
            self.wrong(node, path, "a word", &allowed);
            return None;
        };
        let word = words()
            .find(|w| same_word(w, text))
            .or_else(|| words().find(|w| spelling::choice(w).iter().any(|a| same_word(a, text))));
        if let Some(word) = word {
            return Some(Value::String(word.to_owned()));
        }
        self.wrong(node, path, "one of the allowed words", &allowed);
        None
    }

    fn list(&mut self, node: &Node, path: &str, inner: &Shape) -> Option<Value> {
        let Content::List(items) = &node.content else {
            let hint = match (&node.content, inner) {
                (Content::Scalar { .. }, Shape::Text) => {
                    "write each item on its own line after `- `"
                }
                (Content::Map(_), Shape::Text) => "write each item as `- KEY=VALUE`",
                _ => "write each item after `- `",
            };
            self.wrong(node, path, "a list", hint);
            return None;
        };
        let mut out = Vec::with_capacity(items.len());
        let mut complete = true;
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if item.is_null() {
                self.wrong(item, &path, expected(inner), "");
                complete = false;
                continue;
            }
            match self.value(item, inner, &path) {
                Some(value) => out.push(value),
                None => complete = false,
            }
        }
        complete.then_some(Value::Array(out))
    }

    fn map(&mut self, node: &Node, path: &str, inner: &Shape) -> Option<Value> {
        let Content::Map(entries) = &node.content else {
            self.wrong(node, path, "a mapping", "");
            return None;
        };
        let mut out = Map::new();
        for entry in entries {
            let path = field_path(path, &entry.key);
            let value = if entry.value.is_null() && matches!(inner, Shape::Text) {
                self.positions.insert(path, entry.value.position);
                Some(Value::String(String::new()))
            } else {
                self.value(&entry.value, inner, &path)
            };
            if let Some(value) = value {
                out.insert(entry.key.clone(), value);
            }
        }
        Some(Value::Object(out))
    }

    /// Reports a value of the wrong type.
    pub(super) fn wrong(&mut self, node: &Node, path: &str, expected: &str, hint: &str) {
        let found = self.found(node);
        let message = format!("expected {expected}, found {found}");
        self.report.error(node.position, path, message, hint.to_owned());
    }

    fn found(&self, node: &Node) -> String {
        match &node.content {
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a mapping".to_owned(),
            Content::Scalar { .. } if node.is_null() => "nothing".to_owned(),
            Content::Scalar { .. } if self.confidential => "another value (not shown)".to_owned(),
            Content::Scalar { text, plain } if *plain => format!("`{}`", shown(text)),
            Content::Scalar { text, .. } => format!("the text `{}`", shown(text)),
        }
    }
}

/// Which fields there are, unless they are too many for one line.
fn fields(object: &ObjectShape) -> String {
    if object.title == "ContainersSpec" {
        return "see `smrctl explain containers`".to_owned();
    }
    let names: Vec<&str> = object.fields.iter().map(|f| f.name.as_str()).collect();
    format!("fields: {}", names.join(", "))
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text => "a text",
        Shape::Duration => "a duration",
        Shape::Size => "a size",
        Shape::Processors => "a number of processors",
        Shape::Integer { .. } => "a whole number",
        Shape::Number => "a number",
        Shape::Boolean => "`true` or `false`",
        Shape::Choice(_) => "a word",
        Shape::List(_) => "a list",
        Shape::Map(_) | Shape::Object(_) => "a mapping",
        Shape::Any => "a value",
    }
}

/// A value as messages show it: one line, not too long.
pub(super) fn shown(text: &str) -> String {
    let line: String = text.chars().take(SHOWN).flat_map(escaped).collect();
    if text.chars().nth(SHOWN).is_some() { format!("{line}...") } else { line }
}

fn escaped(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// Appends a field to a path: `spec.data.port`, or `spec.data["server.conf"]` where the name has
/// other characters than letters, digits, `_` and `-`.
pub fn field_path(path: &str, field: &str) -> String {
    let simple = !field.is_empty()
        && field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path.is_empty(), simple) {
        (true, true) => field.to_owned(),
        (false, true) => format!("{path}.{field}"),
        (_, false) => format!("{path}[\"{}\"]", shown(field)),
    }
}
