//! What a route is: one table feeds the router, the access check and the API description.

use axum::routing::MethodRouter;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use smr_pki::Role;
use smr_wire::ReadQuery;

use crate::api::Api;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever may read: everybody but the holder of a join token.
    Read,
    /// Operators and administrators: what changes workloads.
    Change,
    /// As [`Self::Change`], and nodes that hand on what one of them asked for: commands in
    /// containers.
    Run,
    /// Administrators.
    Admin,
    /// Administrators, and nodes that hand on what one of them asked for.
    Lead,
    /// Administrators and holders of a join token: becoming a member.
    Join,
    /// Members of the cluster about themselves.
    Node,
}

impl Access {
    /// Whether a role may use such a route.
    pub(crate) fn admits(self, role: Role) -> bool {
        match self {
            Self::Read => role.may_read(),
            Self::Change => role.may_change(),
            Self::Run => role.may_change() || role.is_node(),
            Self::Admin => role.may_admin(),
            Self::Lead => role.may_admin() || role.is_node(),
            Self::Join => role.may_join(),
            Self::Node => role.is_node(),
        }
    }

    /// The roles that may, in words.
    pub(crate) fn roles(self) -> &'static str {
        match self {
            Self::Read => "viewer, operator, admin, node",
            Self::Change => "operator, admin",
            Self::Run => "operator, admin, node",
            Self::Admin => "admin",
            Self::Lead => "admin, node",
            Self::Join => "admin, join",
            Self::Node => "node",
        }
    }
}

/// Writes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Path with `{elements}`.
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// Name in the API description, `verb_resource`.
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    /// Query parameters, as the fields of types; others are refused.
    pub(crate) queries: Vec<SchemaOf>,
    /// Media type of the body, and its type if it is JSON of one type.
    pub(crate) body: Option<(&'static str, Option<SchemaOf>)>,
    /// Media type of the answer, and its type if it is JSON.
    pub(crate) answer: (&'static str, Option<SchemaOf>),
    /// May take longer than the request timeout to begin its answer.
    pub(crate) patient: bool,
    pub(crate) handler: fn() -> MethodRouter<Api>,
}

impl Route {
    pub(crate) fn new(
        access: Access,
        method: Method,
        path: &'static str,
        name: &'static str,
        handler: fn() -> MethodRouter<Api>,
    ) -> Self {
        Self {
            method,
            path,
            access,
            name,
            summary: "",
            queries: Vec::new(),
            body: None,
            answer: ("text/plain", None),
            patient: false,
            handler,
        }
    }

    pub(crate) fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.queries.push(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// A read of stored things: the handler takes [`crate::extract::Reading`].
    pub(crate) fn stored(self) -> Self {
        self.query::<ReadQuery>()
    }

    pub(crate) fn body(mut self, media: &'static str) -> Self {
        self.body = Some((media, None));
        self
    }

    /// A JSON body of one type.
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(("application/json", Some(SchemaGenerator::subschema_for::<T>)));
        self
    }

    pub(crate) fn json<T: JsonSchema>(self) -> Self {
        self.lines::<T>("application/json")
    }

    /// An answer of another media type made of JSON documents of one type.
    pub(crate) fn lines<T: JsonSchema>(mut self, media: &'static str) -> Self {
        self.answer = (media, Some(SchemaGenerator::subschema_for::<T>));
        self
    }

    pub(crate) fn media(mut self, media: &'static str) -> Self {
        self.answer = (media, None);
        self
    }

    pub(crate) fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// Names of the query parameters.
    pub(crate) fn parameters(&self) -> Vec<String> {
        self.query_fields().into_iter().map(|(name, _)| name).collect()
    }

    /// Names and schemas of the query parameters.
    pub(crate) fn query_fields(&self) -> Vec<(String, Value)> {
        let mut fields = Vec::new();
        for schema_of in &self.queries {
            let schema = schema_of(&mut inline_generator());
            let properties = schema.get("properties").and_then(Value::as_object);
            fields.extend(properties.cloned().unwrap_or_default());
        }
        fields
    }
}

/// Writes schemas without references.
fn inline_generator() -> SchemaGenerator {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.with(|settings| settings.inline_subschemas = true).into_generator()
}
