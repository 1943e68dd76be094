//! Commands about the node of this machine, without one.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::run::Place;

#[test]
fn a_configuration_is_written_once_and_is_valid() {
    let place = Place::new();
    insta::assert_snapshot!(place.transcript(&[
        &["smr", "config", "init", "etc/smr.toml"],
        &["smr", "config", "check", "etc/smr.toml"],
        &["smr", "config", "check", "--config", "etc/smr.toml"],
        &["smr", "config", "init", "etc/smr.toml"],
        &["smr", "config", "check", "missing.toml"],
    ]));
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let place = Place::new();
    place.file("smr.toml", "[api]\nlisten = [\"localhost\"]\n[nodes]\nname = 1\n[data]\ndir = 5\n");
    insta::assert_snapshot!(place.transcript(&[
        &["smr", "config", "check", "smr.toml"],
        &["smr", "start", "--config", "smr.toml"],
        &["smr", "start", "--config", "missing.toml"],
        &["smr", "start", "--data-dir", "data", "--listen", "here", "--option", "api.nothing=1"],
    ]));
}

#[test]
fn the_node_gets_the_configuration_with_flags_on_top() {
    let place = Place::new();
    let data = place.work().join("data").display().to_string();
    let ran = place.run(&["smr", "start", "--name", "n-7", "--data-dir", &data]);
    assert_eq!(ran.stderr, "error: the node did not start\n  caused by: no node for `n-7`\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
}

#[test]
fn a_join_token_comes_by_a_file_and_goes_from_the_environment() {
    let place = Place::new();
    let data = place.work().join("data");
    let file = data.join(".node.json.join-token");
    let start = ["smr", "start", "--role", "worker", "--data-dir", data.to_str().unwrap()];
    let started = |stderr: &str| stderr.contains("caused by: no node for `");
    let ran = place.run_with(&[&start[..], &["--token-file", "-"]].concat(), "token-1\n");
    assert!(started(&ran.stderr), "{ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "token-1\n");
    let output = place.command(&start).env("SMR_JOIN_TOKEN", "token-2").output().unwrap();
    assert!(started(&String::from_utf8_lossy(&output.stderr)), "{output:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "token-2\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // A file that is named wins, and a worker has to join something.
    let named = [&start[..], &["--token-file", "token-3"]].concat();
    let output = place.command(&named).env("SMR_JOIN_TOKEN", "x").output().unwrap();
    assert!(started(&String::from_utf8_lossy(&output.stderr)), "{output:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "token-2\n");
    let ran = place.run(&start);
    assert!(ran.stderr.contains("is for nodes that join a cluster"), "{ran:?}");
    assert_eq!(place.run_with(&[&start[..], &["--token-file", "-"]].concat(), "").code, 2);
}

#[test]
fn what_does_not_run_cannot_be_stopped() {
    let place = Place::new();
    let data = place.work().join("data").display().to_string();
    let not_running = "error: no node runs in `PLACE/work/data`\n\
        hint: start it with `smr start`; if its data is elsewhere, name it with `--data-dir` or \
        `--config`\n";
    let ran = place.run(&["smr", "stop", "--data-dir", &data]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, not_running));
    // The id of a process that is not ours: nobody holds the lock, so nobody is signalled.
    fs::create_dir(&data).unwrap();
    fs::write(format!("{data}/smr.lock"), format!("{}\n", std::process::id())).unwrap();
    let ran = place.run(&["smr", "stop", "--data-dir", &data]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, not_running));
    let ran = place.run(&["smr", "status", "--data-dir", &data]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "not running (PLACE/work/data)\n"));
}

#[test]
fn backups_are_never_written_over_each_other() {
    let place = Place::new();
    place.file("a.backup", "");
    let ran = place.run(&["smr", "backup", "create", "a.backup"]);
    assert_eq!(
        ran.stderr,
        "error: `a.backup` exists\nhint: use another name, or replace it with `--force`\n"
    );
    assert_eq!(ran.code, 1);
}

#[test]
fn empty_variables_count_as_unset() {
    let place = Place::new();
    let mut command = place.command(&["smr", "config", "show"]);
    let output = command.env("SMR_CONFIG", "").env("SMR_CONTEXT", "").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let output = command.env("SMR_CONFIG", "missing.toml").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
