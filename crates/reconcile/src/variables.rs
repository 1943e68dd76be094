//! Template variables of a replica and the lookup of other objects.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use smr_model::{Definition, Kind, ObjectKey, Reason, Spec};
use smr_template::{Context, Delimiters, Lookup, LookupError, ObjectKind, Reference};

use crate::render::Objects;

/// How deep a looked-up value may be a template that looks up another one.
const MAX_DEPTH: usize = 4;

/// Renders texts of one replica and remembers which objects they needed.
pub(crate) struct Scope<'a> {
    objects: &'a dyn Objects,
    now: Timestamp,
    pub(crate) variables: BTreeMap<String, String>,
    used: RefCell<BTreeSet<ObjectKey>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(
        objects: &'a dyn Objects,
        now: Timestamp,
        variables: BTreeMap<String, String>,
    ) -> Self {
        Self { objects, now, variables, used: RefCell::default() }
    }

    /// The objects needed so far, whether they exist or not.
    pub(crate) fn into_used(self) -> BTreeSet<ObjectKey> {
        self.used.into_inner()
    }

    pub(crate) fn object(&self, key: ObjectKey) -> Option<&'a Definition> {
        let found = self.objects.get(&key);
        self.used.borrow_mut().insert(key);
        found
    }

    /// Renders `text`, which stands in `field`.
    pub(crate) fn text(&self, field: &str, text: &str) -> Result<String, Reason> {
        self.text_with(field, text, &self.variables)
    }

    fn text_with(
        &self,
        field: &str,
        text: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<String, Reason> {
        self.render(text, variables, 0).map_err(|err| reason(field, &err))
    }

    fn render(
        &self,
        text: &str,
        variables: &BTreeMap<String, String>,
        depth: usize,
    ) -> Result<String, smr_template::Error> {
        let lookup = At { scope: self, variables, depth };
        let context = Context { variables: variables.into(), lookup: Some(&lookup), now: self.now };
        smr_template::render(text, Delimiters::Object, &context).map(|rendered| rendered.text)
    }

    /// Renders `texts` into variables. They may use one another: each is rendered when everything
    /// it uses is known, so their order does not matter.
    pub(crate) fn define(
        &mut self,
        field: &str,
        texts: &BTreeMap<String, String>,
    ) -> Result<(), Reason> {
        let mut open: BTreeMap<&String, &String> = texts.iter().collect();
        while !open.is_empty() {
            let mut known = self.variables.clone();
            known.retain(|name, _| !open.contains_key(name));
            let mut progress = Vec::new();
            let mut failure = None;
            for (name, text) in &open {
                // In its own text a name means what it meant before.
                let mut visible = Cow::Borrowed(&known);
                if let Some(before) = self.variables.get(*name) {
                    visible.to_mut().insert((*name).clone(), before.clone());
                }
                match self.text_with(&format!("{field}.{name}"), text, &visible) {
                    Ok(value) => progress.push(((*name).clone(), value)),
                    Err(err) => failure = failure.or(Some(err)),
                }
            }
            if progress.is_empty() {
                return Err(failure.expect("an open variable either renders or fails"));
            }
            for (name, value) in progress {
                open.remove(&name);
                self.variables.insert(name, value);
            }
        }
        Ok(())
    }
}

/// A lookup made at some depth of nesting.
struct At<'a, 'b> {
    scope: &'b Scope<'a>,
    variables: &'b BTreeMap<String, String>,
    depth: usize,
}

impl Lookup for At<'_, '_> {
    fn lookup(&self, reference: &Reference) -> Result<String, LookupError> {
        let Reference::Object { prefix, kind, group, name, key } = reference else {
            return Err(LookupError::MissingKey { reference: reference.clone() });
        };
        let kind = match kind {
            ObjectKind::Secret => Kind::Secret,
            ObjectKind::Configuration => Kind::Configuration,
        };
        let object =
            ObjectKey { prefix: prefix.clone(), kind, group: group.clone(), name: name.clone() };
        let Some(definition) = self.scope.object(object) else {
            return Err(LookupError::MissingObject { reference: reference.clone() });
        };
        let missing = || LookupError::MissingKey { reference: reference.clone() };
        match &definition.spec {
            Spec::Secret(spec) => spec.data.get(key).cloned().ok_or_else(missing),
            Spec::Configuration(spec) => {
                let text = spec.data.get(key).ok_or_else(missing)?;
                if self.depth >= MAX_DEPTH {
                    return Err(LookupError::TooDeep { reference: reference.clone() });
                }
                self.scope.render(text, self.variables, self.depth + 1).map_err(|source| {
                    LookupError::Inner { reference: reference.clone(), source: Box::new(source) }
                })
            }
            _ => Err(missing()),
        }
    }
}

/// The reason a replica is pending when rendering `field` failed.
fn reason(field: &str, err: &smr_template::Error) -> Reason {
    let code = if err.missing_object().is_some() { "MissingObject" } else { "TemplateFailed" };
    let mut message = format!("{field}: {err}");
    let mut cause = std::error::Error::source(err);
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = inner.source();
    }
    Reason::new(code, message)
}
