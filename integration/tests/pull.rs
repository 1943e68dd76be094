//! Images come from a real registry: open, private, out of reach and back, with a tag that moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use smr_integration::{Lab, Node, Registry, wait};

const LIMIT: Duration = Duration::from_mins(1);

/// One replica of an image of the registry; `extra` are further lines of its `spec`.
fn definition(name: &str, image: &str, extra: &[&str]) -> String {
    let (repository, tag) = image.rsplit_once(':').unwrap();
    let mut text = format!(
        "prefix: simplecontainer.io/v1\nkind: containers\nmeta: {{group: pull, name: {name}}}\nspec:\n  \
         image: {repository}\n  tag: '{tag}'\n  args: [sleep, '3600']\n  stopSignal: SIGKILL\n"
    );
    for line in extra {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// Applies without waiting for anything.
fn apply(node: &Node<'_>, yaml: &str) -> String {
    let path = node.file("apply.yaml", yaml).unwrap();
    let said = node.ok(&["apply", &path]).unwrap();
    fs::remove_file(path).unwrap();
    said
}

/// Waits until the status of the first replica of object `name` is as wanted, and returns it.
fn status(node: &Node<'_>, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let seen = wait(&format!("`{name}`: {what}"), LIMIT, || {
        let text = node.ok(&["ps", "--output", "json"]).map_err(|error| format!("{error:#}"))?;
        let all: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let found = all.as_array().and_then(|all| all.iter().find(|it| it["key"]["name"] == name));
        match found {
            Some(found) if wanted(found) => Ok(found.clone()),
            _ => Err(all.to_string()),
        }
    });
    seen.unwrap_or_else(|error| panic!("{error:#}\nnode log:\n{}", node.log()))
}

fn is_running(status: &Value) -> bool {
    status["state"] == "running" && status["imageState"] == "pulled"
}

/// Whether it failed with this code and a message with these words.
fn failed(status: &Value, code: &str, words: &str) -> bool {
    let message = status["reason"]["message"].as_str().unwrap_or_default();
    status["state"] == "daemon_failure"
        && status["imageState"] == "failed"
        && status["reason"]["code"] == code
        && message.contains(words)
}

/// Which of the pushed images the container was made from.
fn version(lab: &Lab, container: &str) -> String {
    let said = lab.docker().exec(container, &["cat", "/version"]).unwrap();
    said.output.trim().to_owned()
}

#[test]
fn an_image_the_engine_lacks_is_pulled_and_runs() {
    let Some(lab) = Lab::require() else { return };
    let Some(registry) = Registry::require(&lab, None) else { return };
    let image = registry.push("pull/app:1", "first").unwrap();
    let pinned = registry.push("pull/pinned:1", "pinned").unwrap();
    let digest = registry.tag("pull/pinned:1", "old").unwrap();
    registry.push("pull/pinned:2", "moved").unwrap();
    registry.tag("pull/pinned:2", "1").unwrap();
    let node = Node::start(&lab, "").unwrap();

    // As long as the registry keeps silent, the pull is under way.
    registry.freeze().unwrap();
    apply(&node, &definition("app", &image, &[]));
    status(&node, "app", "pulling", |it| it["imageState"] == "pulling" && it["state"] == "start");
    assert_eq!(node.containers("pull-").unwrap(), []);
    registry.thaw().unwrap();

    let running = status(&node, "app", "running", is_running);
    assert_eq!(running["image"], image.as_str());
    assert_eq!(running.get("reason"), None, "nothing is left of the wait");
    assert_eq!(version(&lab, "pull-app-1"), "first");
    assert!(node.ok(&["images"]).unwrap().contains(&image));

    let by_digest =
        definition("pinned", &pinned, &[]).replace("tag: '1'", &format!("tag: {digest}"));
    apply(&node, &by_digest);
    let running = status(&node, "pinned", "running", is_running);
    assert_eq!(running["image"], pinned.replace(":1", &format!("@{digest}")));
    assert_eq!(version(&lab, "pull-pinned-1"), "pinned", "the tag has moved, the digest has not");
}

#[test]
fn a_private_image_needs_the_credentials_and_nobody_sees_them() {
    // Distinctive, and each with the form in which definitions hold it.
    const RIGHT: &str = "zq-registry-password-5521";
    const RIGHT_AUTH: &str = "Y2k6enEtcmVnaXN0cnktcGFzc3dvcmQtNTUyMQ==";
    const WRONG: &str = "zq-mistaken-password-8034";
    const WRONG_AUTH: &str = "Y2k6enEtbWlzdGFrZW4tcGFzc3dvcmQtODAzNA==";
    let secret = |auth: &str| {
        format!(
            "prefix: simplecontainer.io/v1\nkind: secret\nmeta: {{group: pull, name: registry}}\n\
             spec: {{data: {{auth: {auth}}}}}\n"
        )
    };
    let Some(lab) = Lab::require() else { return };
    let Some(registry) = Registry::require(&lab, Some(("ci", RIGHT))) else { return };
    let image = registry.push("pull/private:1", "private").unwrap();
    let init = registry.push("pull/init:1", "init").unwrap();
    let node = Node::start(&lab, "[telemetry]\nlog_level = \"debug\"\n").unwrap();

    let denied = |it: &Value| failed(it, "ImagePullFailed", "access denied");
    let mut shown = vec![apply(&node, &definition("app", &image, &[]))];
    status(&node, "app", "denied without credentials", denied);
    assert!(!registry.log().contains("error authenticating user"), "none were sent");

    let inline = format!("registryAuth: {WRONG_AUTH}");
    shown.push(apply(&node, &definition("app", &image, &[&inline])));
    wait("the registry to refuse the wrong password", LIMIT, || {
        let log = registry.log();
        if log.contains("error authenticating user") { Ok(()) } else { Err(log) }
    })
    .unwrap();
    status(&node, "app", "denied with a wrong password", |it| it["generation"] == 2 && denied(it));

    // By lookup: first nothing is there, then the wrong thing, then the right one.
    let lookup = [
        "configuration: {registry: '(( lookup \"secret/pull/registry:auth\" ))'}",
        "registryAuth: (( .registry ))",
    ];
    shown.push(apply(&node, &definition("app", &image, &lookup)));
    status(&node, "app", "waiting for the secret", |it| {
        it["state"] == "pending" && it["reason"]["code"] == "MissingObject"
    });
    shown.push(apply(&node, &secret(WRONG_AUTH)));
    status(&node, "app", "denied with a wrong secret", denied);
    shown.push(apply(&node, &secret(RIGHT_AUTH)));
    status(&node, "app", "running", is_running);
    assert_eq!(version(&lab, "pull-app-1"), "private");

    // An init container has credentials of its own.
    let with_init = definition("two", &image, &lookup)
        + &format!(
            "initContainer:\n  image: {}\n  tag: '1'\n  args: ['true']\n  \
             registryAuth: (( lookup \"secret/pull/registry:auth\" ))\n",
            init.rsplit_once(':').unwrap().0
        );
    shown.push(apply(&node, &with_init));
    status(&node, "two", "running", is_running);

    for arguments in [
        &["ps", "--output", "wide"][..],
        &["ps", "--output", "json"],
        &["images"],
        &["list", "containers", "--output", "json"],
        &["get", "containers/pull/app"],
        &["get", "secret/pull/registry"],
        &["inspect", "containers/pull/pull-app-1"],
        &["debug", "containers/pull/pull-app-1"],
        &["events", "--past"],
    ] {
        shown.push(node.ok(arguments).unwrap());
    }
    shown.push(lab.docker().inspect("pull-app-1").unwrap().to_string());
    shown.push(node.log());
    for text in &shown {
        for needle in [RIGHT, RIGHT_AUTH, WRONG, WRONG_AUTH] {
            assert!(!text.contains(needle), "`{needle}` is shown in: {text}");
        }
    }
}

#[test]
fn a_registry_out_of_reach_is_tried_again_and_told_apart_from_a_missing_tag() {
    let Some(lab) = Lab::require() else { return };
    let Some(mut registry) = Registry::require(&lab, None) else { return };
    let image = registry.push("pull/app:1", "first").unwrap();
    registry.stop().unwrap();
    let node = Node::start(&lab, "").unwrap();

    apply(&node, &definition("app", &image, &[]));
    let unreachable = |it: &Value| failed(it, "ImagePullFailed", "could not be reached");
    let mut delays = vec![SignedDuration::ZERO];
    while delays.len() < 4 {
        let longer = |it: &Value| delay(it).is_some_and(|delay| delay > delays[delays.len() - 1]);
        let seen = status(&node, "app", "out of reach, tried again after a longer delay", |it| {
            unreachable(it) && longer(it)
        });
        assert!(seen["reason"]["message"].as_str().unwrap().contains(&image), "{seen}");
        delays.push(delay(&seen).unwrap());
    }

    registry.resume().unwrap();
    status(&node, "app", "running", is_running);
    assert_eq!(version(&lab, "pull-app-1"), "first");

    let absent = image.replace("app:1", "app:7");
    apply(&node, &definition("absent", &absent, &[]));
    let missing = |it: &Value| failed(it, "ImagePullFailed", "the registry has no such image");
    status(&node, "absent", "missing in the registry", missing);
    registry.tag("pull/app:1", "7").unwrap();
    status(&node, "absent", "running", is_running);
}

/// Time from the failure to the next attempt.
fn delay(status: &Value) -> Option<SignedDuration> {
    let time = |field: &str| status[field].as_str()?.parse::<Timestamp>().ok();
    Some(time("retryAt")?.duration_since(time("since")?))
}

#[test]
fn always_follows_a_moved_tag_and_never_does_not_ask_the_registry() {
    let Some(lab) = Lab::require() else { return };
    let Some(registry) = Registry::require(&lab, None) else { return };
    let image = registry.push("pull/app:1", "first").unwrap();
    registry.push("pull/app:2", "second").unwrap();
    let other = registry.push("pull/other:1", "other").unwrap();
    let node = Node::start(&lab, "").unwrap();

    node.apply(&definition("moved", &image, &["pullPolicy: Always"])).unwrap();
    node.apply(&definition("kept", &image, &[])).unwrap();
    registry.tag("pull/app:2", "1").unwrap();
    for (name, expected) in [("kept", "first"), ("moved", "second")] {
        let container = format!("pull-{name}-1");
        let before = lab.docker().inspect(&container).unwrap()["Id"].clone();
        node.ok(&["restart", &format!("containers/pull/{container}")]).unwrap();
        status(&node, name, "another container running", |it| {
            is_running(it) && it["containerId"] != before
        });
        assert_eq!(version(&lab, &container), expected, "{name}");
    }

    let asked = registry.log().len();
    apply(&node, &definition("never", &other, &["pullPolicy: Never"]));
    let refused = |it: &Value| failed(it, "ImageMissing", "pullPolicy is Never");
    status(&node, "never", "missing and not pulled", refused);
    assert!(!registry.log()[asked..].contains("/v2/"), "{}", &registry.log()[asked..]);

    // Somebody else brings it.
    registry.pull(&other).unwrap();
    status(&node, "never", "running", is_running);
    assert_eq!(version(&lab, "pull-never-1"), "other");
}
