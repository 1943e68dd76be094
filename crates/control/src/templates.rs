//! Templates are checked when an object is applied, not when a replica is rendered: a mistake is
//! told to whoever made it.

use smr_model::{Definition, Kind, Spec, field_path, spec::ContainersSpec};
use smr_template::{Delimiters, check};

/// A template that can never be rendered.
pub(crate) struct Mistake {
    /// Path of the field.
    pub(crate) path: String,
    /// What is wrong, where in the text.
    pub(crate) message: String,
    /// A `resource` may be placed without rendering (`raw: true`), which its object does not know.
    pub(crate) is_error: bool,
}

/// Every template of the definition that cannot be rendered, whatever else exists.
pub(crate) fn mistakes(definition: &Definition) -> Vec<Mistake> {
    let mut found = Found::default();
    match &definition.spec {
        Spec::Containers(spec, init) => {
            for (name, text) in &definition.meta.labels {
                found.check(&field_path("meta.labels", name), text);
            }
            containers(&mut found, "spec", spec);
            if let Some(init) = init {
                containers(&mut found, "initContainer", init);
            }
        }
        Spec::Configuration(spec) | Spec::Resource(spec) => {
            found.only_warn = definition.kind() == Kind::Resource;
            for (name, text) in &spec.data {
                found.check(&field_path("spec.data", name), text);
            }
        }
        // Not rendered.
        Spec::Secret(_)
        | Spec::Network(_)
        | Spec::Volume(_)
        | Spec::Custom(_)
        | Spec::Gitops(_)
        | Spec::Certkey(_)
        | Spec::Httpauth(_) => {}
    }
    found.mistakes
}

fn containers(found: &mut Found, root: &str, spec: &ContainersSpec) {
    for (name, text) in &spec.configuration {
        found.check(&field_path(&format!("{root}.configuration"), name), text);
    }
    for (i, text) in spec.envs.iter().enumerate() {
        found.check(&format!("{root}.envs[{i}]"), text);
    }
    for (name, text) in &spec.labels {
        found.check(&field_path(&format!("{root}.labels"), name), text);
    }
    found.check(&format!("{root}.registryAuth"), &spec.registry_auth);
    for (field, probes) in [("readiness", &spec.readiness), ("liveness", &spec.liveness)] {
        for (i, probe) in probes.iter().enumerate() {
            let path = format!("{root}.{field}[{i}]");
            found.check(&format!("{path}.url"), &probe.url);
            found.check(&format!("{path}.tcp"), &probe.tcp);
            for (j, text) in probe.command.iter().enumerate() {
                found.check(&format!("{path}.command[{j}]"), text);
            }
            for (name, text) in &probe.body {
                found.check(&field_path(&format!("{path}.body"), name), text);
            }
        }
    }
}

#[derive(Default)]
struct Found {
    mistakes: Vec<Mistake>,
    only_warn: bool,
}

impl Found {
    fn check(&mut self, path: &str, text: &str) {
        if let Err(error) = check(text, Delimiters::Object, true) {
            self.mistakes.push(Mistake {
                path: path.to_owned(),
                message: format!("template: {error}"),
                is_error: !self.only_warn,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use smr_model::{SourceName, parse};

    use super::*;

    #[track_caller]
    fn check_one(text: &str, expected: &[(&str, bool)]) {
        let parsed = parse(text, &SourceName::new("test"));
        assert!(!parsed.has_errors(), "{:?}", parsed.issues);
        let got: Vec<_> = mistakes(&parsed.documents[0].definition)
            .into_iter()
            .map(|m| (m.path, m.is_error))
            .collect();
        let got: Vec<_> = got.iter().map(|(path, error)| (path.as_str(), *error)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn templates_of_containers_are_checked_everywhere() {
        check_one(
            "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n  \
             envs: ['A=(( .name ))', 'B=(( nope ))']\n  configuration: {c: '(( .x'}\n  \
             readiness: [{command: ['(( end ))']}]\n",
            &[
                ("spec.configuration.c", true),
                ("spec.envs[1]", true),
                ("spec.readiness[0].command[0]", true),
            ],
        );
    }

    #[test]
    fn resources_are_only_warned_about_and_secrets_are_not_templates() {
        check_one(
            "kind: resource\nmeta: {group: a, name: b}\nspec: {data: {a: '(( nope ))'}}\n",
            &[("spec.data.a", false)],
        );
        check_one("kind: secret\nmeta: {group: a, name: b}\nspec: {data: {a: '(( nope'}}\n", &[]);
    }
}
