//! Data directories that are not what they were.

use std::fs;

use smr_integration::{Lab, Node};

use crate::{GOOD, state, told::Told};

#[test]
fn a_damaged_data_directory_is_refused_and_nothing_is_made_up() {
    let Some(lab) = Lab::require() else { return };
    let mut node = Node::start(&lab, "[node]\nname = \"pinned\"\n").unwrap();
    node.apply(GOOD).unwrap();
    let mut told = Told::new("directory.txt");
    let start = |node: &Node| {
        let mut command = lab.command("timeout");
        command.arg("30").arg(node.dir().join("bin/smr"));
        command.args(["start", "--config"]).arg(node.dir().join("smr.toml"));
        command.env("HOME", node.dir().join("home")).env("NO_COLOR", "1");
        command.output().unwrap()
    };
    told.take(&node, "a second node in the same directory", "smr start", "", &start(&node));
    let before = state(&node);
    node.stop().unwrap();

    let record = "node.json";
    let text = fs::read_to_string(node.data_dir().join(record)).unwrap();
    let other_id = text.replacen("\"id\": 1", "\"id\": 7", 1);
    assert_ne!(other_id, text);
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("record: cut off", record, Some(&text[..text.len() / 2])),
        ("record: empty", record, Some("")),
        ("record: of another node", record, Some(&other_id)),
        ("key of the secrets: missing", "pki/data.key", None),
        ("key of the secrets: cut off", "pki/data.key", Some("short")),
        ("key of the node: something else", "pki/node.key", Some("something else")),
    ];
    for (name, file, text) in cases {
        let path = node.data_dir().join(file);
        let kept = fs::read(&path).unwrap();
        match text {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        told.take(&node, name, "smr start", "", &start(&node));
        let left = fs::read_to_string(&path).ok();
        assert_eq!(left.as_deref(), *text, "{name}: nothing was made up in its place");
        fs::write(&path, kept).unwrap();
    }
    node.restart().unwrap();
    assert_eq!(state(&node), before, "all is there when the directory is as it was");
    told.pinned();
}
