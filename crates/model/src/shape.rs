//! The shape of every kind as data, read once from the JSON Schemas of the types. Parser,
//! `explain` and editor schemas all work from it.

use std::sync::OnceLock;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use crate::{
    definition::Meta,
    kind::Kind,
    spec::{
        CertkeySpec, ContainersSpec, DataSpec, GitopsSpec, HttpauthSpec, NetworkSpec, VolumeSpec,
    },
};

/// What a value must look like.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Any scalar, taken as text.
    Text,
    /// A duration in Go's form.
    Duration,
    /// A size in bytes.
    Size,
    /// A share of processors.
    Processors,
    /// A whole number within bounds, both included.
    Integer { min: u64, max: u64 },
    /// A number, also with a fraction.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Choice(Vec<Choice>),
    /// A list.
    List(Box<Shape>),
    /// A mapping with free keys.
    Map(Box<Shape>),
    /// A mapping with known keys.
    Object(ObjectShape),
    /// Anything.
    Any,
}

/// A word of a [`Shape::Choice`].
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The canonical word.
    pub(crate) word: String,
    /// What it means.
    pub(crate) description: String,
}

/// The fields of a mapping.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectShape {
    /// Name of the type.
    pub(crate) title: String,
    /// What the object is.
    pub(crate) description: String,
    /// Fields in the order of the type.
    pub(crate) fields: Vec<Field>,
}

/// A field of an object.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Canonical spelling.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Default as the type declares it, where it is worth telling.
    pub(crate) default: Option<Value>,
    /// Whether it must be given.
    pub(crate) required: bool,
    /// What its value must look like.
    pub(crate) shape: Shape,
}

impl ObjectShape {
    /// The field a user means by `name`: case, `_` and `-` do not count.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|f| f.name == name)
            .or_else(|| self.fields.iter().find(|f| same_word(&f.name, name)))
    }
}

impl Shape {
    /// The object inside lists and maps, if there is one.
    pub(crate) fn object(&self) -> Option<&ObjectShape> {
        match self {
            Shape::Object(object) => Some(object),
            Shape::List(inner) | Shape::Map(inner) => inner.object(),
            _ => None,
        }
    }
}

/// Whether two spellings are the same word, letter case, `_` and `-` aside.
pub(crate) fn same_word(a: &str, b: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).collect()
    };
    letters(a) == letters(b)
}

/// The shape of `meta`.
pub(crate) fn meta() -> &'static ObjectShape {
    static META: OnceLock<ObjectShape> = OnceLock::new();
    META.get_or_init(|| {
        let mut object = compile::<Meta>();
        object.fields.retain(|f| f.name != "owner");
        object
    })
}

/// The shape of `spec`; for `custom` an object without fields that takes anything.
pub(crate) fn spec(kind: Kind) -> &'static Shape {
    static SPECS: OnceLock<Vec<(Kind, Shape)>> = OnceLock::new();
    let specs = SPECS.get_or_init(|| {
        Kind::ALL
            .into_iter()
            .map(|kind| {
                let object = match kind {
                    Kind::Containers => compile::<ContainersSpec>(),
                    Kind::Configuration | Kind::Resource | Kind::Secret => compile::<DataSpec>(),
                    Kind::Network => compile::<NetworkSpec>(),
                    Kind::Volume => compile::<VolumeSpec>(),
                    Kind::Gitops => compile::<GitopsSpec>(),
                    Kind::Certkey => compile::<CertkeySpec>(),
                    Kind::Httpauth => compile::<HttpauthSpec>(),
                    Kind::Custom => return (kind, Shape::Map(Box::new(Shape::Any))),
                };
                (kind, Shape::Object(object))
            })
            .collect()
    });
    specs.iter().find(|(k, _)| *k == kind).map_or(&Shape::Any, |(_, shape)| shape)
}

/// What a kind is, as its documentation says.
pub(crate) fn kind_description(kind: Kind) -> String {
    static WORDS: OnceLock<Vec<Choice>> = OnceLock::new();
    let words = WORDS.get_or_init(|| {
        let root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Kind>();
        let root = Value::from(root);
        match shape(&root, &root) {
            Shape::Choice(choices) => choices,
            _ => Vec::new(),
        }
    });
    let word = words.iter().find(|c| c.word == kind.as_str());
    word.map(|c| c.description.clone()).unwrap_or_default()
}

fn compile<T: JsonSchema>() -> ObjectShape {
    let root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let root = Value::from(root);
    match shape(&root, &root) {
        Shape::Object(mut object) => {
            demand(&mut object);
            object
        }
        _ => ObjectShape::default(),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn shape(schema: &Value, root: &Value) -> Shape {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return match name {
            "Duration" => Shape::Duration,
            "Size" => Shape::Size,
            "Processors" => Shape::Processors,
            name => match root.get("$defs").and_then(|defs| defs.get(name)) {
                Some(definition) => named(shape(definition, root), name),
                None => Shape::Any,
            },
        };
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        // An optional value: the other option is `null`.
        return options
            .iter()
            .find(|o| o.get("type").and_then(Value::as_str) != Some("null"))
            .map_or(Shape::Any, |option| shape(option, root));
    }
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        return Shape::Choice(options.iter().flat_map(choices).collect());
    }
    if schema.get("enum").is_some() {
        return Shape::Choice(choices(schema));
    }
    match type_name(schema) {
        "string" => Shape::Text,
        "boolean" => Shape::Boolean,
        "number" => Shape::Number,
        "integer" => Shape::Integer { min: 0, max: largest(schema) },
        "array" => {
            Shape::List(Box::new(schema.get("items").map_or(Shape::Any, |i| shape(i, root))))
        }
        "object" => match (schema.get("properties"), schema.get("additionalProperties")) {
            (Some(Value::Object(properties)), _) => {
                let required: Vec<&str> = schema
                    .get("required")
                    .and_then(Value::as_array)
                    .map(|names| names.iter().filter_map(Value::as_str).collect())
                    .unwrap_or_default();
                let fields = properties
                    .iter()
                    .map(|(name, property)| Field {
                        name: name.clone(),
                        description: text(property, "description"),
                        default: property.get("default").cloned(),
                        required: required.contains(&name.as_str()),
                        shape: shape(property, root),
                    })
                    .collect();
                Shape::Object(ObjectShape {
                    title: text(schema, "title"),
                    description: text(schema, "description"),
                    fields,
                })
            }
            (_, Some(inner)) if inner.is_object() => Shape::Map(Box::new(shape(inner, root))),
            _ => Shape::Map(Box::new(Shape::Any)),
        },
        _ => Shape::Any,
    }
}

fn named(shape: Shape, name: &str) -> Shape {
    match shape {
        Shape::Object(mut object) => {
            name.clone_into(&mut object.title);
            demand(&mut object);
            Shape::Object(object)
        }
        other => other,
    }
}

/// Fields that types default, so that stored objects can be read, and users must give.
const DEMANDED: &[(&str, &[&str])] = &[
    ("ContainersSpec", &["image"]),
    ("Dependency", &["group", "name"]),
    ("NetworkRef", &["name"]),
    ("Port", &["container"]),
    ("Volume", &["mountPoint"]),
    ("ObjectNameRef", &["group", "name"]),
    ("ResourceMount", &["group", "name", "key", "mountPoint"]),
    ("Healthcheck", &["command"]),
    ("DeviceSpec", &["host"]),
    ("Logging", &["driver"]),
    ("HttpauthSpec", &["username"]),
];

fn demand(object: &mut ObjectShape) {
    let demanded = DEMANDED.iter().find(|(title, _)| *title == object.title);
    for name in demanded.map(|(_, names)| *names).unwrap_or_default() {
        object.fields.iter_mut().filter(|f| f.name == *name).for_each(|f| f.required = true);
    }
}

/// The type of a schema; for `["integer", "null"]` the one that is not `null`.
fn type_name(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|n| *n != "null").unwrap_or_default()
        }
        _ => "",
    }
}

fn largest(schema: &Value) -> u64 {
    if let Some(maximum) = schema.get("maximum").and_then(Value::as_u64) {
        return maximum;
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => u64::from(u8::MAX),
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        _ => u64::MAX,
    }
}

fn choices(schema: &Value) -> Vec<Choice> {
    let description = text(schema, "description");
    let one = schema.get("const").into_iter();
    let many = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    one.chain(many)
        .filter_map(Value::as_str)
        .map(|word| Choice { word: word.to_owned(), description: description.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_kind_has_a_known_shape_and_a_description() {
        fn walk(object: &ObjectShape, path: &str) {
            assert!(!object.fields.is_empty(), "{path} has no fields");
            for field in &object.fields {
                let path = format!("{path}.{}", field.name);
                assert!(!matches!(field.shape, Shape::Any), "{path} has no shape");
                assert!(!field.description.is_empty(), "{path} has no description");
                if let Some(inner) = field.shape.object() {
                    walk(inner, &path);
                }
            }
        }
        walk(meta(), "meta");
        for kind in Kind::ALL {
            if let Shape::Object(object) = spec(kind) {
                walk(object, kind.as_str());
            }
        }
    }
}
