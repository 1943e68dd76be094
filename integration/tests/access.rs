//! Who has no good certificate gets nothing; who has one gets what the role allows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use jiff::Timestamp;
use smr_integration::{Lab, Node, smr_binary};
use smr_pki::{Authority, Context, ContextStore, Role, Subject};

/// Paths of the control API and what people try first.
const PATHS: &[&str] = &[
    "/",
    "/connect",
    "/healthz",
    "/metrics",
    "/api/v1/health",
    "/api/v1/version",
    "/api/v1/objects",
    "/api/v1/objects/secret/safe/key",
    "/api/v1/replicas",
    "/api/v1/events",
    "/api/v1/watch",
    "/api/v1/nodes",
    "/api/v1/backup",
    "/api/v1/openapi.json",
];

#[test]
fn a_client_without_a_certificate_gets_nothing_from_any_route() {
    let Some(lab) = Lab::require() else { return };
    let node = Node::start(&lab, "").unwrap();
    node.ok(&["ps"]).unwrap();
    for path in PATHS {
        for method in ["GET", "POST", "DELETE"] {
            let url = format!("https://127.0.0.1:1443{path}");
            let answer = lab
                .command("curl")
                .args(["-sk", "--max-time", "10", "-X", method, "-w", "%{http_code}", &url])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&answer.stdout);
            assert!(!answer.status.success(), "{method} {path}: {said}");
            assert_eq!(said, "000", "{method} {path}: no byte of an answer");
        }
    }
    let plain = lab.curl(&["http://127.0.0.1:1443/"]);
    assert!(plain.is_err(), "no plain HTTP on the control port: {plain:?}");
    node.ok(&["ps"]).unwrap();
}

const SECRET: &str = "
prefix: simplecontainer.io/v1
kind: secret
meta: {group: safe, name: key}
spec: {data: {value: c2VjcmV0LW9mLXRoZS1zYWZl}}
";

const CONFIGURATION: &str = "
prefix: simplecontainer.io/v1
kind: configuration
meta: {group: safe, name: settings}
spec: {data: {colour: blue}}
";

#[test]
fn a_viewer_reads_but_neither_writes_nor_sees_secrets() {
    let Some(lab) = Lab::require() else { return };
    let (node, authority) = node_with_authority(&lab);
    node.apply(SECRET).unwrap();
    node.apply(CONFIGURATION).unwrap();
    add_context(&node, "watcher", &authority, Role::Viewer, Timestamp::now());

    let read = node.ok(&["--context", "watcher", "get", "configuration/safe/settings"]).unwrap();
    assert!(read.contains("blue"), "{read}");
    for command in ["get", "inspect"] {
        let masked = node.ok(&["--context", "watcher", command, "secret/safe/key"]).unwrap();
        assert!(!masked.contains("c2VjcmV0"), "{masked}");
    }
    let other = node.file("other.yaml", &CONFIGURATION.replace("blue", "red")).unwrap();
    for refused in [
        &["get", "secret/safe/key", "--reveal"][..],
        &["apply", &other],
        &["remove", "configuration/safe/settings"],
        &["restart", "containers/safe/safe-box-1"],
    ] {
        let output = node.smrctl(&[&["--context", "watcher"], refused].concat()).unwrap();
        assert_eq!(output.code, 1, "{refused:?}: {output:?}");
        assert!(!output.stdout.contains("c2VjcmV0"), "{output:?}");
        assert!(output.stderr.contains("viewer"), "says whose role is too small: {output:?}");
    }
    let after = node.ok(&["get", "configuration/safe/settings"]).unwrap();
    assert!(after.contains("blue"), "nothing changed: {after}");
}

#[test]
fn a_user_made_on_the_command_line_may_what_its_role_allows() {
    let Some(lab) = Lab::require() else { return };
    let node = Node::start(&lab, "").unwrap();
    node.apply(CONFIGURATION).unwrap();
    let data = node.data_dir().to_string_lossy().into_owned();
    let create = ["user", "create", "bob", "--role", "viewer", "--data-dir", &data];
    let made = node.program("smr").args(create).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let line = String::from_utf8(made.stdout).unwrap();
    node.ok(&["context", "import", "--name", "bob", line.trim()]).unwrap();

    let read = node.ok(&["--context", "bob", "get", "configuration/safe/settings"]).unwrap();
    assert!(read.contains("blue"), "{read}");
    let other = node.file("other.yaml", &CONFIGURATION.replace("blue", "red")).unwrap();
    let output = node.smrctl(&["--context", "bob", "apply", &other]).unwrap();
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("role `viewer` of `bob` may not"), "{output:?}");
}

#[test]
fn an_operator_changes_workloads_but_does_not_see_secrets() {
    let Some(lab) = Lab::require() else { return };
    let (node, authority) = node_with_authority(&lab);
    node.apply(SECRET).unwrap();
    add_context(&node, "worker", &authority, Role::Operator, Timestamp::now());
    let path = node.file("settings.yaml", CONFIGURATION).unwrap();
    node.ok(&["--context", "worker", "apply", &path]).unwrap();
    let masked = node.ok(&["--context", "worker", "get", "secret/safe/key"]).unwrap();
    assert!(!masked.contains("c2VjcmV0"), "{masked}");
    let refused =
        node.smrctl(&["--context", "worker", "get", "secret/safe/key", "--reveal"]).unwrap();
    assert_eq!(refused.code, 1, "{refused:?}");
}

#[test]
fn an_expired_certificate_and_a_strangers_one_are_refused() {
    let Some(lab) = Lab::require() else { return };
    let (node, authority) = node_with_authority(&lab);
    let last_year = Timestamp::now() - Duration::from_hours(24 * 365);
    add_context(&node, "late", &authority, Role::Admin, last_year);
    let stranger = Authority::create(Duration::from_hours(24), Timestamp::now()).unwrap();
    add_context(&node, "stranger", &stranger, Role::Admin, Timestamp::now());
    for name in ["late", "stranger"] {
        let output = node.smrctl(&["--context", name, "ps"]).unwrap();
        assert_ne!(output.code, 0, "{name}: {output:?}");
        assert_eq!(output.stdout, "", "{name}");
    }
}

/// A node that found an authority where it begins its own, and that authority: a test may have what no
/// user can.
fn node_with_authority(lab: &Lab) -> (Node<'_>, Authority) {
    let mut node = Node::prepare(lab, &smr_binary().unwrap(), "").unwrap();
    let pki = node.data_dir().join("pki");
    smr_pki::ensure_private_dir(&node.data_dir()).unwrap();
    smr_pki::ensure_private_dir(&pki).unwrap();
    let lifetime = Duration::from_hours(24 * 365);
    let authority = Authority::load_or_create(&pki, lifetime, Timestamp::now()).unwrap();
    node.restart().unwrap();
    assert!(!pki.join("ca.key").exists(), "the key is in the state now, sealed, and only there");
    (node, authority)
}

/// A context with a certificate of an hour from `now`.
fn add_context(node: &Node, name: &str, authority: &Authority, role: Role, now: Timestamp) {
    let subject = Subject::user(name, role).unwrap();
    let credentials = authority.issue(&subject, Duration::from_hours(1), now).unwrap();
    let context = Context::new(name, "localhost:1443", credentials.bundle()).unwrap();
    let store = ContextStore::open(node.dir().join("home/.smrctl/contexts"));
    store.save(&context).unwrap();
}
