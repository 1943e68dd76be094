//! What `explain` and the editor schema say.

use smr_model::{Kind, explain, explainable_paths, json_schema};

fn check(path: &str, canonical: &str, kind: &str) {
    let explanation = explain(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!((explanation.path.as_str(), explanation.kind.as_str()), (canonical, kind), "{path}");
    assert!(!explanation.description.is_empty(), "{path}");
}

#[test]
fn paths_lead_to_fields() {
    check("containers", "containers", "object");
    check("Container", "containers", "object");
    check("containers.ports", "containers.spec.ports", "list of objects");
    check("containers.spec.ports[0].host", "containers.spec.ports[].host", "text");
    check("containers.readiness.timeout", "containers.spec.readiness[].timeout", "duration");
    check("containers.initContainer.image", "containers.initContainer.image", "text");
    check("containers.init", "containers.spec.init", "true or false");
    check("containers.memory", "containers.spec.memory", "size");
    check("containers.cpus", "containers.spec.cpus", "processors");
    check("containers.meta.labels", "containers.meta.labels", "mapping of texts");
    check("gitops.certkeyref.name", "gitops.spec.certKeyRef.name", "text");
    check("secret.data.password", "secret.spec.data.KEY", "mapping of texts");
    check("custom.whatever", "custom.spec.KEY", "mapping of anything");
}

#[test]
fn words_and_limits_are_told() {
    let restart = explain("containers.restart").unwrap();
    assert_eq!(restart.allowed[2], "never: The replica runs once.");
    assert_eq!(explain("containers.replicas").unwrap().allowed, ["0 to 1000"]);
    let prefix = explain("network.prefix").unwrap();
    assert_eq!(prefix.default.as_deref(), Some("simplecontainer.io/v1"));
    let ports = explain("containers.ports").unwrap();
    let fields: Vec<(&str, bool)> =
        ports.fields.iter().map(|f| (f.name.as_str(), f.required)).collect();
    assert_eq!(fields, [("container", true), ("host", false)]);
}

#[test]
fn unknown_paths_come_with_the_closest_one() {
    let message = |path| explain(path).unwrap_err().to_string();
    assert_eq!(message("containr"), "there is no kind `containr`, did you mean `containers`?");
    assert_eq!(message("pod"), "there is no kind `pod`");
    assert_eq!(
        message("containers.port.hosst"),
        "there is no field `port` in `containers.spec`, did you mean `containers.spec.ports`?"
    );
    assert_eq!(
        message("containers.ports.hosst"),
        "there is no field `hosst` in `containers.spec.ports[]`, did you mean \
         `containers.spec.ports[].host`?"
    );
    assert_eq!(explain("containers.ports.x").unwrap_err().known, ["container", "host"]);
}

#[test]
fn every_path_offered_is_explained() {
    for kind in Kind::ALL {
        for path in explainable_paths(kind) {
            let explanation = explain(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(explanation.path.replace("[]", ""), path);
        }
    }
}

#[test]
fn the_editor_schema_covers_every_kind() {
    let schema = json_schema();
    let kinds: Vec<&str> = schema["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|branch| branch["if"]["properties"]["kind"]["const"].as_str())
        .collect();
    assert_eq!(kinds, Kind::ALL.map(Kind::as_str));
    let containers = &schema["allOf"][5]["then"]["properties"]["spec"]["properties"];
    assert_eq!(containers["replicas"]["maximum"], 1000);
    assert_eq!(containers["ports"]["items"]["required"][0], "container");
    assert_eq!(
        containers["volumes"]["items"]["properties"]["type"]["oneOf"][1]["const"],
        "hostPath"
    );
}
