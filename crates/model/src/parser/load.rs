//! From text to nodes: multi-document YAML with anchors, aliases and merge keys.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{
    node::{Content, Entry, Node, Position},
    report::Reporter,
};

/// Deepest nesting of a document, aliases included. Far above what any kind needs, and low enough
/// for recursion.
const MAX_DEPTH: usize = 64;
/// How much anchors and aliases may add, in bytes of memory, besides four times the text.
const ALIAS_BUDGET: usize = 4 << 20;

/// A document that says something.
pub(super) struct Loaded {
    /// Number within the text, counted from 1, empty documents included.
    pub(super) number: usize,
    /// Content.
    pub(super) node: Node,
}

/// Reads all documents. Mistakes of YAML itself end the reading, as nothing after them can be
/// trusted; they are reported.
pub(super) fn load(text: &str, report: &mut Reporter) -> Vec<Loaded> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut loader = Loader {
        report,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        budget: ALIAS_BUDGET + 4 * text.len(),
        root: None,
    };
    let mut documents = Vec::new();
    let mut number = 0;
    for step in Parser::new_from_str(text) {
        let step = match step {
            Ok((event, span)) => {
                if let Event::DocumentStart(..) = event {
                    number += 1;
                    loader.report.document = number;
                }
                let end = matches!(event, Event::DocumentEnd);
                let result = loader.event(event, &span);
                if end && let Some(node) = loader.root.take().filter(|n| !n.is_null()) {
                    documents.push(Loaded { number, node });
                }
                result
            }
            Err(error) => {
                let message = format!("not valid YAML: {}", error.info());
                Err(Stop { position: position(*error.marker()), message })
            }
        };
        if let Err(Stop { position, message }) = step {
            loader.report.document = number.max(1);
            loader.report.error(position, "", message, String::new());
            break;
        }
    }
    documents
}

/// Why reading ends early.
struct Stop {
    position: Position,
    message: String,
}

enum Frame {
    List { start: Position, items: Vec<Node>, anchor: usize },
    Map { start: Position, map: Mapping, anchor: usize },
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    seen: BTreeMap<String, Position>,
    key: Option<Key>,
    merged: Vec<Node>,
}

struct Key {
    text: String,
    position: Position,
    merge: bool,
}

struct Loader<'a> {
    report: &'a mut Reporter,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    budget: usize,
    root: Option<Node>,
}

impl Loader<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let start = position(span.start);
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.stack.clear();
                self.root = None;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain
                    && !tag.is_some_and(|tag| Tag::is_yaml_core_schema_tag(&tag, "str"));
                let content = Content::Scalar { text: text.into_owned(), plain };
                return self.complete(Node { position: start, content }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(start, Frame::List { start, items: Vec::new(), anchor })?;
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(start, Frame::Map { start, map: Mapping::default(), anchor })?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { start, items, anchor }) => {
                    let content = Content::List(items);
                    return self.complete(Node { position: start, content }, anchor);
                }
                Some(Frame::Map { start, map, anchor }) => {
                    let content = Content::Map(self.merge(map));
                    return self.complete(Node { position: start, content }, anchor);
                }
                None => {}
            },
            Event::Alias(id) => {
                let node = self.alias(id, start)?;
                return self.complete(node, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, start: Position, frame: Frame) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(start));
        }
        // A mapping or list where a key is expected.
        if let Some(Frame::Map { map: Mapping { key: None, .. }, .. }) = self.stack.last() {
            return Err(Stop {
                position: start,
                message: "a key of a mapping must be a text".to_owned(),
            });
        }
        self.stack.push(frame);
        Ok(())
    }

    fn alias(&mut self, id: usize, start: Position) -> Result<Node, Stop> {
        let stop = |message: &str| Stop { position: start, message: message.to_owned() };
        let node = self.anchors.get(&id).ok_or_else(|| stop("an alias contains itself"))?;
        if self.stack.len() + node.height() > MAX_DEPTH {
            return Err(too_deep(start));
        }
        let node = Node { position: start, ..node.clone() };
        self.spend(&node)?;
        Ok(node)
    }

    fn spend(&mut self, node: &Node) -> Result<(), Stop> {
        self.budget = self.budget.checked_sub(node.weight()).ok_or_else(|| Stop {
            position: node.position,
            message: "anchors and aliases expand to too much".to_owned(),
        })?;
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.spend(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { map, .. }) => match map.key.take() {
                None => map.key = Some(Key::new(node)?),
                Some(key) if key.merge => match node.content {
                    Content::List(items) => map.merged.extend(items),
                    _ => map.merged.push(node),
                },
                Some(key) => match map.seen.get(&key.text) {
                    Some(first) => {
                        let message = format!(
                            "key `{}` occurs twice in one mapping, first on line {}",
                            key.text, first.line
                        );
                        self.report.error(key.position, "", message, String::new());
                    }
                    None => {
                        map.seen.insert(key.text.clone(), key.position);
                        let Key { text, position, .. } = key;
                        map.entries.push(Entry { key: text, position, value: node });
                    }
                },
            },
        }
        Ok(())
    }

    /// Adds the entries of merge keys that the mapping does not have itself.
    fn merge(&mut self, map: Mapping) -> Vec<Entry> {
        let mut entries = map.entries;
        let mut seen: BTreeSet<String> = map.seen.into_keys().collect();
        for node in map.merged {
            let Content::Map(more) = node.content else {
                let message = "a merge key needs a mapping or a list of mappings".to_owned();
                self.report.error(node.position, "<<", message, String::new());
                continue;
            };
            entries.extend(more.into_iter().filter(|e| seen.insert(e.key.clone())));
        }
        entries
    }
}

impl Key {
    fn new(node: Node) -> Result<Self, Stop> {
        let position = node.position;
        match node.content {
            Content::Scalar { text, plain } => {
                Ok(Self { merge: plain && text == "<<", text, position })
            }
            _ => {
                let message = "a key of a mapping must be a text".to_owned();
                Err(Stop { position, message })
            }
        }
    }
}

fn too_deep(position: Position) -> Stop {
    Stop { position, message: format!("nested deeper than {MAX_DEPTH} levels") }
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}
