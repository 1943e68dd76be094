//! Requests to the control API by an ordinary client on one kept-alive connection.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use smr_integration::{Lab, Node};

/// `curl` with the certificate of the node's local administrator.
pub(super) struct Requests<'a> {
    lab: &'a Lab,
    node: &'a Node<'a>,
    bundle: String,
}

impl<'a> Requests<'a> {
    /// Takes key and certificates out of the context that the node made.
    pub(super) fn new(lab: &'a Lab, node: &'a Node<'a>) -> Result<Self> {
        let folder = node.dir().join("home/.smrctl/contexts");
        let pem = fs::read_dir(&folder)
            .with_context(|| format!("read `{}`", folder.display()))?
            .flatten()
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .find_map(|context| find_pem(&context))
            .context("no context with a certificate")?;
        let bundle = node.file("bundle.pem", &pem)?;
        Ok(Self { lab, node, bundle })
    }

    /// Times of `count` equal requests, without the handshake. `body` is posted if given.
    pub(super) fn sample(
        &self,
        count: usize,
        path: &str,
        body: Option<&str>,
    ) -> Result<Vec<Duration>> {
        // The first request pays for the handshake and is dropped.
        let one = format!("url = \"https://localhost:1443{path}\"\noutput = \"/dev/null\"\n");
        let script = self.node.file("requests.curl", &one.repeat(count + 1))?;
        let mut arguments = vec![
            "--fail",
            "--cert",
            &self.bundle,
            "--cacert",
            &self.bundle,
            "--max-time",
            "300",
            "--write-out",
            "%{time_total}\\n",
            "--config",
            &script,
        ];
        let posted = body.map(|body| self.node.file("body.yaml", body)).transpose()?;
        let data = posted.map(|file| format!("@{file}"));
        if let Some(data) = &data {
            arguments.extend(["--header", "Content-Type: application/yaml", "--data-binary", data]);
        }
        let printed = self.lab.curl(&arguments)?;
        let times: Vec<Duration> = printed
            .lines()
            .skip(1)
            .filter_map(|line| line.trim().parse().ok())
            .map(Duration::from_secs_f64)
            .collect();
        if times.len() != count {
            bail!("{} answers to {count} requests for {path}", times.len());
        }
        Ok(times)
    }
}

/// The first text in a document that holds certificates.
fn find_pem(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains("BEGIN CERTIFICATE").then(|| text.clone()),
        Value::Array(items) => items.iter().find_map(find_pem),
        Value::Object(map) => map.values().find_map(find_pem),
        _ => None,
    }
}
