//! A secret is in the container that asked for it, and nowhere else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use smr_integration::{Lab, Node};

/// Distinctive, so that finding it anywhere is finding the secret.
const PLAIN: &str = "zq-top-secret-value-7193";

/// The same as it is stored by convention.
const ENCODED: &str = "enEtdG9wLXNlY3JldC12YWx1ZS03MTkz";

#[test]
fn a_secret_is_in_the_container_and_nowhere_else() {
    let Some(lab) = Lab::require() else { return };
    let mut node = Node::start(&lab, "[telemetry]\nlog_level = \"debug\"\n").unwrap();
    let yaml = format!(
        "prefix: simplecontainer.io/v1\nkind: secret\nmeta: {{group: safe, name: key}}\n\
         spec: {{data: {{value: {ENCODED}}}}}\n---\n\
         prefix: simplecontainer.io/v1\nkind: containers\nmeta: {{group: safe, name: box}}\nspec:\n  \
         image: busybox\n  tag: latest\n  args: [sleep, '3600']\n  stopSignal: SIGKILL\n  \
         configuration:\n    value: (( lookup \"secret/safe/key:value\" | base64decode ))\n  \
         envs: ['VALUE=(( .value ))']\n  \
         readiness: [{{command: [sh, -c, 'test -n \"$VALUE\"']}}]\n"
    );
    let applied = node.apply(&yaml).unwrap();
    fs::remove_file(node.dir().join("apply.yaml")).unwrap();
    let inside = lab.docker().exec("safe-box-1", &["sh", "-c", "echo $VALUE"]).unwrap();
    assert_eq!(inside.output.trim(), PLAIN);

    let mut shown = vec![("apply".to_owned(), applied)];
    for arguments in [
        &["ps"][..],
        &["ps", "--output", "json"],
        &["list", "secret", "--output", "json"],
        &["list", "containers", "--output", "json"],
        &["get", "secret/safe/key"],
        &["get", "containers/safe/box"],
        &["inspect", "containers/safe/safe-box-1"],
        &["events", "--past"],
        &["logs", "containers/safe/safe-box-1"],
        &["debug", "containers/safe/safe-box-1"],
        &["health"],
    ] {
        shown.push((arguments.join(" "), node.ok(arguments).unwrap()));
    }
    shown.push(("node log".to_owned(), node.log()));
    shown.push(("process list".to_owned(), process_list()));
    for (what, text) in &shown {
        assert_hidden(what, text.as_bytes());
    }

    let revealed = node.ok(&["get", "secret/safe/key", "--reveal"]).unwrap();
    assert!(revealed.contains(ENCODED), "an administrator may ask: {revealed}");

    node.stop().unwrap();
    let files = files_below(&node.data_dir());
    assert!(!files.is_empty());
    for file in files {
        assert_hidden(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    assert_hidden("node log after the end", node.log().as_bytes());
}

fn assert_hidden(what: &str, bytes: &[u8]) {
    for needle in [PLAIN, ENCODED] {
        let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert!(!found, "`{needle}` is shown by: {what}");
    }
}

/// Command lines of all processes, but not of this one and its children that look for it.
fn process_list() -> String {
    let mut list = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(line) = fs::read(entry.path().join("cmdline")) {
            list.push_str(&String::from_utf8_lossy(&line).replace('\0', " "));
            list.push('\n');
        }
    }
    list
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
