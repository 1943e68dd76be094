//! Who gets in, who may what, and what strangers see.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use http::StatusCode;
use smr_pki::{Authority, Role};
use smr_wire::{ErrorBody, routes};
use support::{Lab, client, client_without_certificate, lab, user};

const SECRET: &str = "kind: secret\nmeta: {group: g, name: s}\nspec: {data: {password: hunter2}}\n";

const READ: &str = "viewer operator admin node";
const CHANGE: &str = "operator admin";

/// Method, path and the roles that may; a row per route of the API.
const ROUTES: [(&str, &str, &str); 42] = [
    ("POST", routes::APPLY, CHANGE),
    ("POST", routes::REMOVE, CHANGE),
    ("GET", routes::OBJECTS, READ),
    ("GET", "/api/v1/objects/secret/g/s", READ),
    ("PATCH", "/api/v1/objects/secret/g/s", CHANGE),
    ("DELETE", "/api/v1/objects/secret/g/s", CHANGE),
    ("GET", routes::REPLICAS, READ),
    ("GET", "/api/v1/replicas/g/g-web-1", READ),
    ("POST", "/api/v1/replicas/g/g-web-1/restart", CHANGE),
    ("GET", "/api/v1/replicas/g/g-web-1/logs", READ),
    ("GET", "/api/v1/replicas/g/g-web-1/debug", READ),
    ("GET", "/api/v1/replicas/g/g-web-1/exec", "operator admin node"),
    ("GET", routes::EVENTS, READ),
    ("GET", routes::WATCH, READ),
    ("GET", routes::CLUSTER, READ),
    ("POST", routes::CLUSTER_JOIN, "admin join"),
    ("POST", routes::CLUSTER_TRANSFER, "admin node"),
    ("GET", routes::CLUSTER_SETTINGS, READ),
    ("PATCH", routes::CLUSTER_SETTINGS, "admin"),
    ("GET", routes::CLUSTER_AUTHORITIES, "admin"),
    ("POST", routes::CLUSTER_AUTHORITIES, "admin"),
    ("GET", routes::NODES, READ),
    ("GET", "/api/v1/nodes/node-1", READ),
    ("PATCH", "/api/v1/nodes/node-1", "admin"),
    ("DELETE", "/api/v1/nodes/node-1", "admin"),
    ("GET", routes::TOKENS, "admin"),
    ("POST", routes::TOKENS, "admin"),
    ("DELETE", "/api/v1/tokens/none", "admin"),
    ("POST", routes::USERS, "admin"),
    ("GET", routes::CERTIFICATES, "admin"),
    ("POST", routes::CERTIFICATES, "node"),
    ("POST", "/api/v1/certificates/nobody/revoke", "admin"),
    ("GET", "/api/v1/rollouts/g/web", READ),
    ("POST", "/api/v1/rollouts/g/web/pause", CHANGE),
    ("GET", "/api/v1/explain/g/web", READ),
    ("POST", routes::PLAN, CHANGE),
    ("GET", routes::IMAGES, READ),
    ("GET", routes::HEALTH, READ),
    ("GET", routes::VERSION, READ),
    ("GET", routes::BACKUP, "admin"),
    ("GET", routes::OPENAPI, READ),
    ("GET", routes::CONNECT, READ),
];

fn request(
    client: &reqwest::Client,
    lab: &Lab,
    method: &str,
    path: &str,
) -> reqwest::RequestBuilder {
    client.request(method.parse().unwrap(), lab.url(path))
}

#[tokio::test]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let lab = lab().await;
    lab.runtime.finish.notify_one();
    for role in Role::ALL {
        let client = lab.client(role);
        for (method, path, allowed) in ROUTES {
            let response = request(&client, &lab, method, path).send().await.unwrap();
            let allowed = allowed.split(' ').any(|word| word == role.as_str());
            let status = response.status();
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{role} {method} {path}");
            let error = if status.is_success() {
                None
            } else {
                Some(response.json::<ErrorBody>().await.unwrap().error)
            };
            // Who may join may still have no valid token.
            let by_role = error.and_then(|error| error.hint);
            let refused = by_role.is_some_and(|hint| hint.starts_with("allowed for "));
            assert_eq!(refused, !allowed, "{role} {method} {path}: {status}");
            assert!(!refused || status == StatusCode::FORBIDDEN);
        }
    }
}

#[tokio::test]
async fn the_matrix_above_has_every_route() {
    let document: serde_json::Value = serde_json::from_str(&smr_server::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let described: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(described, ROUTES.len());
}

#[tokio::test]
async fn without_a_certificate_there_is_no_answer_from_any_route() {
    let lab = lab().await;
    let stranger = client_without_certificate(&lab);
    let other = Authority::create(Duration::from_secs(3600), jiff::Timestamp::now()).unwrap();
    for (method, path, _) in ROUTES {
        let error = request(&stranger, &lab, method, path).send().await.unwrap_err();
        assert!(error.status().is_none(), "{method} {path}: {error}");
    }
    // A certificate of another cluster, shown to this one.
    let mut pem = support::bundle(&user(&other, Role::Admin, Duration::from_secs(3600)));
    let end = pem.rfind("-----BEGIN CERTIFICATE-----").unwrap();
    pem.truncate(end);
    let foreign = reqwest::Client::builder()
        .identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
        .tls_certs_only([reqwest::Certificate::from_pem(
            lab.authority.certificate_pem().as_bytes(),
        )
        .unwrap()])
        .build()
        .unwrap();
    assert!(request(&foreign, &lab, "GET", routes::CONNECT).send().await.is_err());
}

#[tokio::test]
async fn an_expired_certificate_gets_no_answer() {
    let lab = lab().await;
    let past = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    let subject = smr_pki::Subject::user("kim", Role::Admin).unwrap();
    let old = Authority::create(Duration::from_secs(3600 * 24 * 365), past).unwrap();
    drop(old);
    let expired = lab.authority.issue(&subject, Duration::from_secs(1), past);
    let client = client(&expired.unwrap());
    assert!(request(&client, &lab, "GET", routes::CONNECT).send().await.is_err());
}

#[tokio::test]
async fn a_viewer_changes_nothing_and_sees_no_secret() {
    let lab = lab().await;
    let (admin, operator, viewer) =
        (lab.client(Role::Admin), lab.client(Role::Operator), lab.client(Role::Viewer));
    request(&operator, &lab, "POST", routes::APPLY).body(SECRET).send().await.unwrap();
    let before = lab.control.revision();
    let refused = request(&viewer, &lab, "POST", routes::APPLY).body(SECRET).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(lab.control.revision(), before);

    let secret = "/api/v1/objects/secret/g/s";
    for path in [secret, routes::OBJECTS, routes::EVENTS] {
        let text = request(&viewer, &lab, "GET", path).send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("hunter2"), "{path}");
    }
    for path in [secret, routes::OBJECTS] {
        let path = format!("{path}?reveal=true");
        for client in [&viewer, &operator] {
            let refused = request(client, &lab, "GET", &path).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
        }
        let text = request(&admin, &lab, "GET", &path).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("hunter2"), "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let lab = lab().await;
    let admin = lab.client(Role::Admin);
    let from =
        |origin: String| request(&admin, &lab, "GET", routes::CONNECT).header("origin", origin);
    let evil = from("https://evil.example".to_owned()).send().await.unwrap();
    assert_eq!(evil.status(), StatusCode::FORBIDDEN);
    let own = from(format!("https://{}", lab.address)).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}
