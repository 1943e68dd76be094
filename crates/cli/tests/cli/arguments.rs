//! Help and wrong usage.

use crate::run::Place;

#[test]
fn help_of_the_three_names() {
    let place = Place::new();
    insta::assert_snapshot!(place.transcript(&[
        &["smrctl", "--help"],
        &["smr", "--help"],
        &["smrmgr", "--help"],
        &["smrctl", "apply", "--help"],
        &["smrctl", "exec", "--help"],
        &["smr", "start", "--help"],
        &["smrmgr", "start", "--help"],
        &["smrctl", "node", "--help"],
        &["smrctl", "token", "create", "--help"],
        &["smrctl", "rollout", "--help"],
        &["smrctl", "cert", "--help"],
        &["smr", "agent", "--help"],
    ]));
}

#[test]
fn wrong_usage_says_what_is_wrong_and_ends_with_2() {
    let place = Place::new();
    let lines: &[&[&str]] = &[
        &["smrctl", "aply"],
        &["smrctl", "apply"],
        &["smrctl", "apply", "x", "--timeout", "5m"],
        &["smrctl", "apply", "x", "--wait", "--timeout", "soon"],
        &["smrctl", "ps", "container5"],
        &["smrctl", "ps", "secrts"],
        &["smrctl", "ps", "--output", "xml"],
        &["smrctl", "get"],
        &["smrctl", "get", ""],
        &["smrctl", "get", "containers/a/"],
        &["smrctl", "get", "containers"],
        &["smrctl", "get", "nonsense/a/b"],
        &["smrctl", "get", "a/b/c/d/e"],
        &["smrctl", "logs", "secret/a/b"],
        &["smrctl", "logs", "container5/a/b"],
        &["smrctl", "exec", "-it", "a-b-1", "sh"],
        &["smrctl", "logs", "containers/a/b-1", "--tail", "-1"],
        &["smrctl", "logs", "containers/a/b-1", "--since", "yesterday"],
        &["smrctl", "logs", "containers/a/b-1", "--container", "side"],
        &["smrctl", "exec", "containers/a/b-1", "-c", "ls", "--", "ls"],
        &["smrctl", "exec", "containers/a/b-1", "-c", "ls 'x"],
        &["smrctl", "exec", "containers/a/b-1", "-c", ""],
        &["smrctl", "events", "--timeout", "5s"],
        &["smrctl", "events", "--resource", "/"],
        &["smrctl", "explain", "containers.prots"],
        &["smrctl", "explain", "pods"],
        &["smrctl", "completion", "tcsh"],
        &["smrctl", "context", "export", "a", "b"],
        &["smrctl", "remove", "nonsense/a/b"],
        &["smr", "config", "drop"],
        &["smr", "start", "--option", "telemetry.log_level"],
        &["smr", "stop", "--timeout", "x"],
        &["smrmgr", "install"],
        &["smrmgr", "service-start", "--now"],
        &["smrmgr", "start", "-n", "a", "-a", "b"],
        &["smrctl", "node", "label", "n1"],
        &["smrctl", "node", "label", "n1", "zone"],
        &["smrctl", "node", "drain", "n1", "--timeout", "5m"],
        &["smrctl", "cluster", "settings", "colour=red"],
        &["smrctl", "cluster", "settings", "voters=many"],
        &["smrctl", "token", "create", "--uses", "0"],
        &["smrctl", "token", "create", "--role", "leader"],
        &["smrctl", "token", "create", "--ttl", "soon"],
        &["smrctl", "token", "rm"],
        &["smrctl", "cert", "rotate-ca", "forward"],
        &["smrctl", "rollout", "status", "secret/a/b"],
        &["smrctl", "rollout", "undo", "containers/a/b", "--to", "last"],
        &["smrctl", "explain", "secret/a/b"],
        &["smr", "start", "--role", "leader"],
        &["smr", "agent", "upgrade", "quay.io/some/image", "v2"],
        &["smrmgr", "stop", "--now", "--drain-timeout", "5m"],
        &["smrmgr", "start", "-c", "--bogus 1"],
        &["smrmgr", "launch"],
    ];
    for line in lines {
        assert_eq!(place.run(line).code, 2, "{line:?}");
    }
    insta::assert_snapshot!(place.transcript(lines));
}

#[test]
fn requests_that_cannot_be_met_end_with_1() {
    let place = Place::new();
    place.file("empty.yaml", "# nothing\n---\n");
    let lines: &[&[&str]] = &[
        &["smrctl", "context"],
        &["smrctl", "ps"],
        &["smrctl", "get", "containers/a/b"],
        &["smrctl", "describe", "a-b-1"],
        &["smrctl", "delete", "containers/a/b"],
        &["smrctl", "restart", "a-b-1"],
        &["smrctl", "ps", "--context", "nowhere"],
        &["smrctl", "ps", "--context", "../x"],
        &["smrctl", "apply", "missing.yaml"],
        &["smrctl", "apply", "empty.yaml"],
        &["smrctl", "apply", "-"],
        &["smrctl", "apply", "http://localhost:1/x.yaml"],
        &["smrctl", "remove", "missing.yaml"],
        &["smrctl", "context", "switch", "nowhere"],
        &["smrctl", "context", "remove", "nowhere"],
        &["smrctl", "context", "import"],
        &["smrctl", "context", "import", "zz", "zz"],
        &["smrctl", "context", "import", "00ff", "00"],
        &["smrctl", "context", "export"],
        &["smrctl", "node", "ls"],
        &["smrctl", "plan", "missing.yaml"],
        &["smr", "agent", "peer"],
        &["smr", "agent", "export", "--node", "nowhere"],
        &["smr", "agent", "restart", "--data-dir", "/nonexistent"],
        &["smr", "upgrade", "missing", "--data-dir", "/nonexistent"],
        &["smrmgr", "stop", "--data-dir", "/nonexistent"],
        &["smrmgr", "start", "-j"],
        &["smrmgr", "start", "-j", "smr1.example.com:1443"],
    ];
    for line in lines {
        assert_eq!(place.run(line).code, 1, "{line:?}");
    }
    insta::assert_snapshot!(place.transcript(lines));
}

#[test]
fn what_needs_nobody_works_without_anybody() {
    let place = Place::new();
    let version = place.run(&["smrctl", "version"]);
    assert_eq!((version.code, version.stdout.as_str()), (0, "v0.1.0\n"));
    assert_eq!(version.stderr, "note: version of the node unknown: no active context found\n");
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["smrctl", "completion", shell]);
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains("smrctl"), "{}", script.stdout);
    }
    let explained = place.run(&["smrctl", "explain", "containers.readiness.timeout"]);
    assert_eq!(explained.code, 0, "{}", explained.stderr);
    let schema = place.run(&["smrctl", "schema"]);
    assert!(schema.stdout.starts_with('{'));
}

#[test]
fn candidates_for_completion_come_without_a_cluster_too() {
    let place = Place::new();
    let output = place
        .command(&["smrctl", "--", "smrctl", "list", "con"])
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "2")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["configuration", "containers"]);
}

#[test]
fn nobody_reading_is_no_failure() {
    let place = Place::new();
    let mut child = place
        .command(&["smrctl", "schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
