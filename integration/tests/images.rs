//! The images of the examples, by themselves: what goes wrong here is no fault of the node.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use smr_integration::{Docker, Lab, images::image_name, wait};

#[test]
fn the_shop_works_with_plain_docker() {
    let Some(lab) = Lab::require() else { return };
    for image in ["nginx", "app", "postgres", "redis"] {
        lab.image(image).unwrap();
    }
    let docker = lab.docker();
    docker.call("POST", "/networks/create", Some(&json!({"Name": "shop"}))).unwrap();
    start(docker, "db", "postgres", &["POSTGRES_PASSWORD=x y'z", "POSTGRES_DB=shop"], &json!({}));
    start(docker, "cache", "redis", &[], &json!({}));
    start(docker, "app", "app", &[], &json!({}));
    let published = json!({"PortBindings": {"80/tcp": [{"HostPort": "8090"}]}});
    start(docker, "web", "nginx", &[], &published);
    let page = || lab.curl(&["http://127.0.0.1:8090/"]).map_err(|error| format!("{error:#}"));
    assert_eq!(wait("published port", Duration::from_secs(20), page).unwrap(), "it works\n");

    let query = "PGPASSWORD=\"x y'z\" psql -h db -U postgres -d shop -Atc 'select 6 * 7'";
    let answer = until_ok(docker, "app", query);
    assert_eq!(answer.trim(), "42");
    let refused = docker.exec("app", &["sh", "-c", "PGPASSWORD=n psql -h db -U postgres -c ''"]);
    assert_ne!(refused.unwrap().code, 0, "the password is checked over the network");
    assert_eq!(until_ok(docker, "app", "redis-cli -h cache ping").trim(), "PONG");
    assert_eq!(until_ok(docker, "web", "wget -qO- http://127.0.0.1/").trim(), "it works");
}

fn start(docker: &Docker, name: &str, image: &str, envs: &[&str], host: &Value) {
    let mut host = host.clone();
    host["NetworkMode"] = json!("shop");
    let body = json!({
        "Image": image_name(image),
        "Env": envs,
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": host,
    });
    docker.call("POST", &format!("/containers/create?name={name}"), Some(&body)).unwrap();
    docker.call("POST", &format!("/containers/{name}/start"), None).unwrap();
}

/// Output of a shell command in a container once it succeeds.
fn until_ok(docker: &Docker, container: &str, script: &str) -> String {
    wait(script, Duration::from_secs(30), || match docker.exec(container, &["sh", "-c", script]) {
        Ok(done) if done.code == 0 => Ok(done.output),
        Ok(done) => Err(format!("{}: {}", done.code, done.output)),
        Err(error) => Err(format!("{error:#}")),
    })
    .unwrap()
}
