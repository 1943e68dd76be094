//! Who has no certificate gets nothing.

use smr_integration::{Lab, Node};

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
