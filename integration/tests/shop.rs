//! The examples, as a user applies them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, time::Duration};

use smr_integration::{Lab, Node, wait};

#[test]
fn the_shop_answers_through_all_its_parts() {
    let Some(lab) = Lab::require() else { return };
    for image in ["nginx", "app", "postgres", "redis"] {
        lab.image(image).unwrap();
    }
    let node = Node::start(&lab, "").unwrap();
    node.ok(&["apply", &example("shop"), "--wait"]).unwrap();

    let first = lab.curl(&["-f", "http://127.0.0.1:8090/stock"]).unwrap();
    assert!(first.contains("STOCK\napples: 12\npears: 7\nplums: 30"), "{first}");
    let second = lab.curl(&["-f", "http://127.0.0.1:8090/stock"]).unwrap();
    assert_ne!(first.lines().next(), second.lines().next(), "the cache counts");

    node.ok(&["remove", &example("shop"), "--wait"]).unwrap();
    assert_eq!(node.containers("shop-").unwrap(), []);
}

#[test]
fn applying_hello_twice_changes_nothing() {
    let Some(lab) = Lab::require() else { return };
    let node = Node::start(&lab, "").unwrap();
    node.ok(&["apply", &example("hello"), "--wait"]).unwrap();
    let before = node.wait_running("hello-", 1, Duration::from_secs(30)).unwrap();
    let page = || lab.curl(&["-f", "http://127.0.0.1:8080/"]).map_err(|error| format!("{error:#}"));
    let page = wait("the page", Duration::from_secs(10), page).unwrap();
    assert!(page.starts_with("Hello from hello-web-1 on node "), "{page}");

    node.ok(&["apply", &example("hello"), "--wait"]).unwrap();
    assert_eq!(node.containers("hello-").unwrap(), before);
}

fn example(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    path.canonicalize().unwrap().to_string_lossy().into_owned()
}
