//! Definitions without their secrets, for showing.

use crate::{
    definition::{Definition, Spec},
    spec::ContainersSpec,
};

/// What is shown in place of a confidential value.
pub const MASK: &str = "******";

impl Definition {
    /// The definition with every confidential value replaced by [`MASK`]; keys stay. Besides the
    /// confidential kinds this covers registry credentials written into `containers` as they are
    /// (templates stay).
    pub fn redacted(&self) -> Self {
        let mut definition = self.clone();
        match &mut definition.spec {
            Spec::Secret(spec) => spec.data.values_mut().for_each(mask),
            Spec::Certkey(spec) => [
                &mut spec.certificate,
                &mut spec.public_key,
                &mut spec.private_key,
                &mut spec.private_key_password,
                &mut spec.key_store,
                &mut spec.key_store_password,
                &mut spec.cert_store,
                &mut spec.cert_store_password,
            ]
            .into_iter()
            .filter(|value| !value.is_empty())
            .for_each(mask),
            Spec::Httpauth(spec) => {
                mask(&mut spec.username);
                mask(&mut spec.password);
            }
            Spec::Containers(spec, init) => {
                credentials(spec);
                if let Some(init) = init {
                    credentials(init);
                }
            }
            Spec::Configuration(_)
            | Spec::Resource(_)
            | Spec::Network(_)
            | Spec::Volume(_)
            | Spec::Custom(_)
            | Spec::Gitops(_) => {}
        }
        definition
    }

    /// Whether a masked value was written back, for example after editing a redacted definition.
    /// Such a definition must not be stored.
    pub fn is_masked(&self) -> bool {
        match &self.spec {
            Spec::Secret(spec) => spec.data.values().any(|v| v == MASK),
            Spec::Certkey(_) => *self == self.redacted(),
            Spec::Httpauth(spec) => spec.password == MASK,
            Spec::Containers(spec, init) => {
                spec.registry_auth == MASK || init.iter().any(|i| i.registry_auth == MASK)
            }
            _ => false,
        }
    }
}

fn mask(value: &mut String) {
    MASK.clone_into(value);
}

fn credentials(spec: &mut ContainersSpec) {
    if !spec.registry_auth.is_empty() && !spec.registry_auth.contains("((") {
        mask(&mut spec.registry_auth);
    }
}
