//! The Docker engine against sockets that misbehave, and what exactly it asks for.

#![allow(clippy::unwrap_used)]

#[path = "faults/fake.rs"]
mod fake;

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use fake::{Answer, Fake, Request};
use futures_util::StreamExt;
use smr_engine::{
    ContainerEngine, DockerEngine, Error, ErrorClass, Owner, Ownership, PullFailure, Role,
    no_progress,
};
use smr_model::{ContainerSpec, NetworkAttachment, RegistryAuth, ReplicaKey};

fn engine(fake: &std::path::Path) -> DockerEngine {
    let owner = Owner { cluster: "c".into(), node: "n".into() };
    DockerEngine::new(fake.to_str().unwrap(), owner)
}

fn ownership() -> Ownership {
    Ownership {
        cluster: "c".into(),
        node: "n".into(),
        replica: ReplicaKey::new("g", "a", 1),
        role: Role::Main,
        spec_hash: "h".into(),
        generation: 1,
    }
}

fn spec() -> ContainerSpec {
    ContainerSpec { name: "g-a-1".into(), image: "app:1".into(), ..Default::default() }
}

fn text(status: u16, body: &str) -> Answer {
    Some((status, body.to_owned()))
}

/// A well-behaved engine of that API version.
fn polite(request: &Request, api: &str) -> Answer {
    let (_, path) = request.line.split_once(' ').unwrap();
    match path.split('?').next().unwrap().rsplit('/').next().unwrap() {
        "version" => text(200, &format!(r#"{{"ApiVersion":"{api}"}}"#)),
        "create" => text(201, &format!(r#"{{"Id":"{}","Warnings":[]}}"#, "0a".repeat(32))),
        "start" => text(204, ""),
        "networks" => text(200, r#"[{"Name":"front","Id":"1"},{"Name":"back","Id":"2"}]"#),
        "connect" => text(200, ""),
        "json" => text(200, "[]"),
        _ => text(404, r#"{"message":"page not found"}"#),
    }
}

#[tokio::test]
async fn a_plain_container_costs_two_calls_on_one_connection() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(dir.path().join("s"), |request| polite(request, "1.41"));
    let engine = engine(&fake.path);
    let id = engine.create(&spec(), &ownership()).await.unwrap();
    engine.start(&id).await.unwrap();
    let lines: Vec<String> = fake.requests().into_iter().map(|r| r.line).collect();
    let start = format!("POST /v1.41/containers/{id}/start");
    assert_eq!(
        lines,
        ["GET /version", "POST /v1.41/containers/create?name=g-a-1&platform=", start.as_str()]
    );
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn old_engines_are_joined_to_networks_one_by_one_and_new_ones_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for (api, calls) in [("1.41", 1), ("1.44", 0), ("1.99", 0)] {
        let fake = Fake::start(dir.path().join(api), move |request| polite(request, api));
        let mut spec = spec();
        spec.network_mode = "front".into();
        spec.networks = vec![
            NetworkAttachment { network: "front".into(), aliases: vec!["a".into()] },
            NetworkAttachment { network: "back".into(), aliases: vec!["b".into()] },
        ];
        engine(&fake.path).create(&spec, &ownership()).await.unwrap();
        let requests = fake.requests();
        let connects = requests.iter().filter(|r| r.line.ends_with("/connect")).count();
        assert_eq!(connects, calls, "{api}");
        let create = requests.iter().find(|r| r.line.contains("/create")).unwrap();
        assert!(create.body.contains(r#""front":{"Aliases":["a"]}"#), "{}", create.body);
        assert_eq!(create.body.contains(r#""back":"#), calls == 0, "{}", create.body);
    }
}

#[tokio::test]
async fn a_hung_engine_hangs_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let limit = Duration::from_millis(100);
    for negotiates in [false, true] {
        let path = dir.path().join(format!("s{negotiates}"));
        let fake = Fake::start(path, move |request| {
            (negotiates && request.line.ends_with("/version"))
                .then(|| polite(request, "1.41"))
                .flatten()
        });
        let engine = engine(&fake.path).with_limits(limit, limit);
        let begun = Instant::now();
        let results = tokio::join!(
            async { engine.list().await.map(|_| ()) },
            async { engine.info().await.map(|_| ()) },
            async { engine.create(&spec(), &ownership()).await.map(|_| ()) },
            engine.start("x"),
            engine.stop("x", None, Duration::ZERO),
            engine.remove("x"),
            async { engine.events(None).await.map(|_| ()) },
            async { engine.network_exists("x").await.map(|_| ()) },
        );
        let results = [
            results.0, results.1, results.2, results.3, results.4, results.5, results.6, results.7,
        ];
        for result in results {
            assert_eq!(result.unwrap_err().class(), ErrorClass::Unavailable);
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn an_absent_engine_is_found_once_it_is_there_and_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let engine = engine(&path);
    let error = engine.list().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unavailable);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

    let fake = Fake::start(path.clone(), |request| polite(request, "1.41"));
    assert_eq!(engine.list().await.unwrap(), []);
    fake.stop().await;
    assert_eq!(engine.list().await.unwrap_err().class(), ErrorClass::Unavailable);

    let fake = Fake::start(path.clone(), |request| polite(request, "1.45"));
    assert_eq!(engine.list().await.unwrap(), []);
    let last = fake.requests().pop().unwrap();
    assert!(last.line.starts_with("GET /v1.45/"), "negotiated again: {}", last.line);
}

#[tokio::test]
async fn an_engine_replaced_behind_an_open_connection_is_negotiated_again() {
    let dir = tempfile::tempdir().unwrap();
    let versions = std::sync::atomic::AtomicUsize::new(0);
    let fake = Fake::start(dir.path().join("s"), move |request| {
        use std::sync::atomic::Ordering::Relaxed;
        if request.line.ends_with("/version") {
            let api = if versions.fetch_add(1, Relaxed) == 0 { "1.41" } else { "1.46" };
            return polite(request, api);
        }
        if request.line.contains("/v1.41/") {
            let message = "client version 1.41 is too old. Minimum supported API version is 1.44";
            return text(400, &format!(r#"{{"message":"{message}"}}"#));
        }
        polite(request, "1.46")
    });
    assert_eq!(engine(&fake.path).list().await.unwrap(), []);
}

#[tokio::test]
async fn credentials_arrive_in_the_alphabet_engines_read_with_the_registry_named() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(dir.path().join("s"), |request| {
        if request.line.contains("/images/") {
            text(200, "{\"status\":\"Pulling from app\",\"id\":\"1\"}\n")
        } else {
            polite(request, "1.41")
        }
    });
    let auth = RegistryAuth { username: "bot".into(), password: "a?b>c~d?e>f~??>>~~ÿÿÿ".into() };
    let engine = engine(&fake.path);
    engine.pull("reg.local:5000/team/app:1", Some(&auth), &no_progress).await.unwrap();
    let pull = fake.requests().pop().unwrap();
    assert!(
        pull.line.contains("fromImage=reg.local%3A5000%2Fteam%2Fapp")
            && pull.line.contains("tag=1"),
        "{}",
        pull.line
    );
    let header = pull.headers.iter().find(|(name, _)| name == "x-registry-auth").unwrap();
    let decoded = String::from_utf8(URL_SAFE.decode(&header.1).unwrap()).unwrap();
    assert!(decoded.contains(r#""serveraddress":"reg.local:5000""#), "{decoded}");
    assert!(decoded.contains("a?b>c~d"), "{decoded}");
}

#[tokio::test]
async fn an_error_inside_a_pull_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(dir.path().join("s"), |request| {
        if request.line.contains("/images/") {
            text(
                200,
                "{\"status\":\"Pulling from app\",\"id\":\"1\"}\n{\"errorDetail\":{\"message\":\"unauthorized\"},\"error\":\"unauthorized\"}\n",
            )
        } else {
            polite(request, "1.41")
        }
    });
    match engine(&fake.path).pull("r.io/app:1", None, &no_progress).await {
        Err(Error::PullFailed { failure: PullFailure::Denied, image, .. }) => {
            assert_eq!(image, "r.io/app:1");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_half_made_container_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(dir.path().join("s"), |request| {
        if request.line.contains("/archive") {
            return text(500, r#"{"message":"no space left on device"}"#);
        }
        if request.line.starts_with("DELETE") {
            return text(204, "");
        }
        polite(request, "1.41")
    });
    let mut spec = spec();
    spec.files = vec![smr_model::ContainerFile { path: "/x".into(), ..Default::default() }];
    let error = engine(&fake.path).create(&spec, &ownership()).await.unwrap_err();
    assert!(error.full_message().contains("no space left"), "{}", error.full_message());
    assert!(fake.requests().pop().unwrap().line.starts_with("DELETE /v1.41/containers/0a0a"));
}

#[tokio::test]
async fn a_stream_of_events_ends_with_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::start(dir.path().join("s"), |request| {
        if request.line.contains("/events") {
            return None;
        }
        if request.line.contains("/info") {
            return text(200, r#"{"SystemTime":"2026-01-01T00:00:00.5Z"}"#);
        }
        polite(request, "1.41")
    });
    let mut events = engine(&fake.path).events(None).await.unwrap();
    let next = events.next();
    let end = async {
        // The request is on its way with the first poll.
        while !fake.requests().iter().any(|r| r.line.contains("since=1767225600.500000000")) {
            tokio::task::yield_now().await;
        }
        fake.stop().await;
    };
    let (item, ()) = tokio::join!(next, end);
    assert!(item.is_none_or(|item| item.is_err_and(|e| e.class() == ErrorClass::Unavailable)));
    assert!(events.next().await.is_none());
}
