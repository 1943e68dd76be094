//! Reads and writes with 10,000 stored objects; `smrctl ps` beside `docker ps` with as many rows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use smr_integration::{Lab, Node, wait};

use super::{
    node,
    requests::Requests,
    stats::{median, ms, percentile, ratio, table, verdict},
};

/// Stored objects.
const OBJECTS: usize = 10_000;

/// Rows in the tables compared.
const ROWS: usize = 1_000;

/// Processes of each kind.
const CALLS: usize = 50;

pub(super) fn api(lab: &Lab) -> Result<()> {
    let node = node(lab, "")?;
    let load = load_objects(&node)?;
    println!("\n{OBJECTS} objects stored in {load:.1?} by one `smrctl apply`\n");
    let middle = OBJECTS / 2;
    let one = configuration(middle);
    let path = format!("/api/v1/objects/configuration/bench/c{middle}");
    let requests = Requests::new(lab, &node)?;
    let mut lines = Vec::new();
    let mut line = |what: &str, samples: Vec<Duration>| {
        lines.push(vec![
            what.to_owned(),
            samples.len().to_string(),
            ms(percentile(&samples, 0.5)),
            ms(percentile(&samples, 0.99)),
        ]);
    };
    line("request: get one", requests.sample(1000, &path, None)?);
    line("request: apply one, unchanged", requests.sample(1000, "/api/v1/apply", Some(&one))?);
    let all = "/api/v1/objects?kind=configuration";
    line("request: list all", requests.sample(50, all, None)?);
    line("request: list all, names", requests.sample(50, &format!("{all}&names=true"), None)?);

    // Whole processes: start, handshake, request, output.
    let file = node.file("one.yaml", &one)?;
    let object = format!("configuration/bench/c{middle}");
    for (what, arguments) in [
        ("smrctl version --client", vec!["version", "--client"]),
        ("smrctl get", vec!["get", object.as_str()]),
        ("smrctl apply, unchanged", vec!["apply", file.as_str()]),
        ("smrctl list, names", vec!["list", "configuration", "--output", "name"]),
    ] {
        line(what, sample(CALLS, || node.ok(&arguments).map(drop))?);
    }
    table(&["", "samples", "p50", "p99"], &lines);
    compare_ps(lab, &node)
}

fn configuration(number: usize) -> String {
    format!(
        "prefix: simplecontainer.io/v1\nkind: configuration\nmeta: {{group: bench, name: c{number}}}\n\
         spec: {{data: {{key: value {number}}}}}\n"
    )
}

/// Stores all objects; returns how long it took.
fn load_objects(node: &Node) -> Result<Duration> {
    let documents: Vec<String> = (0..OBJECTS).map(configuration).collect();
    let path = node.file("objects.yaml", &documents.join("---\n"))?;
    let start = Instant::now();
    node.ok(&["apply", &path])?;
    Ok(start.elapsed())
}

/// Replicas that wait for ever make rows without containers; created containers make rows in Docker.
fn compare_ps(lab: &Lab, node: &Node) -> Result<()> {
    let yaml = format!(
        "prefix: simplecontainer.io/v1\nkind: containers\nmeta: {{group: bench, name: rows}}\nspec:\n  \
         image: busybox\n  replicas: {ROWS}\n  dependencies: [{{group: bench, name: never}}]\n"
    );
    node.ok(&["apply", &node.file("rows.yaml", &yaml)?])?;
    wait("all rows in `smrctl ps`", Duration::from_mins(2), || {
        let text = node.ok(&["ps"]).map_err(|error| format!("{error:#}"))?;
        let rows = text.matches("bench-rows-").count();
        if rows >= ROWS { Ok(()) } else { Err(format!("{rows} rows")) }
    })?;
    let mut connection = lab.docker().connect();
    for _ in 0..ROWS {
        let body = json!({"Image": "busybox:latest", "Cmd": ["true"]});
        smr_integration::docker::call(&mut connection, "POST", "/containers/create", Some(&body))?;
    }
    let peer = sample(20, || {
        let output = lab.docker_cli().args(["ps", "--all"]).output()?;
        let rows = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(rows > ROWS, "docker ps shows {rows} lines");
        Ok(())
    })?;
    let ours = sample(20, || node.ok(&["ps"]).map(drop))?;
    println!("\ntable of {ROWS} rows, median of 20\n");
    table(
        &["", "median"],
        &[
            vec!["docker ps --all".to_owned(), ms(median(&peer))],
            vec!["smrctl ps".to_owned(), ms(median(&ours))],
        ],
    );
    println!("\nours / peer: {}", verdict(ratio(median(&ours), median(&peer)), 5.0));
    Ok(())
}

fn sample(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    (0..count)
        .map(|_| {
            let start = Instant::now();
            call()?;
            Ok(start.elapsed())
        })
        .collect()
}
