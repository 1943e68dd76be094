//! From the engine's answers to [`Error`]: Docker tells most causes in prose only.

use std::time::Duration;

use bollard::errors::Error as ApiError;

use super::client::Endpoint;
use crate::error::{Conflict, Error, PullFailure};

/// What is being asked, for messages.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// For example `create container `a-b-1``.
    pub(super) operation: String,
    /// For example `container `a-b-1``.
    pub(super) what: String,
    /// Name of the thing.
    pub(super) name: String,
    /// Image reference, where a missing image is possible.
    pub(super) image: Option<String>,
}

impl Task {
    fn new(verb: &str, kind: &str, name: &str) -> Self {
        let what = format!("{kind} `{name}`");
        Self { operation: format!("{verb} {what}"), what, name: name.to_owned(), image: None }
    }

    pub(super) fn container(verb: &str, id_or_name: &str) -> Self {
        // Nobody reads 64 digits.
        let is_id = id_or_name.len() == 64 && id_or_name.bytes().all(|b| b.is_ascii_hexdigit());
        Self::new(verb, "container", if is_id { &id_or_name[..12] } else { id_or_name })
    }

    pub(super) fn network(verb: &str, name: &str) -> Self {
        Self::new(verb, "network", name)
    }

    pub(super) fn volume(verb: &str, name: &str) -> Self {
        Self::new(verb, "volume", name)
    }

    pub(super) fn image(verb: &str, reference: &str) -> Self {
        Self::new(verb, "image", reference)
    }

    pub(super) fn engine(verb: &str) -> Self {
        Self {
            operation: verb.to_owned(),
            what: "the engine".to_owned(),
            name: String::new(),
            image: None,
        }
    }

    pub(super) fn with_image(mut self, image: &str) -> Self {
        self.image = Some(image.to_owned());
        self
    }

    pub(super) fn timeout(&self, limit: Duration) -> Error {
        Error::Timeout { operation: self.operation.clone(), limit }
    }

    pub(super) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::Refused { operation: self.operation.clone(), source: words(reason) }
    }

    pub(super) fn other(&self, reason: impl Into<String>) -> Error {
        Error::Other { operation: self.operation.clone(), source: words(reason) }
    }

    pub(super) fn not_found(&self) -> Error {
        Error::NotFound { what: self.what.clone(), source: None }
    }

    pub(super) fn not_ours(&self) -> Error {
        Error::NotOurs { what: self.what.clone() }
    }
}

/// The engine's own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct EngineWords(String);

fn words(text: impl Into<String>) -> Box<dyn std::error::Error + Send + Sync> {
    let text = text.into();
    // The engine repeats a malformed variable in full, and its value may be secret.
    if text.contains("environment variable") {
        return Box::new(EngineWords("an environment variable is malformed".to_owned()));
    }
    Box::new(EngineWords(text.trim().to_owned()))
}

/// Whether the engine was not there or broke off.
pub(super) fn is_connection_error(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::IOError { .. }
            | ApiError::HyperResponseError { .. }
            | ApiError::HyperLegacyError { .. }
            | ApiError::SocketNotFoundError(_)
            | ApiError::RequestTimeoutError
    )
}

/// Whether the engine was replaced by one that speaks other versions.
pub(super) fn is_version_mismatch(error: &ApiError) -> bool {
    matches!(error, ApiError::DockerResponseServerError { status_code: 400, message }
        if message.contains("client version"))
}

/// Whether the answer was this status.
pub(super) fn is_status(error: &ApiError, status: u16) -> bool {
    matches!(error, ApiError::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Sorts an error by what the caller can do about it.
pub(super) fn classify(endpoint: &Endpoint, task: &Task, error: ApiError) -> Error {
    if is_connection_error(&error) {
        let source: Box<dyn std::error::Error + Send + Sync> = match error {
            // Its own text adds nothing to the cause.
            ApiError::HyperLegacyError { err } => Box::new(err),
            other => Box::new(other),
        };
        return Error::Unavailable { endpoint: endpoint.to_string(), source };
    }
    let (status, message) = match error {
        ApiError::DockerResponseServerError { status_code, message } => (status_code, message),
        ApiError::DockerStreamError { error } => (500, error),
        other => {
            return Error::Other { operation: task.operation.clone(), source: Box::new(other) };
        }
    };
    let lower = message.to_lowercase();
    let conflict = |conflict| Error::Conflict {
        operation: task.operation.clone(),
        conflict,
        source: Some(words(message.clone())),
    };
    if let Some(port) = port_in_use(&lower) {
        return conflict(Conflict::Port(port));
    }
    match status {
        404 => match &task.image {
            Some(image) if lower.contains("no such image") => {
                Error::ImageMissing { image: image.clone(), source: Some(words(message)) }
            }
            _ => {
                let what = missing_network(&message)
                    .map(|n| format!("network `{n}`"))
                    .unwrap_or_else(|| task.what.clone());
                Error::NotFound { what, source: Some(words(message)) }
            }
        },
        403 | 409 if lower.contains("active endpoints") || lower.contains("is in use") => {
            conflict(Conflict::InUse(task.what.clone()))
        }
        _ if lower.contains("pool overlaps") => {
            conflict(Conflict::InUse("the address range".to_owned()))
        }
        // Left by a start the engine did not survive: no name is taken, but this container will never
        // start again.
        _ if task_exists(&lower) => task.other(message),
        403 | 409 if lower.contains("already in use") || lower.contains("already exists") => {
            conflict(Conflict::Name(task.name.clone()))
        }
        400 | 403 => task.refused(message),
        503 => Error::Unavailable { endpoint: endpoint.to_string(), source: words(message) },
        _ if cannot_ever_work(&lower) => task.refused(message),
        _ => task.other(message),
    }
}

/// `task <id of the container> already exists`.
fn task_exists(lower: &str) -> bool {
    let words: Vec<&str> = lower.split_whitespace().collect();
    let is_id = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    words.windows(3).any(|three| three[0] == "task" && is_id(three[1]) && three[2] == "already")
}

/// Causes Docker reports as internal errors although the request is to blame.
fn cannot_ever_work(lower: &str) -> bool {
    const SIGNS: [&str; 12] = [
        "executable file not found",
        "oci runtime create failed",
        "failed to create shim",
        "invalid mount",
        "invalid reference",
        "is not an absolute path",
        "unable to find user",
        "no matching entries in",
        "unable to find group",
        "error gathering device information",
        "unknown runtime",
        "network-scoped alias",
    ];
    SIGNS.iter().any(|sign| lower.contains(sign))
}

/// `network shop not found` and `No such network: shop`.
fn missing_network(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("network ").and_then(|rest| rest.strip_suffix(" not found"));
    rest.or_else(|| message.strip_prefix("No such network: "))
}

/// The host port in messages such as `Bind for 0.0.0.0:8080 failed: port is already allocated` and
/// `listen tcp4 127.0.0.1:8080: bind: address already in use`.
fn port_in_use(lower: &str) -> Option<String> {
    let taken = lower.contains("port is already allocated")
        || (lower.contains("address already in use") && !lower.contains("pool"));
    if !taken {
        return None;
    }
    let address = lower.split([' ', '/', ';', ',']).rev().find_map(|word| {
        let word = word.trim_end_matches(':').trim_matches(['(', ')']);
        // `host:port:container:port` names both ends.
        let host_end = match word.split(':').collect::<Vec<_>>().as_slice() {
            [host, port, _, _] if host.contains('.') => format!("{host}:{port}"),
            _ => word.to_owned(),
        };
        let (host, port) = host_end.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let host = host.trim_matches(['[', ']']);
        let any = matches!(host, "" | "0.0.0.0" | "::" | ":");
        let is_address = any || host.parse::<std::net::IpAddr>().is_ok();
        is_address.then(|| if any { port.to_string() } else { format!("{host}:{port}") })
    });
    Some(address.unwrap_or_else(|| "unknown".to_owned()))
}

/// What engines and registries say, in lower case, by cause. The first that fits counts: a registry that
/// refuses for now may mention logging in as well.
const PULL_FAILURES: [(PullFailure, &[&str]); 5] = [
    (PullFailure::DiskFull, &["no space left on device", "disk quota exceeded"]),
    (
        PullFailure::Busy,
        &[
            "toomanyrequests",
            "too many requests",
            "rate limit",
            "bad gateway",
            "service unavailable",
            "gateway timeout",
            "internal server error",
        ],
    ),
    (PullFailure::Untrusted, &["x509:", "server gave http response to https client"]),
    (
        PullFailure::Denied,
        &[
            "denied",
            "unauthorized",
            "authentication required",
            "no basic auth",
            "incorrect username",
            "403 forbidden",
        ],
    ),
    (
        PullFailure::NotFound,
        &["manifest unknown", "not found", "name unknown", "no matching manifest"],
    ),
];

fn contains_any(message: &str, signs: &[&str]) -> bool {
    let lower = message.to_lowercase();
    signs.iter().any(|sign| lower.contains(sign))
}

/// Why a registry did not give an image.
pub(super) fn pull_error(endpoint: &Endpoint, image: &str, error: ApiError) -> Error {
    let message = match error {
        ApiError::DockerResponseServerError { message, .. } => message,
        ApiError::DockerStreamError { error } => error,
        other => return classify(endpoint, &Task::image("pull", image), other),
    };
    if contains_any(&message, &["invalid reference", "invalid tag", "repository name must"]) {
        return Task::image("pull", image).refused(message);
    }
    let failure = PULL_FAILURES
        .iter()
        .find(|(_, signs)| contains_any(&message, signs))
        .map_or(PullFailure::Network, |(failure, _)| *failure);
    Error::PullFailed { image: image.to_owned(), failure, source: words(message) }
}

/// A pull that fell silent.
pub(super) fn pull_silence(image: &str, limit: Duration) -> Error {
    Error::PullFailed {
        image: image.to_owned(),
        failure: PullFailure::Network,
        source: words(format!("no progress for {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    fn sort(status_code: u16, message: &str) -> Error {
        let task = Task::container("start", "a-b-1").with_image("app:1");
        let error = ApiError::DockerResponseServerError { status_code, message: message.into() };
        classify(&Endpoint::parse("/x.sock"), &task, error)
    }

    #[test]
    fn taken_ports_are_named() {
        let cases = [
            (
                "driver failed programming external connectivity on endpoint a-b-1 (0a): Bind for 0.0.0.0:8080 failed: port is already allocated",
                "8080",
            ),
            ("failed: Bind for 127.0.0.1:81 failed: port is already allocated", "127.0.0.1:81"),
            (
                "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use",
                "80",
            ),
            ("listen tcp6 [::]:443: bind: address already in use", "443"),
            (
                "failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use",
                "8080",
            ),
            ("failed to bind host port 0.0.0.0:9090/tcp: address already in use", "9090"),
        ];
        for (message, port) in cases {
            match sort(500, message) {
                Error::Conflict { conflict: Conflict::Port(found), .. } => {
                    assert_eq!(found, port, "{message}");
                }
                other => panic!("{message}: {other:?}"),
            }
        }
    }

    #[test]
    fn answers_are_sorted_by_what_helps() {
        let cases = [
            (404, "No such image: app:1", ErrorClass::ImageMissing),
            (404, "No such container: x", ErrorClass::NotFound),
            (404, "network shop not found", ErrorClass::NotFound),
            (
                409,
                "Conflict. The container name \"/x\" is already in use by container \"0\".",
                ErrorClass::Conflict,
            ),
            (409, "network with name task already exists", ErrorClass::Conflict),
            (
                409,
                "task 4b7e0d1c4b7e0d1c4b7e0d1c4b7e0d1c4b7e0d1c4b7e0d1c4b7e0d1c4b7e0d1c already exists: unknown",
                ErrorClass::Other,
            ),
            (
                403,
                "error while removing network: network n id 1 has active endpoints",
                ErrorClass::Conflict,
            ),
            (409, "remove v: volume is in use - [00]", ErrorClass::Conflict),
            (
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /x",
                ErrorClass::Refused,
            ),
            (
                500,
                "OCI runtime create failed: exec: \"x\": executable file not found in $PATH",
                ErrorClass::Refused,
            ),
            (500, "something unheard of", ErrorClass::Other),
            (503, "This node is locked", ErrorClass::Unavailable),
        ];
        for (status, message, class) in cases {
            assert_eq!(sort(status, message).class(), class, "{message}");
        }
        let missing = sort(404, "network shop not found");
        assert_eq!(missing.to_string(), "network `shop` does not exist");
    }

    #[test]
    fn causes_of_failed_pulls_are_told_apart() {
        let cases = [
            (
                "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                PullFailure::Denied,
            ),
            ("Get \"http://r:5000/v2/\": no basic auth credentials", PullFailure::Denied),
            (
                "manifest for r:5000/x:9 not found: manifest unknown: manifest unknown",
                PullFailure::NotFound,
            ),
            (
                "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading",
                PullFailure::Busy,
            ),
            ("received unexpected HTTP status: 503 Service Unavailable", PullFailure::Busy),
            (
                "Get \"https://r:5443/v2/\": x509: certificate signed by unknown authority",
                PullFailure::Untrusted,
            ),
            (
                "Get \"https://r:5000/v2/\": http: server gave HTTP response to HTTPS client",
                PullFailure::Untrusted,
            ),
            (
                "failed to register layer: write /usr/lib/x: no space left on device",
                PullFailure::DiskFull,
            ),
            (
                "Get \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: connection refused",
                PullFailure::Network,
            ),
        ];
        for (message, expected) in cases {
            let error =
                ApiError::DockerResponseServerError { status_code: 500, message: message.into() };
            match pull_error(&Endpoint::parse("/x.sock"), "x:9", error) {
                Error::PullFailed { failure, .. } => assert_eq!(failure, expected, "{message}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn values_of_environment_variables_are_not_repeated() {
        let error = sort(400, "invalid environment variable: =hunter2");
        assert!(!error.full_message().contains("hunter2"));
    }
}
