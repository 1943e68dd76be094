//! Properties that hold for any input.

use proptest::prelude::*;
use smr_model::{
    Bytes, Cpus, Definition, GoDuration, InitContainer, Meta, ObjectRef, SourceName, Spec,
    canonical_json, diff, explain, is_scale_only, natural_cmp, parse, parse_value, ports,
    spec::{
        ContainersSpec, DataSpec, Dependency, NetworkSpec, Port, Probe, PullPolicy, RestartPolicy,
        Volume,
    },
    to_yaml, validate,
};

/// Texts that YAML could take for something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,8}",
        "[ -~]{0,20}",
        "[a-z \\n\\t:#'\"-]{0,24}",
        prop::sample::select(vec![
            "yes",
            "0644",
            "8.0",
            "null",
            "~",
            "",
            "- a",
            "a: b",
            "# c",
            "1e3",
            "<<",
            " x ",
            "x\n",
            "x\n\n",
            "\n",
            "*a",
            "&a",
            "!t",
            "|",
            ">",
            "%",
            "@",
            "`",
            "true",
            "\u{7}",
            "ünï",
            "0x1F",
            "a\r\nb",
            "\u{85}",
            "\u{2028}",
            "\u{feff}x",
            "---",
            "...",
            "=",
            "?",
            "? x",
            "-",
            "1_000",
            "2001-01-01",
            ".inf",
            "((.x))",
            "a\\b",
            "x:",
            "\u{1f600}",
            "[x",
            "{x",
            "x, y",
            "\ta",
        ])
        .prop_map(str::to_owned),
    ]
}

fn map() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    prop::collection::btree_map(text(), text(), 0..4)
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(text(), 0..4)
}

fn duration() -> impl Strategy<Value = Option<GoDuration>> {
    prop::option::of(
        (0u64..10_000_000).prop_map(|ms| GoDuration(std::time::Duration::from_millis(ms))),
    )
}

fn containers() -> impl Strategy<Value = ContainersSpec> {
    let probe = (texts(), duration(), map(), prop::option::of(0u32..9)).prop_map(
        |(command, timeout, body, failures)| Probe {
            command,
            timeout,
            body,
            failures,
            ..Default::default()
        },
    );
    let volume = (text(), text(), any::<bool>()).prop_map(|(host_path, mount_point, read_only)| {
        Volume { host_path, mount_point, read_only, ..Default::default() }
    });
    (
        (text(), text(), prop::option::of(0u32..50), texts(), texts(), map()),
        prop::collection::vec(probe, 0..3),
        prop::collection::vec((text(), text()), 0..3),
        prop::collection::vec(volume, 0..3),
        (
            prop::option::of(any::<u32>().prop_map(|n| Bytes(n.into()))),
            prop::option::of((0u64..100_000).prop_map(Cpus)),
            prop::sample::select(vec![RestartPolicy::Always, RestartPolicy::OnFailure]),
            prop::sample::select(vec![PullPolicy::Always, PullPolicy::IfNotPresent]),
        ),
    )
        .prop_map(
            |((image, tag, replicas, envs, args, labels), readiness, pairs, volumes, rest)| {
                ContainersSpec {
                    image,
                    tag,
                    replicas,
                    envs,
                    args,
                    labels,
                    readiness,
                    volumes,
                    ports: pairs
                        .iter()
                        .map(|(c, h)| Port { container: c.clone(), host: h.clone() })
                        .collect(),
                    dependencies: pairs
                        .into_iter()
                        .map(|(group, name)| Dependency { group, name, ..Default::default() })
                        .collect(),
                    memory: rest.0,
                    cpus: rest.1,
                    restart: rest.2,
                    pull_policy: rest.3,
                    ..Default::default()
                }
            },
        )
}

/// Like [`containers`], but valid: free texts only where any text is allowed.
fn valid_containers() -> impl Strategy<Value = ContainersSpec> {
    containers().prop_map(|spec| ContainersSpec {
        image: "nginx".to_owned(),
        tag: "1.25".to_owned(),
        envs: spec.envs.into_iter().map(|value| format!("KEY={value}")).collect(),
        labels: spec.labels.into_iter().map(|(key, value)| (format!("x{key}"), value)).collect(),
        configuration: spec.ports.into_iter().map(|port| (port.container, port.host)).collect(),
        readiness: spec
            .readiness
            .into_iter()
            .filter(|p| !p.command.is_empty() && p.timeout != Some(GoDuration::default()))
            .collect(),
        ports: vec![],
        volumes: vec![],
        dependencies: vec![],
        memory: spec.memory.map(|memory| Bytes(memory.0.max(6 << 20))),
        cpus: spec.cpus.map(|cpus| Cpus(cpus.0.max(10))),
        ..spec
    })
}

fn definition() -> impl Strategy<Value = Definition> {
    let spec = prop_oneof![
        valid_containers().prop_map(|spec| Spec::Containers(Box::new(spec), None)),
        (containers(), prop::option::of(containers())).prop_map(|(spec, init)| Spec::Containers(
            Box::new(spec),
            init.map(Box::<InitContainer>::new)
        )),
        map().prop_map(|data| Spec::Secret(DataSpec { data })),
        map().prop_map(|data| Spec::Resource(DataSpec { data })),
        (text(), map()).prop_map(|(driver, options)| {
            Spec::Network(NetworkSpec { driver, options, ..Default::default() })
        }),
        map().prop_map(|data| Spec::Custom(
            data.into_iter().map(|(k, v)| (k, serde_json::Value::String(v))).collect()
        )),
    ];
    ("[a-z]{1,9}", "[a-z]{1,9}", map(), spec).prop_map(|(group, name, labels, spec)| Definition {
        prefix: smr_model::DEFAULT_PREFIX.to_owned(),
        meta: Meta { group, name, labels, owner: None },
        spec,
    })
}

fn source() -> SourceName {
    SourceName::new("any")
}

/// Text made of the pieces that matter to YAML, so that deep code is reached.
fn yamlish() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "kind: ",
        "containers",
        "secret",
        "meta:",
        "spec:",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "a: ",
        "&a ",
        "*a",
        "<<: ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        "\"",
        "|",
        ">-",
        "---",
        "...",
        "#",
        "!!str ",
        "? ",
        ": ",
        "image: ",
        "group: g",
        "name: n",
        "0644",
        "~",
        "ports:",
        "container: 80",
        "\t",
        "data:",
        "replicas: ",
        "-1",
        "99999999999999999999",
        "1.5",
        "é",
        "%YAML 1.2\n",
        "\u{0}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_panic(text in any::<String>()) {
        let parsed = parse(&text, &source());
        prop_assert!(parsed.issues.iter().all(|i| !i.to_string().contains('\n')));
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in any::<Vec<u8>>()) {
        parse(&String::from_utf8_lossy(&bytes), &source());
    }

    #[test]
    fn any_yaml_like_text_is_parsed_without_panic(text in yamlish()) {
        let parsed = parse(&text, &source());
        prop_assert!(parsed.issues.iter().all(|i| !i.to_string().contains('\n')));
    }

    #[test]
    fn canonical_json_is_read_again(definition in definition()) {
        let json = canonical_json(&definition);
        let again: Definition = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&again, &definition);
        prop_assert_eq!(canonical_json(&again), json);
    }

    /// Whatever is valid survives being written as YAML, and as JSON.
    #[test]
    fn written_definitions_are_read_again(definition in definition()) {
        let valid = validate(&definition).iter().all(|p| p.severity != smr_model::Severity::Error);
        let yaml = to_yaml(&definition);
        let parsed = parse(&yaml, &source());
        prop_assert_eq!(!parsed.has_errors(), valid, "{:?}\n{}", parsed.issues, yaml);
        let json = parse_value(&serde_json::to_value(&definition).unwrap(), &source());
        prop_assert_eq!(!json.has_errors(), valid);
        if valid {
            prop_assert_eq!(&parsed.documents[0].definition, &definition, "{}", yaml);
            prop_assert_eq!(&json.documents[0].definition, &definition);
        }
    }

    #[test]
    fn nothing_differs_from_itself(definition in definition()) {
        prop_assert_eq!(diff(&definition, &definition), vec![]);
        prop_assert!(!is_scale_only(&definition, &definition));
    }

    #[test]
    fn differences_mirror(old in definition(), new in definition()) {
        let paths = |changes: Vec<smr_model::Change>| {
            let mut paths: Vec<String> = changes.into_iter().map(|c| c.path).collect();
            paths.sort();
            paths
        };
        prop_assert_eq!(diff(&old, &new).is_empty(), old == new);
        prop_assert_eq!(paths(diff(&old, &new)), paths(diff(&new, &old)));
    }

    #[test]
    fn secrets_are_neither_in_redacted_forms_nor_in_differences(value in "s3cr3t[a-z]{8}", other in text()) {
        let secret = |value: &str| Definition {
            prefix: smr_model::DEFAULT_PREFIX.to_owned(),
            meta: Meta { group: "a".to_owned(), name: "b".to_owned(), ..Default::default() },
            spec: Spec::Secret(DataSpec { data: [("k".to_owned(), value.to_owned())].into() }),
        };
        prop_assert!(!to_yaml(&secret(&value).redacted()).contains(&value));
        let changes = format!("{:?}", diff(&secret(&value), &secret(&other)));
        prop_assert!(!changes.contains(&value));
        let debug = format!("{:?}", secret(&value));
        prop_assert!(!debug.contains(&value));
    }

    #[test]
    fn quantities_are_written_as_they_are_read(text in "[0-9.]{1,9}(ns|us|ms|s|m|h|d|Ki|MiB|g|b)?") {
        if let Ok(duration) = text.parse::<GoDuration>() {
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
        if let Ok(bytes) = text.parse::<Bytes>() {
            prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }
        if let Ok(cpus) = text.parse::<Cpus>() {
            prop_assert_eq!(cpus.to_string().parse(), Ok(cpus));
        }
    }

    #[test]
    fn small_parsers_do_not_panic(one in any::<String>(), other in any::<String>()) {
        let _ = one.parse::<GoDuration>();
        let _ = one.parse::<Bytes>();
        let _ = one.parse::<Cpus>();
        let _ = one.parse::<ObjectRef>();
        let _ = explain(&one);
        let port = Port { container: one.clone(), host: other.clone() };
        let _ = ports(&ContainersSpec { ports: vec![port], ..Default::default() });
        prop_assert_eq!(natural_cmp(&one, &other), natural_cmp(&other, &one).reverse());
    }
}
