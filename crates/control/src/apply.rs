//! Apply and patch: what users send becomes what is stored.

use serde_json::Value;
use smr_model::{Definition, ObjectKey, Owner};
use smr_wire::ApplyResponse;

use crate::{Actor, Control, Error, documents::Documents, propose::Home, record::to_value};

impl Control {
    /// Applies YAML or JSON documents. All of them are checked before the first is written; what
    /// is the same already is not written. This node becomes the home of what is changed. Up to about 500 documents are written in one
    /// transaction. `source` names the body in messages. With `dry_run` nothing is changed.
    pub async fn apply(
        &self,
        body: &str,
        source: &str,
        dry_run: bool,
        actor: &Actor,
    ) -> Result<ApplyResponse, Error> {
        let Documents { definitions, warnings } = Documents::read(body, source)?;
        let (revision, results) =
            self.propose(definitions, None, dry_run, Home::Here, actor).await?;
        Ok(ApplyResponse { revision, results, warnings })
    }

    /// Applies definitions on behalf of `owner`: they become its own, and only it changes them
    /// from then on. What exists keeps its home node: the definitions come from a place, not from a
    /// person who chose a node.
    pub async fn apply_definitions(
        &self,
        definitions: Vec<Definition>,
        owner: Option<&Owner>,
        dry_run: bool,
        actor: &Actor,
    ) -> Result<ApplyResponse, Error> {
        let warnings = Documents::check(&definitions)?;
        let (revision, results) =
            self.propose(definitions, owner, dry_run, Home::Kept, actor).await?;
        Ok(ApplyResponse { revision, results, warnings })
    }

    /// Changes an object by a JSON merge patch (RFC 7396) of its definition. The result goes
    /// through the same checks as an apply; kind, group, name and prefix stay what they are,
    /// and so does the home node.
    pub async fn patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
        dry_run: bool,
        actor: &Actor,
    ) -> Result<ApplyResponse, Error> {
        if !patch.is_object() {
            let hint = "send an object such as `{\"spec\": {\"replicas\": 2}}`";
            return Err(Error::invalid(key, "", "a patch must be a JSON object", hint));
        }
        self.settled().await?;
        let stored = self.object(key).await?.ok_or_else(|| Error::NoObject { key: key.clone() })?;
        let mut value = to_value(&stored.definition);
        json_patch::merge(&mut value, patch);
        // Before anything is said about the rest: read as another kind, confidential values would
        // be told of in its mistakes.
        let kind = value.get("kind").and_then(Value::as_str);
        if kind.and_then(|kind| kind.parse().ok()) != Some(key.kind) {
            let hint = "leave `kind` out of the patch";
            return Err(Error::invalid(key, "kind", "a patch cannot change the kind", hint));
        }
        let Documents { mut definitions, warnings } = Documents::from_value(&value, "patch")?;
        let definition = definitions.remove(0);
        if definition.key() != *key {
            let message = format!("a patch cannot make it `{}`", definition.key());
            let hint = "apply the new object and remove the old one";
            return Err(Error::invalid(key, "meta", message, hint));
        }
        let (revision, results) =
            self.propose(vec![definition], None, dry_run, Home::Kept, actor).await?;
        Ok(ApplyResponse { revision, results, warnings })
    }
}
