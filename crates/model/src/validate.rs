//! What a definition must satisfy beyond its types. One function for every way in: files, API
//! requests, Git.

mod containers;
mod image;
mod mounts;
mod names;
mod other;
mod placement;
mod probes;
mod process;

use crate::{
    definition::{Definition, Spec},
    issue::{Problem, Severity},
};

/// Everything that is wrong with a definition, errors and warnings, in the order of its fields.
/// A definition may be stored if no problem is an [error](Severity::Error).
pub fn validate(definition: &Definition) -> Vec<Problem> {
    let mut problems = Problems::default();
    names::identity(definition, &mut problems);
    match &definition.spec {
        Spec::Containers(spec, init) => {
            containers::spec(&definition.meta, spec, "spec", &mut problems);
            if let Some(init) = init {
                containers::init(&definition.meta, init, &mut problems);
            }
        }
        Spec::Configuration(spec) | Spec::Resource(spec) | Spec::Secret(spec) => {
            other::data(spec, &mut problems);
        }
        Spec::Network(spec) => other::network(spec, &mut problems),
        Spec::Volume(_) | Spec::Custom(_) => {}
        Spec::Gitops(spec) => other::gitops(spec, &mut problems),
        Spec::Certkey(spec) => other::certkey(spec, &mut problems),
        Spec::Httpauth(spec) => other::httpauth(spec, &mut problems),
    }
    problems.0
}

/// Collects problems.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>, hint: &str) {
        self.add(Severity::Error, path.into(), message.into(), hint);
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>, hint: &str) {
        self.add(Severity::Warning, path.into(), message.into(), hint);
    }

    fn add(&mut self, severity: Severity, path: String, message: String, hint: &str) {
        self.0.push(Problem { severity, path, message, hint: hint.to_owned() });
    }
}

/// Whether the text is filled in later, so that its form cannot be judged yet.
fn is_template(text: &str) -> bool {
    text.contains("((") && text.contains("))")
}
