//! The Docker API as tests and benches use it: import, list, inspect, exec, kill, remove.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::Connection;

/// One engine, named by its socket. Each call opens a connection of its own; what needs speed keeps a
/// [`Connection`].
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
}

/// A row of the container list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// Name without the leading slash.
    pub name: String,
    /// Full id.
    pub id: String,
    /// `running`, `exited`, `created`, ...
    pub state: String,
    /// Image as it was asked for.
    pub image: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
}

/// What a command in a container printed, and how it ended.
#[derive(Debug)]
pub struct Executed {
    /// Exit code.
    pub code: i64,
    /// Standard output and standard error, interleaved as they came.
    pub output: String,
}

impl Docker {
    /// The engine behind `socket`.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The socket, for clients of another make.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A kept-alive connection to this engine.
    pub fn connect(&self) -> Connection {
        Connection::new(&self.socket)
    }

    /// Whether the engine answers.
    pub fn answers(&self) -> bool {
        self.connect().request("GET", "/_ping", None).is_ok_and(|answer| answer.status == 200)
    }

    /// One call with JSON in and out; an error status becomes an error with Docker's message.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        call(&mut self.connect(), method, path, body)
    }

    /// All containers, sorted by name; `filters` as Docker's API takes them, e.g. `{"label":["a=b"]}`.
    pub fn containers(&self, filters: &Value) -> Result<Vec<Container>> {
        let path = format!("/containers/json?all=1&filters={}", encode(&filters.to_string()));
        let rows = self.call("GET", &path, None)?;
        let mut containers: Vec<Container> = rows
            .as_array()
            .context("container list is not an array")?
            .iter()
            .map(|row| Container {
                name: text(&row["Names"][0]).trim_start_matches('/').to_owned(),
                id: text(&row["Id"]),
                state: text(&row["State"]),
                image: text(&row["Image"]),
                labels: row["Labels"]
                    .as_object()
                    .map(|map| map.iter().map(|(key, value)| (key.clone(), text(value))).collect())
                    .unwrap_or_default(),
            })
            .collect();
        containers.sort();
        Ok(containers)
    }

    /// Everything Docker knows about one container.
    pub fn inspect(&self, container: &str) -> Result<Value> {
        self.call("GET", &format!("/containers/{container}/json"), None)
    }

    /// SIGKILL to the container's first process.
    pub fn kill(&self, container: &str) -> Result<()> {
        self.call("POST", &format!("/containers/{container}/kill"), None).map(drop)
    }

    /// Removes a container, running or not, with its anonymous volumes.
    pub fn remove(&self, container: &str) -> Result<()> {
        self.call("DELETE", &format!("/containers/{container}?force=1&v=1"), None).map(drop)
    }

    /// Creates and starts a container that smr has nothing to do with; returns its id.
    pub fn run(&self, name: &str, image: &str, command: &[&str]) -> Result<String> {
        let body = json!({"Image": image, "Cmd": command});
        let created = self.call("POST", &format!("/containers/create?name={name}"), Some(&body))?;
        let id = text(&created["Id"]);
        self.call("POST", &format!("/containers/{id}/start"), None)?;
        Ok(id)
    }

    /// Runs a command in a container and waits for its end.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<Executed> {
        // A terminal, so that the stream is plain text instead of frames.
        let body = json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true, "Tty": true});
        let path = format!("/containers/{container}/exec");
        let id = text(&self.call("POST", &path, Some(&body))?["Id"]);
        let start = json!({"Detach": false, "Tty": true}).to_string();
        let answer = self.connect().request(
            "POST",
            &format!("/exec/{id}/start"),
            Some(("application/json", start.as_bytes())),
        )?;
        let output = String::from_utf8_lossy(&answer.body).replace("\r\n", "\n");
        let state = self.call("GET", &format!("/exec/{id}/json"), None)?;
        Ok(Executed { code: state["ExitCode"].as_i64().unwrap_or(-1), output })
    }

    /// Value of a label of a local image; `None` when there is no such image or label.
    pub fn image_label(&self, image: &str, label: &str) -> Option<String> {
        let image = self.call("GET", &format!("/images/{image}/json"), None).ok()?;
        image["Config"]["Labels"][label].as_str().map(str::to_owned)
    }

    /// Makes a one-layer image out of a root file system; `changes` are Dockerfile lines.
    pub fn import(&self, image: &str, tar: &Path, changes: &[String]) -> Result<()> {
        let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        let mut path =
            format!("/images/create?fromSrc=-&repo={}&tag={}", encode(name), encode(tag));
        for change in changes {
            path.push_str("&changes=");
            path.push_str(&encode(change));
        }
        let bytes = std::fs::read(tar).with_context(|| format!("read `{}`", tar.display()))?;
        let answer = self.connect().request("POST", &path, Some(("application/x-tar", &bytes)))?;
        let said = String::from_utf8_lossy(&answer.body);
        if answer.status >= 300 || said.contains("\"error\"") {
            bail!("docker refused to import `{image}`: {}", said.trim());
        }
        Ok(())
    }
}

/// One call on a kept-alive connection, JSON in and out.
pub fn call(
    connection: &mut Connection,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let body = body.map(|_| ("application/json", text.as_bytes()));
    let answer = connection.request(method, path, body)?;
    let said = String::from_utf8_lossy(&answer.body);
    if answer.status >= 400 {
        bail!("{method} {path}: {} {}", answer.status, said.trim());
    }
    Ok(serde_json::from_str(&said).unwrap_or(Value::Null))
}

/// Percent-encodes a query value.
pub fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_percent_encoded() {
        assert_eq!(encode(r#"CMD ["sh"]"#), "CMD%20%5B%22sh%22%5D");
    }
}
