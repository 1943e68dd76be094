//! What one replica's containers are made from, and what is said when that cannot be told.

use smr_model::{SourceName, canonical_json, parse};

use super::*;

const MARKER: &str = "hunter2-marker";

/// The objects of a YAML text; the first `containers` object is the one that is rendered.
struct World(BTreeMap<ObjectKey, Definition>);

fn world(text: &str) -> World {
    let parsed = parse(text, &SourceName::new("test.yaml"));
    let mistakes: Vec<String> = parsed.errors().map(ToString::to_string).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    World(parsed.documents.into_iter().map(|d| (d.definition.key(), d.definition)).collect())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl World {
    fn try_render(&self, index: u32) -> (Result<Rendered, Reason>, BTreeSet<ObjectKey>) {
        let key = self.0.keys().find(|key| key.kind == Kind::Containers).unwrap();
        let replica = ReplicaKey::new(&key.group, &key.name, index);
        let node = NodeFacts { name: "node-1".to_owned() };
        render(&replica, &self.0[key], &self.0, &node, at("2026-01-02T03:04:05Z"))
    }

    #[track_caller]
    fn render(&self) -> Rendered {
        self.try_render(1).0.unwrap_or_else(|reason| panic!("{reason:?}"))
    }

    /// The reason for which nothing can be rendered.
    #[track_caller]
    fn reason(&self) -> Reason {
        let reason = self.try_render(1).0.err().expect("cannot be rendered");
        assert!(!reason.message.contains(MARKER), "a secret is in `{}`", reason.message);
        reason
    }
}

/// A `containers` object with these lines in its `spec`.
fn containers(spec: &str) -> String {
    let lines = spec.replace('\n', "\n  ");
    format!(
        "kind: containers\nmeta: {{group: shop, name: web}}\nspec:\n  image: web\n  tag: \"1\"\n  {lines}\n---\n"
    )
}

fn secret() -> String {
    format!(
        "kind: secret\nmeta: {{group: shop, name: db}}\nspec: {{data: {{password: {MARKER}}}}}\n---\n"
    )
}

#[track_caller]
fn refused(spec: &str, code: &str, parts: &[&str]) {
    let reason = world(&(containers(spec) + &secret())).reason();
    assert_eq!(reason.code, code, "{}", reason.message);
    for part in parts {
        assert!(reason.message.contains(part), "`{part}` is not in `{}`", reason.message);
    }
}

/// The published example: variables, nested lookups, a file of five lines.
#[test]
fn the_worked_example_renders() {
    let text = r#"
kind: secret
meta: {group: mysql, name: password}
spec: {data: {password: c2VjcmV0LXZhbHVl}}
---
kind: configuration
meta: {group: mysql, name: envs}
spec: {data: {password: '(( printf "test" ))'}}
---
kind: configuration
meta: {group: mysql, name: config}
spec: {data: {fromConfigResource: testing}}
---
kind: resource
meta: {group: mysql, name: files}
spec:
  data:
    secret.config.file: |
      (( lookup "configuration/mysql/envs:password" ))
      (( lookup "secret/mysql/password:password" ))
      (( lookup "secret/mysql/password:password" | base64decode ))
      (( .password )) (( .fromConfigResource ))
      (( .secret ))
---
kind: containers
meta: {group: mysql, name: mysql}
spec:
  image: mysql
  tag: "8"
  envs: ["MYSQL_ROOT_PASSWORD=(( .password ))", "CONTAINER_NAME=(( .name ))"]
  configuration:
    username: root
    secret: secret
    testing: "testing2=(( .name ))"
    password: '(( lookup "secret/mysql/password:password" | base64decode ))'
  configurations: [{group: mysql, name: config}]
  readiness:
    - name: ping
      command: [mysqladmin, ping, "-p(( .password ))"]
  resources:
    - {group: mysql, name: files, key: secret.config.file, mountPoint: /etc/secret.conf}
"#;
    let world = world(text);
    let (rendered, used) = world.try_render(1);
    let rendered = rendered.unwrap_or_else(|reason| panic!("{reason:?}"));
    assert_eq!(rendered.main.name, "mysql-mysql-1");
    assert_eq!(
        rendered.main.env,
        ["MYSQL_ROOT_PASSWORD=secret-value", "CONTAINER_NAME=mysql-mysql-1"]
    );
    let file = &rendered.main.files[0];
    assert_eq!(
        file.content,
        "test\nc2VjcmV0LXZhbHVl\nsecret-value\nsecret-value testing\nsecret\n"
    );
    assert_eq!((file.path.as_str(), file.uid, file.gid), ("/etc/secret.conf", 0, 0));
    let ProbeCheck::Command(command) = &rendered.readiness[0].check else { panic!() };
    assert_eq!(command[2], "-psecret-value");
    let used: Vec<String> = used.iter().map(ObjectKey::short).collect();
    assert_eq!(
        used,
        [
            "configuration/mysql/config",
            "configuration/mysql/envs",
            "resource/mysql/files",
            "secret/mysql/password"
        ]
    );
}

#[test]
fn built_in_variables_are_those_of_the_replica() {
    let spec = r#"envs: ["A=(( .name )) (( .node )) (( .index )) (( .fqdn )) (( .headless ))"]"#;
    let (rendered, _) = world(&containers(spec)).try_render(3);
    let env = rendered.unwrap_or_else(|reason| panic!("{reason:?}")).main.env;
    assert_eq!(env, ["A=shop-web-3 node-1 3 cluster.shop-web-3.private cluster.shop.web.private"]);
}

#[test]
fn variables_are_resolved_whatever_their_order() {
    let spec = r#"
envs: ["ALL=(( .a ))"]
configuration:
  a: "(( .b ))a"
  b: "(( .c ))b"
  c: "(( .z ))c"
  z: "(( .index ))z""#;
    assert_eq!(world(&containers(spec)).render().main.env, ["ALL=1zcba"]);
}

#[test]
fn a_variable_may_build_on_what_its_name_meant_before() {
    let spec = r#"
envs: ["NAME=(( .name ))"]
configuration: {name: "my-(( .name ))"}"#;
    assert_eq!(world(&containers(spec)).render().main.env, ["NAME=my-shop-web-1"]);
}

#[test]
fn variables_in_a_circle_are_a_reason() {
    let spec = "configuration: {a: '(( .b ))', b: '(( .a ))'}";
    refused(spec, "TemplateFailed", &["spec.configuration.a", "no value for `.b`"]);
}

#[test]
fn configuration_objects_are_rendered_and_override() {
    let text = containers(
        "envs: ['E=(( .region )) (( .who ))']\nconfiguration: {region: here, who: me}\n\
         configurations: [{group: shop, name: common}]",
    ) + "kind: configuration\nmeta: {group: shop, name: common}\n\
         spec: {data: {region: 'there-(( .index ))'}}\n";
    assert_eq!(world(&text).render().main.env, ["E=there-1 me"]);
}

#[test]
fn reasons_name_the_field_the_object_and_the_key() {
    refused(
        r#"envs: ['A=(( lookup "secret/shop/nope:key" ))']"#,
        "MissingObject",
        &["spec.envs[0]", "shop/nope"],
    );
    refused(
        r#"envs: [B=1, 'A=(( lookup "secret/shop/db:nope" ))']"#,
        "TemplateFailed",
        &["spec.envs[1]", "shop/db", "`nope`"],
    );
    refused(
        "configurations: [{group: shop, name: nope}]",
        "MissingObject",
        &["spec.configurations[0]", "`configuration/shop/nope`"],
    );
    refused(
        "resources: [{group: shop, name: nope, key: k, mountPoint: /k}]",
        "MissingObject",
        &["spec.resources[0]", "`resource/shop/nope`"],
    );
    refused("configuration: {a: '(( if ))'}", "TemplateFailed", &["spec.configuration.a"]);
    refused("labels: {a: '(( .nope ))'}", "TemplateFailed", &["spec.labels.a", "`.nope`"]);
    refused("registryAuth: '(( .nope ))'", "TemplateFailed", &["spec.registryAuth"]);
    refused(
        "readiness: [{name: r, url: 'http://localhost/', body: {k: '(( .nope ))'}}]",
        "TemplateFailed",
        &["spec.readiness[0].body.k"],
    );
}

#[test]
fn a_missing_key_of_a_resource_is_named() {
    let text = containers("resources: [{group: shop, name: files, key: nope, mountPoint: /k}]")
        + "kind: resource\nmeta: {group: shop, name: files}\nspec: {data: {k: v}}\n";
    let reason = world(&text).reason();
    assert_eq!(reason.code, "MissingKey");
    assert_eq!(reason.message, "spec.resources[0].key: `resource/shop/files` has no key `nope`");
}

#[test]
fn reasons_about_the_init_container_name_its_fields() {
    let text = containers("").replace("---\n", "")
        + "initContainer: {image: i, tag: \"1\", envs: ['A=(( .nope ))']}\n";
    let reason = world(&text).reason();
    assert!(reason.message.starts_with("initContainer.envs[0]"), "{}", reason.message);
}

/// A decoded secret goes through functions that refuse it; none may repeat it. `reason` checks.
#[test]
fn no_reason_contains_a_secret() {
    let value = r#"lookup "secret/shop/db:password""#;
    for template in [
        "toInt (V)",
        "toFloat64 (V)",
        "fromJson (V)",
        "base64decode (V)",
        "lookup (V)",
        "dateInZone \"2006\" (V) now",
        "regexMatch (printf \"(%s\" (V)) \"a\"",
        "index (list 1) (V)",
        "add (V) 1",
        "get (V) \"a\"",
        "set (dict) (V)",
        "printf \"%d\" (V) | toInt",
        "div 1 (V)",
        "substr (V) 1 \"a\"",
    ] {
        let template = template.replace("(V)", &format!("({value})"));
        let spec = format!("envs: ['A=(( {template} ))']");
        world(&(containers(&spec) + &secret())).reason();
    }
    refused(
        &format!("readiness: [{{name: r, tcp: '(( {value} ))'}}]"),
        "InvalidDefinition",
        &["spec.readiness[0].tcp"],
    );
    refused(&format!("registryAuth: '(( {value} ))'"), "InvalidRegistryAuth", &["registryAuth"]);
}

#[test]
fn what_is_missing_is_remembered_as_used() {
    let spec = r#"envs: ['A=(( lookup "secret/shop/later:key" ))']"#;
    let (rendered, used) = world(&containers(spec)).try_render(1);
    assert!(rendered.is_err());
    assert!(used.contains(&ObjectKey::new(Kind::Secret, "shop", "later")));
}

#[test]
fn files_have_owner_and_mode_and_may_be_raw() {
    let text = containers(
        "resources:\n\
         - {group: shop, name: files, key: k, mountPoint: /a}\n\
         - {group: shop, name: files, key: k, mountPoint: /b, raw: true, \
            permissions: {owner: 5, group: 6, permissions: 256}}",
    ) + "kind: resource\nmeta: {group: shop, name: files}\nspec: {data: {k: '(( .index ))'}}\n";
    let files = world(&text).render().main.files;
    let told: Vec<_> =
        files.iter().map(|f| (f.path.as_str(), f.content.as_str(), f.uid, f.gid, f.mode)).collect();
    assert_eq!(told, [("/a", "1", 0, 0, 0o644), ("/b", "(( .index ))", 5, 6, 0o400)]);
}

#[test]
fn volumes_are_named_by_object_by_prefix_or_by_the_engine() {
    let volume = |name: &str| format!("- {{name: {name}, type: volume, mountPoint: /{name}}}\n");
    let volumes: String = ["data", "shop-logs", "other"].into_iter().map(volume).collect();
    let text = containers(&format!("volumes:\n{volumes}"))
        + "kind: volume\nmeta: {group: shop, name: data}\nspec: {driver: local}\n---\n"
        + "kind: volume\nmeta: {group: shop, name: logs}\nspec: {driver: local}\n";
    let rendered = world(&text).render();
    let sources: Vec<&str> = rendered.main.mounts.iter().map(|m| m.source.as_str()).collect();
    assert_eq!(sources, ["shop-data", "shop-logs", "other"]);
    let needs: Vec<String> = rendered.needs.iter().map(ObjectKey::short).collect();
    assert_eq!(needs, ["volume/shop/data", "volume/shop/logs"]);
}

#[test]
fn networks_give_names_and_are_needed_when_they_are_objects() {
    let text = containers(
        "networks: [{group: shop, name: front}, {group: docker, name: bridge}, \
         {group: x, name: theirs}]",
    ) + "kind: network\nmeta: {group: shop, name: front}\nspec: {driver: bridge}\n";
    let world = world(&text);
    let rendered = world.render();
    let told: Vec<_> =
        rendered.main.networks.iter().map(|n| (n.network.as_str(), n.aliases.clone())).collect();
    let aliases = |network: &str| {
        vec![format!("{network}.shop-web-1.private"), format!("{network}.shop.web.private")]
    };
    assert_eq!(told, [("front", aliases("front")), ("theirs", aliases("theirs"))]);
    assert_eq!(rendered.needs.len(), 1);
    // The one that is no object yet is looked at again when it becomes one.
    assert!(world.try_render(1).1.contains(&ObjectKey::new(Kind::Network, "x", "theirs")));
}

#[test]
fn a_container_in_the_nodes_network_joins_no_other() {
    let mut world = world(&containers("networks: [{group: shop, name: front}]"));
    for definition in world.0.values_mut() {
        if let Spec::Containers(spec, _) = &mut definition.spec {
            "host".clone_into(&mut spec.network_mode);
        }
    }
    assert!(world.render().main.networks.is_empty());
}

#[test]
fn registry_credentials_are_decoded() {
    // base64 of `kim:a:b` with the newline `echo` adds.
    let rendered = world(&containers("registryAuth: a2ltOmE6Ygo=")).render();
    let auth = rendered.auth.unwrap();
    assert_eq!((auth.username.as_str(), auth.password.as_str()), ("kim", "a:b"));
    for bad in ["%%%", "bm9jb2xvbg=="] {
        let spec = format!("registryAuth: '(( \"{bad}\" ))'");
        refused(&spec, "InvalidRegistryAuth", &["spec.registryAuth", "`user:password`"]);
    }
}

#[test]
fn probes_are_rendered_with_their_defaults() {
    let spec = r"
configuration: {port: '8080', token: abc}
readiness:
  - {name: web, url: 'http://localhost:(( .port ))/', body: {t: '(( .token ))'}, timeout: 5s}
  - {name: '', tcp: '(( .port ))'}
liveness:
  - {name: alive, command: [check, '(( .token ))'], interval: 3s, failures: 2}";
    let rendered = world(&containers(spec)).render();
    let web = &rendered.readiness[0];
    let ProbeCheck::Url { url, method, body } = &web.check else { panic!() };
    assert_eq!((url.as_str(), *method), ("http://localhost:8080/", HttpMethod::Get));
    assert_eq!(body["t"], "abc");
    assert_eq!(web.timeout, Duration::from_secs(5));
    let tcp = &rendered.readiness[1];
    assert!(tcp.check == ProbeCheck::Tcp(8080));
    assert_eq!((tcp.name.as_str(), tcp.timeout), ("tcp", DEFAULT_PROBE_TIMEOUT));
    let alive = &rendered.liveness[0];
    assert!(alive.check == ProbeCheck::Command(vec!["check".into(), "abc".into()]));
    assert_eq!((alive.interval, alive.failures), (Duration::from_secs(3), 2));
}

#[test]
fn labels_of_the_object_are_rendered_and_give_way_to_those_of_the_spec() {
    let text = containers("labels: {a: spec}")
        .replace("name: web}", "name: web, labels: {a: meta, b: '(( .index ))'}}");
    let labels = world(&text).render().main.labels;
    assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("spec", "1"));
}

#[test]
fn equal_input_gives_equal_containers() {
    let spec = r#"envs: ['T=(( now | unixEpoch ))', 'J=(( dict "b" 1 "a" 2 | toJson ))']"#;
    let text = containers(spec);
    let (one, two) = (world(&text).render(), world(&text).render());
    assert_eq!(one.main.env[0], format!("T={}", at("2026-01-02T03:04:05Z").as_second()));
    assert_eq!(canonical_json(&one.main), canonical_json(&two.main));
    // The grace time of a stop does not make a container another one.
    let other = world(&containers(&format!("{spec}\nstopTimeout: 3s"))).render();
    assert_eq!(other.stop_timeout, Duration::from_secs(3));
    assert_eq!(canonical_json(&one.main), canonical_json(&other.main));
}

mod properties {
    use proptest::prelude::*;
    use smr_model::spec::{ObjectNameRef, Probe as ProbeSpec, ResourceMount};

    use super::*;

    /// Texts that are templates often enough.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,12}",
            r#"[a-c.( )|"]{0,16}"#,
            "[a-c]".prop_map(|name| format!("(( .{name} ))")),
            ("(secret|configuration|runtime)", "[a-c]", "[a-c]")
                .prop_map(|(kind, name, key)| format!("x(( lookup \"{kind}/g/{name}:{key}\" ))")),
            any::<String>(),
        ]
    }

    fn data() -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map("[a-c]", text(), 0..3)
    }

    fn spec() -> impl Strategy<Value = ContainersSpec> {
        let texts = || proptest::collection::vec(text(), 0..3);
        (texts(), texts(), data(), data(), text(), texts()).prop_map(
            |(envs, command, configuration, labels, registry_auth, other)| ContainersSpec {
                envs,
                configuration,
                labels,
                registry_auth,
                configurations: other
                    .iter()
                    .map(|_| ObjectNameRef { group: "g".into(), name: "a".into() })
                    .collect(),
                resources: other
                    .iter()
                    .map(|key| ResourceMount {
                        group: "g".into(),
                        name: "b".into(),
                        key: key.clone(),
                        ..Default::default()
                    })
                    .collect(),
                readiness: vec![
                    ProbeSpec { command, ..Default::default() },
                    ProbeSpec { tcp: other.concat(), ..Default::default() },
                ],
                ..Default::default()
            },
        )
    }

    proptest! {
        /// Any definition over any data gives containers or a reason, the same ones each time.
        #[test]
        fn rendering_never_panics_and_is_stable(spec in spec(), a in data(), b in data(), c in data()) {
            let mut objects = world(
                "kind: configuration\nmeta: {group: g, name: a}\nspec: {data: {}}\n---\n\
                 kind: secret\nmeta: {group: g, name: c}\nspec: {data: {}}\n---\n\
                 kind: resource\nmeta: {group: g, name: b}\nspec: {data: {}}\n---\n\
                 kind: containers\nmeta: {group: g, name: w}\nspec: {image: i, tag: t}\n",
            );
            for definition in objects.0.values_mut() {
                match &mut definition.spec {
                    Spec::Configuration(it) => it.data = a.clone(),
                    Spec::Secret(it) => it.data = c.clone(),
                    Spec::Resource(it) => it.data = b.clone(),
                    Spec::Containers(it, _) => {
                        **it = spec.clone();
                    }
                    _ => {}
                }
            }
            let (one, used) = objects.try_render(1);
            let (two, again) = objects.try_render(1);
            prop_assert_eq!(used, again);
            match (one, two) {
                (Ok(one), Ok(two)) => {
                    prop_assert_eq!(canonical_json(&one.main), canonical_json(&two.main));
                }
                (Err(one), Err(two)) => prop_assert_eq!(one.message, two.message),
                _ => prop_assert!(false, "rendered once and not again"),
            }
        }
    }
}
