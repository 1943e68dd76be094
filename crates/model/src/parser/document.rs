//! The envelope of a document: kind, prefix, meta, spec.

use serde_json::{Map, Value};

use super::{
    Document,
    node::{Content, Entry, Node, Position},
    report::Reporter,
    walk::{Walk, field_path, shown},
};
use crate::{
    definition::{Definition, Owner},
    kind::{Kind, UnknownKind},
    shape::{self, Shape, same_word},
    spelling,
    suggest::nearest,
    validate::validate,
};

const FIELDS: [&str; 6] = ["kind", "prefix", "meta", "spec", "initContainer", "state"];

/// Reads one document; `None` when it has errors, which have been reported.
pub(super) fn read(node: &Node, number: usize, report: &mut Reporter) -> Option<Document> {
    let mut walk = Walk::new(report);
    let Content::Map(entries) = &node.content else {
        walk.wrong(node, "", "a mapping with `kind`, `meta` and `spec`", "");
        return None;
    };
    let envelope = Envelope::new(entries, &mut walk);
    let kind = envelope.kind(node, &mut walk);
    // Nothing is known of a document without a kind, so nothing of it is shown.
    walk.confidential = kind.is_none_or(Kind::is_confidential);
    let owner = envelope.owner();
    let mut canonical = Map::new();
    if let Some(kind) = kind {
        canonical.insert("kind".to_owned(), Value::String(kind.as_str().to_owned()));
    }
    if let Some(prefix) = envelope.prefix(&mut walk) {
        canonical.insert("prefix".to_owned(), Value::String(prefix));
    }
    if let Some(meta) = envelope.meta(node, &mut walk) {
        canonical.insert("meta".to_owned(), Value::Object(meta));
    }
    let kind = kind?;
    if let Some(spec) = envelope.spec(kind, node, &mut walk) {
        canonical.insert("spec".to_owned(), spec);
    }
    if let Some(init) = envelope.init_container(kind, &mut walk) {
        canonical.insert("initContainer".to_owned(), init);
    }
    let positions = walk.positions;
    let typed: Result<Definition, _> = serde_path_to_error::deserialize(Value::Object(canonical));
    let definition = match typed {
        Ok(definition) => definition,
        Err(error) => {
            // The fields at fault have been reported; anything else is a gap between the shapes
            // and the types. The message of a confidential kind may carry a value.
            if !report.failed() {
                let path = error.path().to_string();
                let message = if kind.is_confidential() {
                    "cannot be read".to_owned()
                } else {
                    error.into_inner().to_string()
                };
                report.error(node.position, &path, message, String::new());
            }
            return None;
        }
    };
    for problem in validate(&definition) {
        if report.failed_at(&problem.path) {
            continue;
        }
        let at =
            nearest_position(&problem.path, |p| positions.get(p).copied()).unwrap_or(node.position);
        report.add(problem.severity, at, &problem.path, problem.message, problem.hint);
    }
    let line = node.position.line;
    (!report.failed()).then_some(Document { number, line, definition, owner, positions })
}

/// The position of the field or of the innermost one around it.
pub(super) fn nearest_position(
    path: &str,
    get: impl Fn(&str) -> Option<Position>,
) -> Option<Position> {
    let mut path = path;
    loop {
        if let Some(position) = get(path) {
            return Some(position);
        }
        path = &path[..path.rfind(['.', '['])?];
    }
}

/// The entries of a document, under their canonical names.
struct Envelope<'a> {
    entries: Vec<(&'static str, &'a Entry)>,
}

impl<'a> Envelope<'a> {
    fn new(entries: &'a [Entry], walk: &mut Walk<'_>) -> Self {
        let mut known: Vec<(&'static str, &Entry)> = Vec::new();
        for entry in entries {
            let Some(name) = FIELDS.into_iter().find(|f| same_word(f, &entry.key)) else {
                let hint = match nearest(&entry.key, FIELDS) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("fields: {}", FIELDS.join(", ")),
                };
                let message = "unknown field, ignored".to_owned();
                walk.report.warning(entry.position, &field_path("", &entry.key), message, hint);
                continue;
            };
            if let Some((_, first)) = known.iter().find(|(n, _)| *n == name) {
                let message = format!("`{}` and `{}` are the same field", first.key, entry.key);
                walk.report.error(entry.position, name, message, String::new());
                continue;
            }
            known.push((name, entry));
        }
        Self { entries: known }
    }

    /// The value of a field, unless absent or null.
    fn get(&self, name: &str) -> Option<&'a Node> {
        let (_, entry) = self.entries.iter().find(|(n, _)| *n == name)?;
        (!entry.value.is_null()).then_some(&entry.value)
    }

    fn kind(&self, node: &Node, walk: &mut Walk<'_>) -> Option<Kind> {
        let allowed = || {
            let names: Vec<&str> = Kind::ALL.iter().map(|k| k.as_str()).collect();
            format!("allowed: {}", names.join(", "))
        };
        let Some(value) = self.get("kind") else {
            walk.report.error(node.position, "kind", "is missing".to_owned(), allowed());
            return None;
        };
        let Content::Scalar { text, .. } = &value.content else {
            walk.wrong(value, "kind", "a word", &allowed());
            return None;
        };
        match text.trim().parse::<Kind>() {
            Ok(kind) => Some(kind),
            Err(UnknownKind { suggestion, .. }) => {
                let hint = match suggestion {
                    Some(kind) => format!("did you mean `{kind}`?"),
                    None => allowed(),
                };
                let message = format!("unknown kind `{}`", shown(text));
                walk.report.error(value.position, "kind", message, hint);
                None
            }
        }
    }

    fn prefix(&self, walk: &mut Walk<'_>) -> Option<String> {
        let value = match self.get("prefix") {
            None => return Some(spelling::prefix("")),
            Some(node) => walk.value(node, &Shape::Text, "prefix")?,
        };
        Some(spelling::prefix(value.as_str().unwrap_or_default()))
    }

    fn meta(&self, node: &Node, walk: &mut Walk<'_>) -> Option<Map<String, Value>> {
        let Some(meta) = self.get("meta") else {
            let hint = "write `meta: {group: GROUP, name: NAME}`".to_owned();
            walk.report.error(node.position, "meta", "is missing".to_owned(), hint);
            return None;
        };
        walk.positions.insert("meta".to_owned(), meta.position);
        // Group and name are no secrets, and messages without them help nobody.
        let confidential = std::mem::replace(&mut walk.confidential, false);
        let meta = walk.object(meta, "meta", shape::meta());
        walk.confidential = confidential;
        meta
    }

    fn spec(&self, kind: Kind, node: &Node, walk: &mut Walk<'_>) -> Option<Value> {
        match self.get("spec") {
            Some(spec) => {
                let mut value = walk.value(spec, shape::spec(kind), "spec")?;
                if kind != Kind::Custom {
                    canonical_prefixes(&mut value);
                }
                Some(value)
            }
            None => {
                if !matches!(kind, Kind::Network | Kind::Volume) {
                    let hint = format!("see `smrctl explain {kind}`");
                    walk.report.error(node.position, "spec", "is missing".to_owned(), hint);
                }
                None
            }
        }
    }

    fn init_container(&self, kind: Kind, walk: &mut Walk<'_>) -> Option<Value> {
        let init = self.get("initContainer")?;
        if kind != Kind::Containers {
            let message = "unknown field, ignored".to_owned();
            let hint = "only `containers` have an init container".to_owned();
            walk.report.warning(init.position, "initContainer", message, hint);
            return None;
        }
        walk.value(init, shape::spec(kind), "initContainer")
    }

    /// The owner, in the spelling of this product (`meta.owner`) or upstream's
    /// (`meta.runtime.owner`).
    fn owner(&self) -> Option<Owner> {
        let meta = self.get("meta")?;
        let owner = field(meta, "owner").or_else(|| field(field(meta, "runtime")?, "owner"))?;
        let text = |name: &str| match &field(owner, name)?.content {
            Content::Scalar { text, .. } if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        Some(Owner {
            kind: text("kind")?.parse().ok()?,
            group: text("group")?,
            name: text("name")?,
        })
    }
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.content {
        Content::Map(entries) => entries.iter().find(|e| same_word(&e.key, name)).map(|e| &e.value),
        _ => None,
    }
}

/// References carry prefixes as well (`dependencies`, `certKeyRef`, `httpAuthRef`).
fn canonical_prefixes(spec: &mut Value) {
    let mut fix = |reference: &mut Value| {
        if let Some(Value::String(prefix)) = reference.get_mut("prefix")
            && !prefix.is_empty()
        {
            *prefix = spelling::prefix(prefix);
        }
    };
    for name in ["certKeyRef", "httpAuthRef"] {
        spec.get_mut(name).into_iter().for_each(&mut fix);
    }
    if let Some(Value::Array(dependencies)) = spec.get_mut("dependencies") {
        dependencies.iter_mut().for_each(&mut fix);
    }
}
