//! The description of the API in OpenAPI 3.1, made from the table of routes and the wire types.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use smr_wire::ErrorBody;

use crate::{route::Route, routes};

/// The description, as `docs/openapi.json` holds it.
pub fn openapi() -> String {
    text(&routes::table())
}

pub(crate) fn text(table: &[Route]) -> String {
    let mut generator = generator();
    let mut paths = Map::new();
    for route in table {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let error = reference::<ErrorBody>(&mut generator);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "simplecontainer control API",
            "version": "1",
            "description": "The control API of a node, over HTTPS with a client certificate of \
                the cluster. The role in the certificate decides what is allowed; each operation \
                names the roles in `x-roles`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://localhost:1443"}],
        "security": [{"certificate": []}],
        "paths": paths,
        "components": {
            "responses": {
                "Error": {
                    "description": "What went wrong; `code` says which status it comes with.",
                    "content": {"application/json": {"schema": error}},
                },
            },
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A certificate issued by the cluster's authority.",
                },
            },
        },
    });
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value can be written");
    text.push('\n');
    text
}

fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = path_elements(route.path)
        .map(|name| {
            let schema = json!({"type": "string"});
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    parameters.extend(query_parameters(route));
    let (media, schema) = route.answer;
    let content = match schema {
        Some(schema) => json!({media: {"schema": schema(generator)}}),
        None => json!({media: {}}),
    };
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "x-roles": route.access.roles(),
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", "content": content},
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    if let Some((media, schema)) = route.body
        && let Value::Object(fields) = &mut operation
    {
        let schema = match schema {
            Some(schema) => schema(generator).to_value(),
            None if media.ends_with("json") => json!({"type": "object"}),
            None => json!({"type": "string"}),
        };
        let body = json!({"required": true, "content": {media: {"schema": schema}}});
        fields.insert("requestBody".to_owned(), body);
    }
    operation
}

fn path_elements(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn query_parameters(route: &Route) -> Vec<Value> {
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|map| map.shift_remove("description"));
        json!({"name": name, "in": "query", "description": description, "schema": schema})
    };
    route.query_fields().into_iter().map(parameter).collect()
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
