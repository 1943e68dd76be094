//! The template language as its callers see it.

mod functions;
mod hostile;
mod language;
mod lookup;
mod properties;

use std::collections::BTreeMap;

use smr_template::{Context, Delimiters, Error, Lookup, LookupError, Reference, Rendered};

/// 2026-11-20 09:31:10.5 UTC, a Friday.
const NOW: i64 = 1_795_167_070;

/// Objects by `kind/group/name`, each with its keys.
#[derive(Default)]
struct Objects(BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>);

impl Objects {
    fn with(mut self, object: &'static str, key: &'static str, value: &'static str) -> Self {
        self.0.entry(object).or_default().insert(key, value);
        self
    }
}

impl Lookup for Objects {
    fn lookup(&self, reference: &Reference) -> Result<String, LookupError> {
        let text = reference.to_string();
        let path = text.split(':').next().unwrap_or_default();
        let reference = || reference.clone();
        let object = self
            .0
            .get(path)
            .ok_or_else(|| LookupError::MissingObject { reference: reference() })?;
        let value = object
            .get(reference().key())
            .ok_or_else(|| LookupError::MissingKey { reference: reference() })?;
        if !path.starts_with("configuration") {
            return Ok((*value).to_owned());
        }
        object_text(value, &BTreeMap::new(), None)
            .map(|rendered| rendered.text)
            .map_err(|error| LookupError::Inner { reference: reference(), source: Box::new(error) })
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::new(NOW, 500_000_000).expect("within range")
}

fn object_text(
    text: &str,
    variables: &BTreeMap<String, String>,
    lookup: Option<&dyn Lookup>,
) -> Result<Rendered, Error> {
    let context = Context { variables: variables.into(), lookup, now: now() };
    smr_template::render(text, Delimiters::Object, &context)
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Renders with a few variables and no objects.
fn render(text: &str) -> Result<String, Error> {
    let variables = variables(&[("name", "mysql-mysql-1"), ("empty", ""), ("index", "1")]);
    object_text(text, &variables, Some(&Objects::default())).map(|rendered| rendered.text)
}
