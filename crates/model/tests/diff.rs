//! Differences between definitions, and what is hidden in them.

use smr_model::{Change, ChangeOp, Definition, MASK, SourceName, diff, is_scale_only, parse};

fn read(kind: &str, rest: &str) -> Definition {
    let text = format!("kind: {kind}\nmeta: {{group: shop, name: web}}\n{rest}");
    let (mut definitions, _) =
        parse(&text, &SourceName::new("f.yaml")).into_result().unwrap_or_else(|issues| {
            panic!("{}", issues.iter().map(ToString::to_string).collect::<String>())
        });
    definitions.remove(0)
}

fn show(change: &Change) -> String {
    let value = |v: &Option<serde_json::Value>| v.as_ref().map_or(String::new(), |v| v.to_string());
    let op = match change.op {
        ChangeOp::Add => '+',
        ChangeOp::Remove => '-',
        ChangeOp::Replace => '~',
    };
    format!("{op} {} {}>{}", change.path, value(&change.old), value(&change.new))
}

fn check(kind: &str, old: &str, new: &str, expected: &[&str]) {
    let (old, new) = (read(kind, old), read(kind, new));
    let changes: Vec<String> = diff(&old, &new).iter().map(show).collect();
    assert_eq!(changes, expected);
}

#[test]
fn differences_are_pointers_with_both_values() {
    check(
        "containers",
        "spec: {image: nginx, tag: 1, envs: [A=1, B=2], user: root}",
        "spec: {image: nginx, tag: 2, envs: [A=1], labels: {a/b: c}}",
        &[
            "~ /spec/tag \"1\">\"2\"",
            "- /spec/envs/1 \"B=2\">",
            "- /spec/user \"root\">",
            "+ /spec/labels >{\"a/b\":\"c\"}",
        ],
    );
    check(
        "configuration",
        "spec: {data: {a/b~c: one}}",
        "spec: {data: {a/b~c: two}}",
        &["~ /spec/data/a~1b~0c \"one\">\"two\""],
    );
}

#[test]
fn secret_values_are_masked_keys_are_not() {
    check(
        "secret",
        "spec: {data: {password: hunter2, gone: hunter2}}",
        "spec: {data: {password: hunter3, more: hunter2}}",
        &[
            "- /spec/data/gone \"******\">",
            "~ /spec/data/password \"******\">\"******\"",
            "+ /spec/data/more >\"******\"",
        ],
    );
    check(
        "containers",
        "spec: {image: nginx}",
        "spec: {image: nginx, registryAuth: dTpodW50ZXIy}\ninitContainer: {image: a, registryAuth: dTpodW50ZXIy}",
        &[
            "+ /spec/registryAuth >\"******\"",
            "+ /initContainer >{\"image\":\"a\",\"registryAuth\":\"******\"}",
        ],
    );
}

#[test]
fn scaling_is_told_from_other_changes() {
    let check = |old: &str, new: &str, expected: bool| {
        let (old, new) = (read("containers", old), read("containers", new));
        assert_eq!(is_scale_only(&old, &new), expected);
    };
    check("spec: {image: a}", "spec: {image: a, replicas: 3}", true);
    check("spec: {image: a}", "spec: {image: a, replicas: 1}", false);
    check("spec: {image: a}", "spec: {image: b, replicas: 3}", false);
    check("spec: {image: a, replicas: 0}", "spec: {image: a}", true);
}

#[test]
fn redacted_definitions_show_keys_only_and_are_recognised() {
    let secret = read("secret", "spec: {data: {password: hunter2}}");
    let redacted = serde_json::to_value(secret.redacted()).unwrap();
    assert_eq!(redacted["spec"]["data"], serde_json::json!({"password": MASK}));
    let login = read("httpauth", "spec: {username: git, password: hunter2}");
    let key = read("certkey", "spec: {privateKey: hunter2}");
    let shown = serde_json::to_value(key.redacted()).unwrap();
    assert_eq!(shown["spec"], serde_json::json!({"privateKey": MASK}));
    for definition in [secret, login, key] {
        assert!(!definition.is_masked());
        assert!(definition.redacted().is_masked());
    }
    let pull = read("containers", "spec: {image: a, registryAuth: dTpodW50ZXIy}");
    assert!(pull.redacted().is_masked());
    assert!(!format!("{pull:?}").contains("dTpodW50ZXIy"));
    let template = read("containers", "spec: {image: a, registryAuth: (( .auth ))}");
    assert_eq!(template.redacted(), template);
}
