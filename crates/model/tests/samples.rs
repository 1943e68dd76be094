//! Files in the shapes users have from upstream parse without errors, and mean what they should.

use smr_model::{
    Bytes, Definition, Document, GoDuration, Kind, Parsed, SourceName, Spec, json_schema, parse,
    parse_value,
    spec::{ContainersSpec, HttpMethod, VolumeType},
    to_yaml,
};

const SHOP: &str = include_str!("samples/mysql-nginx-traefik.yaml");
const MINIMAL: &str = include_str!("samples/minimal.yaml");
const MERGE: &str = include_str!("samples/merge.yaml");

fn read(text: &str) -> Parsed {
    let parsed = parse(text, &SourceName::new("sample.yaml"));
    let errors: Vec<String> = parsed.errors().map(ToString::to_string).collect();
    assert_eq!(errors, Vec::<String>::new());
    parsed
}

fn find(parsed: &Parsed, key: &str) -> Document {
    let found = parsed.documents.iter().find(|d| d.definition.key().short() == key);
    found.unwrap_or_else(|| panic!("no `{key}`")).clone()
}

fn containers(parsed: &Parsed, key: &str) -> ContainersSpec {
    match find(parsed, key).definition.spec {
        Spec::Containers(spec, _) => *spec,
        other => panic!("`{key}` is {}", other.kind()),
    }
}

#[test]
fn upstream_shapes_have_warnings_only() {
    let warnings: Vec<String> = read(SHOP).warnings().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "sample.yaml:39:3 (document 4): meta.label: unknown field, ignored; did you mean `labels`?",
            "sample.yaml:74:7 (document 4): spec.volumes[0].subPath: is accepted but has no effect",
            "sample.yaml:123:3 (document 8): spec.data: unknown field, ignored; fields: driver, \
             driver_opts",
        ]
    );
}

#[test]
fn scalars_keep_their_digits() {
    let parsed = read(SHOP);
    let mysql = containers(&parsed, "containers/mysql/mysql");
    assert_eq!(mysql.image_reference(), "mysql:8.0");
    assert_eq!(mysql.ports[0].container, "3306");
    assert_eq!(mysql.configuration["retries"], "3");
    let mode = mysql.resources[0].permissions.as_ref().unwrap().permissions;
    assert_eq!(mode, Some(0o644));
    let Spec::Configuration(config) = find(&parsed, "configuration/mysql/config").definition.spec
    else {
        panic!("a configuration")
    };
    assert_eq!(config.data["strict"], "yes");
    assert_eq!(config.data["port"], "3306");
}

#[test]
fn spelling_does_not_matter() {
    let parsed = read(SHOP);
    let traefik = containers(&parsed, "containers/traefik/traefik");
    assert_eq!(traefik.volumes[0].kind, VolumeType::Bind);
    assert_eq!(traefik.ports[2].host, "127.0.0.1:8888");
    let nginx = containers(&parsed, "containers/nginx/nginx");
    assert_eq!(nginx.readiness[0].method, Some(HttpMethod::Get));
    assert_eq!(
        find(&parsed, "configuration/mysql/config").definition.prefix,
        "simplecontainer.io/v1"
    );
    assert_eq!(find(&parsed, "volume/mysql/data").definition.prefix, "dev/v1");
    assert_eq!(find(&parsed, "custom/nginx/router").definition.prefix, "traefik.io/v1");
}

#[test]
fn untyped_data_keeps_words_and_knows_octal() {
    let Spec::Custom(custom) = find(&read(SHOP), "custom/nginx/router").definition.spec else {
        panic!("a custom object")
    };
    assert_eq!(
        serde_json::Value::Object(custom),
        serde_json::json!({
            "enabled": "yes", "priority": 10, "mode": 420,
            "servers": [{"url": "http://bridge.nginx.nginx.private"}],
        })
    );
}

#[test]
fn documents_know_their_number_and_line() {
    let parsed = read(SHOP);
    let network = find(&parsed, "network/internal/cluster");
    assert_eq!((network.number, network.line), (9, 125));
}

#[test]
fn merge_keys_fill_what_is_not_given() {
    let web = containers(&read(MERGE), "containers/shop/web");
    assert_eq!(web.liveness[0].tcp, "80");
    assert_eq!(web.liveness[0].timeout, Some(GoDuration::from_secs(1)));
    assert_eq!(web.readiness[0].timeout, Some(GoDuration::from_secs(5)));
}

#[test]
fn a_file_may_end_without_a_newline() {
    let busybox = containers(&read(MINIMAL), "containers/example/busybox");
    assert_eq!(busybox.args, ["sleep 1d"]);
    assert_eq!(busybox.replica_count(), 1);
}

#[test]
fn owners_are_set_apart() {
    let text = "{kind: network, meta: {group: a, name: b, runtime: {owner: {kind: gitops, group: g, \
                name: n}}}}";
    let document = read(text).documents.remove(0);
    assert_eq!(document.definition.meta.owner, None);
    let owner = document.owner.unwrap();
    assert_eq!((owner.kind, owner.group.as_str(), owner.name.as_str()), (Kind::Gitops, "g", "n"));
}

#[test]
fn json_values_take_the_same_way() {
    let value = serde_json::json!({
        "kind": "containers", "meta": {"group": "a", "name": "b"},
        "spec": {"image": "nginx", "tag": 1.25, "memory": 8_388_608, "ports": [{"container": 80}]},
    });
    let parsed = parse_value(&value, &SourceName::new("request"));
    assert_eq!(parsed.issues, []);
    let spec = containers(&parsed, "containers/a/b");
    assert_eq!(spec.image_reference(), "nginx:1.25");
    assert_eq!(spec.memory, Some(Bytes(8 << 20)));
    let bad =
        serde_json::json!([{"kind": "network", "meta": {"group": "a", "name": "b"}}, {"kind": 1}]);
    let parsed = parse_value(&bad, &SourceName::new("request"));
    let issues: Vec<String> = parsed.issues.iter().map(ToString::to_string).collect();
    assert_eq!(
        issues,
        [
            "request (document 2): kind: unknown kind `1`; allowed: network, volume, secret, \
             configuration, resource, containers, custom, certkey, httpauth, gitops",
            "request (document 2): meta: is missing; write `meta: {group: GROUP, name: NAME}`",
        ]
    );
    assert_eq!(parsed.documents.len(), 1);
}

#[test]
fn yaml_written_is_read_again() {
    for text in [SHOP, MINIMAL, MERGE] {
        for document in read(text).documents {
            let yaml = to_yaml(&document.definition);
            let again = read(&yaml).documents.remove(0).definition;
            assert_eq!(again, document.definition, "{yaml}");
            let json = serde_json::to_value(&document.definition).unwrap();
            let stored: Definition = serde_json::from_value(json).unwrap();
            assert_eq!(stored, document.definition);
        }
    }
}

#[test]
fn yaml_is_sorted_and_leaves_defaults_out() {
    let yaml = to_yaml(&read(MINIMAL).documents[0].definition);
    assert_eq!(
        yaml,
        "kind: containers\nmeta:\n  group: example\n  name: busybox\nprefix: simplecontainer.io/v1\n\
         spec:\n  args:\n  - sleep 1d\n  entrypoint:\n  - sh\n  - -c\n  image: busybox\n  tag: \"1.37.0\"\n"
    );
}

/// The canonical form of every sample fits the schema that editors get.
#[test]
fn samples_fit_the_json_schema() {
    let schema = json_schema();
    for text in [SHOP, MINIMAL, MERGE] {
        for document in read(text).documents {
            let value = serde_json::to_value(&document.definition).unwrap();
            fits(&schema, &value, &document.definition.key().short());
        }
    }
}

/// As much of JSON Schema as `json_schema` uses.
fn fits(schema: &serde_json::Value, value: &serde_json::Value, at: &str) {
    use serde_json::Value;
    assert_ne!(schema, &Value::Bool(false), "{at}: not allowed");
    let type_of = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_u64() || n.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![type_of],
    };
    let number = type_of == "integer" && types.contains(&"number");
    assert!(types.contains(&type_of) || number, "{at}: {type_of} is not one of {types:?}");
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        assert!(options.iter().any(|o| o["const"] == *value), "{at}: {value} not in {options:?}");
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(name).is_some(), "{at}: `{name}` is missing");
    }
    if let Value::Object(map) = value {
        for (key, inner) in map {
            let at = format!("{at}.{key}");
            match schema.get("properties").and_then(|p| p.get(key)) {
                Some(property) => fits(property, inner, &at),
                None => {
                    if let Some(rest) = schema.get("additionalProperties") {
                        fits(rest, inner, &at);
                    }
                }
            }
        }
    }
    if let (Value::Array(items), Some(inner)) = (value, schema.get("items")) {
        for item in items {
            fits(inner, item, at);
        }
    }
    for branch in schema["allOf"].as_array().into_iter().flatten() {
        if branch["if"]["properties"]["kind"]["const"] == value["kind"] {
            fits(&branch["then"], value, at);
        }
    }
}
