//! What a route is: one table feeds the router, the access check and the API description.

use axum::routing::MethodRouter;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use smr_pki::Role;

use crate::api::Api;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody with a certificate of the cluster.
    Read,
    /// Operators and administrators: what changes workloads or runs commands in them.
    Change,
    /// Administrators.
    Admin,
}

impl Access {
    /// Whether a role may use such a route.
    pub(crate) fn admits(self, role: Role) -> bool {
        match self {
            Self::Read => role.may_read(),
            Self::Change => role.may_change(),
            Self::Admin => role.may_admin(),
        }
    }

    /// The roles that may, in words.
    pub(crate) fn roles(self) -> &'static str {
        match self {
            Self::Read => "viewer, operator, admin, node",
            Self::Change => "operator, admin",
            Self::Admin => "admin",
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
    /// Query parameters, as the fields of a type; others are refused.
    pub(crate) query: Option<SchemaOf>,
    /// Media types of the body, and its type unless it is YAML.
    pub(crate) body: Option<&'static str>,
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
            query: None,
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
        self.query = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    pub(crate) fn body(mut self, media: &'static str) -> Self {
        self.body = Some(media);
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
        let Some(schema_of) = self.query else { return Vec::new() };
        let mut generator = inline_generator();
        let schema = schema_of(&mut generator);
        let fields = schema.get("properties").and_then(|fields| fields.as_object());
        fields.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }
}

/// Writes schemas without references.
pub(crate) fn inline_generator() -> SchemaGenerator {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.with(|settings| settings.inline_subschemas = true).into_generator()
}
