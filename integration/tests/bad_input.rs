//! Bad input against real nodes: the message is pinned, the exit code is not zero, and nothing
//! changes. The messages are in `bad_input/*.txt`; `SMR_REGENERATE=1` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "bad_input/cases.rs"]
mod cases;
#[path = "bad_input/directory.rs"]
mod directory;
#[path = "bad_input/joining.rs"]
mod joining;
#[path = "bad_input/members.rs"]
mod members;
#[path = "bad_input/told.rs"]
mod told;

use std::time::Duration;

use jiff::Timestamp;
use smr_integration::{Lab, Node, smr_binary};
use smr_pki::{Authority, Context, ContextStore, Role, Subject};

use crate::{cases::CASES, told::Told};

const HOUR: Duration = Duration::from_hours(1);

const GOOD: &str = "kind: configuration\nmeta: {group: a, name: fine}\nspec: {data: {a: b}}\n";
const SAFE: &str = "kind: secret\nmeta: {group: a, name: safe}\nspec: {data: {key: bWFya2Vy}}\n";
const USED: &str = "kind: volume\nmeta: {group: a, name: disk}\n---\n\
                    kind: network\nmeta: {group: a, name: wire}\n---\n\
                    kind: containers\nmeta: {group: a, name: user}\nspec:\n  image: x\n  \
                    replicas: 0\n  networks: [{group: a, name: wire}]\n  volumes: \
                    [{type: volume, name: disk, mountPoint: /disk}]\n";

#[test]
fn every_bad_input_has_its_message_fails_and_changes_nothing() {
    let Some(lab) = Lab::require() else { return };
    let (node, authority) = node_with_authority(&lab, "[node]\nname = \"pinned\"\n");
    node.apply(SAFE).unwrap();
    node.apply(USED).unwrap();
    node.file("good.yaml", GOOD).unwrap();
    for (name, mebibytes) in [("value.yaml", 9), ("large.yaml", 40)] {
        let value = "x".repeat(mebibytes << 20);
        let head = "kind: configuration\nmeta: {group: a, name: b}\nspec: {data: {a: ";
        node.file(name, &format!("{head}{value}}}}}\n")).unwrap();
    }
    make_contexts(&node, &authority);

    let before = state(&node);
    let mut told = Told::new("messages.txt");
    for case in CASES {
        let rules = case.arguments.contains(&"RULES");
        let text =
            if rules { format!("{CONTAINERS}  {}\n", case.text) } else { case.text.to_owned() };
        let file = node.file("input", &text).unwrap();
        let (program, arguments) = match case.arguments {
            ["smr", arguments @ ..] => ("smr", arguments),
            arguments => ("smrctl", arguments),
        };
        let with_file = |a: &&'static str| if ["FILE", "RULES"].contains(a) { &file } else { *a };
        let arguments: Vec<&str> = arguments.iter().map(with_file).collect();
        let output = node.program(program).args(&arguments).output().unwrap();
        let shown = if rules { "apply FILE".to_owned() } else { case.arguments.join(" ") };
        let line = format!("{}{shown}", if program == "smr" { "" } else { "smrctl " });
        told.take(&node, case.name, &line, &file, &output);
    }
    assert_eq!(state(&node), before, "nothing was changed by any of it");
    // What no node can run is accepted, and says why it waits.
    for (name, rule) in [
        ("waits: for a node that does not exist", "spread: {spread: specific, agents: [99]}"),
        ("waits: for a label", "placement: {constraints: [node.labels.zone==mars]}"),
    ] {
        let file = node.file("input", &format!("{CONTAINERS}  {rule}\n")).unwrap();
        let arguments = ["apply", &file, "--wait", "--timeout", "1s"];
        let output = node.program("smrctl").args(arguments).output().unwrap();
        told.take(&node, name, "smrctl apply FILE --wait --timeout 1s", &file, &output);
    }
    told.pinned();
}

const CONTAINERS: &str = "kind: containers\nmeta: {group: a, name: b}\nspec:\n  image: x\n";

/// All that users can change, each object with the revision of its last change. (The revision of the
/// whole also counts what nodes say of themselves.)
fn state(node: &Node) -> String {
    let mut all = String::new();
    for kind in ["configuration", "secret", "containers", "network", "volume"] {
        all += &node.ok(&["list", kind, "--output", "json"]).unwrap();
    }
    for more in [&["token", "ls"][..], &["cluster", "settings"]] {
        all += &node.ok(&[more, &["--output", "json"]].concat()).unwrap();
    }
    let nodes = node.ok(&["node", "ls", "--output", "json"]).unwrap();
    let nodes: serde_json::Value = serde_json::from_str(&nodes).unwrap();
    for node in nodes["items"].as_array().unwrap() {
        for field in ["id", "name", "role", "availability", "labels"] {
            all += &format!("{field}: {}\n", node[field]);
        }
    }
    all
}

/// A node that found an authority where it begins its own, and that authority: a test may have what no
/// user can.
fn node_with_authority<'lab>(lab: &'lab Lab, config: &str) -> (Node<'lab>, Authority) {
    let mut node = Node::prepare(lab, &smr_binary().unwrap(), config).unwrap();
    let pki = node.data_dir().join("pki");
    smr_pki::ensure_private_dir(&node.data_dir()).unwrap();
    smr_pki::ensure_private_dir(&pki).unwrap();
    let authority = Authority::load_or_create(&pki, HOUR * 24 * 365, Timestamp::now()).unwrap();
    node.restart().unwrap();
    (node, authority)
}

fn make_contexts(node: &Node, authority: &Authority) {
    let now = Timestamp::now();
    let stranger = Authority::create(HOUR, now).unwrap();
    let store = ContextStore::open(node.dir().join("home/.smrctl/contexts"));
    let contexts = [
        ("late", authority, Role::Admin, now - HOUR * 2, "localhost:1443"),
        ("early", authority, Role::Admin, now + HOUR * 2, "localhost:1443"),
        ("stranger", &stranger, Role::Admin, now, "localhost:1443"),
        ("watcher", authority, Role::Viewer, now, "localhost:1443"),
        ("elsewhere", authority, Role::Admin, now, "localhost:9"),
    ];
    for (name, authority, role, at, api) in contexts {
        let subject = Subject::user(name, role).unwrap();
        let credentials = authority.issue(&subject, HOUR, at).unwrap();
        store.save(&Context::new(name, api, credentials.bundle()).unwrap()).unwrap();
    }
}
