//! Bad requests, streams, commands, and stopping.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{io::ErrorKind, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use serde_json::Value;
use smr_pki::{Alpn, Role, client_config};
use smr_server::Error;
use smr_wire::{Code, ErrorBody, ExecControl, StreamItem, WatchKind, routes};
use support::{lab, lab_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

const DOCUMENT: &str = "kind: configuration\nmeta: {group: g, name: a}\nspec: {data: {k: v}}\n";

#[tokio::test]
async fn every_failure_is_in_the_envelope() {
    let lab = lab_with(|config| config.body_limit = 1000).await;
    let admin = lab.client(Role::Admin);
    let long = "x".repeat(2000);
    let apply = routes::APPLY;
    let cases: [(&str, &str, &[u8], Code); 14] = [
        ("GET", "/nowhere", b"", Code::NotFound),
        ("PUT", routes::OBJECTS, b"", Code::MethodNotAllowed),
        ("POST", apply, long.as_bytes(), Code::TooLarge),
        ("POST", apply, b"\xff\xfe", Code::BadRequest),
        ("POST", apply, b"", Code::BadRequest),
        ("POST", apply, b"kind: nope\n", Code::Invalid),
        ("POST", "/api/v1/apply?dryrun=true", DOCUMENT.as_bytes(), Code::BadRequest),
        ("POST", "/api/v1/apply?dry_run=maybe", DOCUMENT.as_bytes(), Code::BadRequest),
        ("GET", "/api/v1/objects?kind=nope", b"", Code::BadRequest),
        ("GET", "/api/v1/objects/nope/g/n", b"", Code::NotFound),
        ("GET", "/api/v1/objects/secret/g/n", b"", Code::NotFound),
        ("PATCH", "/api/v1/objects/secret/g/n", b"{", Code::BadRequest),
        ("GET", "/api/v1/replicas/g/g-web-9/logs", b"", Code::NotFound),
        ("GET", "/api/v1/replicas/g/g-web-1/exec?command=ls", b"", Code::BadRequest),
    ];
    let before = lab.control.revision();
    for (method, path, body, code) in cases {
        let request = admin.request(method.parse().unwrap(), lab.url(path)).body(body.to_vec());
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), code.status(), "{method} {path}");
        assert!(response.headers().contains_key("x-request-id"));
        let body: ErrorBody = response.json().await.unwrap();
        assert_eq!(body.error.code, code, "{method} {path}: {}", body.error.message);
    }
    assert_eq!(lab.control.revision(), before, "bad requests change nothing");
}

#[tokio::test]
async fn an_object_is_found_as_what_it_is_only() {
    let lab = lab().await;
    let secret = "kind: secret\nprefix: foo/configuration\nmeta: {group: g, name: n}\n\
                  spec: {data: {k: hunter2}}\n";
    let admin = lab.client(Role::Admin);
    let applied = admin.post(lab.url(routes::APPLY)).body(secret).send().await.unwrap();
    assert_eq!(applied.status(), StatusCode::OK);
    // The same path in the keyspace, read as a kind that is not confidential.
    let path = "/api/v1/objects/configuration/secret/g%2Fn?prefix=foo";
    for method in [http::Method::GET, http::Method::DELETE] {
        let response = admin.request(method, lab.url(path)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(!response.text().await.unwrap().contains("hunter2"));
    }
}

#[tokio::test]
async fn the_refusal_of_a_large_body_reaches_whoever_sends_all_of_it_first() {
    let lab = lab_with(|config| config.body_limit = 1000).await;
    // More than what fits into the buffers on the way.
    let large = bytes::Bytes::from(vec![b'x'; 24 * 1024 * 1024]);
    for alpn in [Alpn::Http1, Alpn::Http] {
        let tls = client_config(&lab.user(Role::Admin), alpn).unwrap();
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(large.clone())]);
        let of_unknown_length = reqwest::Body::wrap_stream(pieces);
        for body in [large.clone().into(), of_unknown_length] {
            let response = client.post(lab.url(routes::APPLY)).body(body).send().await.unwrap();
            let version = response.version();
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{version:?}");
            let body: ErrorBody = response.json().await.unwrap();
            assert_eq!(body.error.code, Code::TooLarge);
        }
        // Refused for another reason, before anybody looked at the body.
        for path in ["/nowhere", "/api/v1/apply?nothing=1", routes::OBJECTS] {
            let response = client.post(lab.url(path)).body(large.clone()).send().await.unwrap();
            assert!(response.status().is_client_error(), "{path}");
            response.json::<ErrorBody>().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let lab = lab_with(|config| config.request_timeout = Duration::from_millis(50)).await;
    let admin = lab.client(Role::Admin);
    // The body never comes.
    let body = reqwest::Body::wrap_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let response = admin.post(lab.url(routes::APPLY)).body(body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    let body: ErrorBody = response.json().await.unwrap();
    assert_eq!(body.error.code, Code::Timeout);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_cut_off_and_stops_nobody() {
    let lab = lab_with(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    let mut silent = tokio::net::TcpStream::connect(lab.address).await.unwrap();
    let answered = lab.client(Role::Viewer).get(lab.url(routes::CONNECT)).send().await.unwrap();
    assert_eq!(answered.status(), StatusCode::OK);
    let mut rest = Vec::new();
    match silent.read_to_end(&mut rest).await {
        Ok(_) => assert!(rest.is_empty()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    // Plain HTTP gets no HTTP answer either.
    let mut plain = tokio::net::TcpStream::connect(lab.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP"));
}

#[tokio::test]
async fn who_has_a_certificate_and_asks_nothing_is_not_waited_for() {
    let lab = lab_with(|config| config.handshake_timeout = Duration::from_millis(200)).await;
    for alpn in [Alpn::Http1, Alpn::Http] {
        let tls = client_config(&lab.user(Role::Viewer), alpn).unwrap();
        let tcp = tokio::net::TcpStream::connect(lab.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
        let mut silent = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut rest));
        let _ = closed.await.expect("the connection is closed");
    }
}

async fn next_line(
    stream: &mut (impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    buffer: &mut Vec<u8>,
) -> Option<StreamItem> {
    loop {
        if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            return Some(serde_json::from_slice(&line).unwrap());
        }
        buffer.extend_from_slice(&stream.next().await?.ok()?);
    }
}

#[tokio::test]
async fn watches_resume_and_events_follow() {
    let lab = lab().await;
    let viewer = lab.client(Role::Viewer);
    let open = async |path: &str| {
        let response = viewer.get(lab.url(path)).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], routes::NDJSON);
        (response.bytes_stream(), Vec::new())
    };
    let (mut watch, mut watched) = open(routes::WATCH).await;
    let (mut events, mut heard) = open("/api/v1/events?follow=true&new=true").await;
    let mut synced = 0;
    while synced == 0 {
        let Some(StreamItem::Watch(event)) = next_line(&mut watch, &mut watched).await else {
            panic!()
        };
        if event.kind == WatchKind::Synced {
            synced = event.revision;
        }
    }
    let operator = lab.client(Role::Operator);
    operator.post(lab.url(routes::APPLY)).body(DOCUMENT).send().await.unwrap();
    let Some(StreamItem::Watch(live)) = next_line(&mut watch, &mut watched).await else { panic!() };
    assert_eq!(live.key.as_ref().unwrap().name, "a");
    let Some(StreamItem::Event(event)) = next_line(&mut events, &mut heard).await else { panic!() };
    assert_eq!((event.kind.as_str(), event.message.as_str()), ("applied", "applied by kim"));

    let (mut again, mut buffer) = open(&format!("/api/v1/watch?from={}", synced + 1)).await;
    let Some(StreamItem::Watch(resumed)) = next_line(&mut again, &mut buffer).await else {
        panic!()
    };
    assert_eq!(resumed, live);

    lab.control.store().compact(lab.control.revision()).await.unwrap();
    let gone = viewer.get(lab.url("/api/v1/watch?from=1")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::GONE);
    let body: ErrorBody = gone.json().await.unwrap();
    assert_eq!(body.error.code, Code::Compacted);
}

#[tokio::test]
async fn logs_are_frames() {
    let lab = lab().await;
    let viewer = lab.client(Role::Viewer);
    let response = viewer.get(lab.url("/api/v1/replicas/g/g-web-1/logs")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], routes::MULTIPLEXED);
    let bytes = response.bytes().await.unwrap();
    assert_eq!(&bytes[..], b"\x01\0\0\0\0\0\0\x08g-web-1\n\x02\0\0\0\0\0\0\x02!\n");
}

#[tokio::test]
async fn commands_have_input_size_and_an_exit_code() {
    let lab = lab().await;
    let tls = client_config(&lab.user(Role::Operator), Alpn::Http1).unwrap();
    let tcp = tokio::net::TcpStream::connect(lab.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let name = "localhost".try_into().unwrap();
    let tls = connector.connect(name, tcp).await.unwrap();
    let url = format!(
        "wss://{}/api/v1/replicas/g/g-web-1/exec?command=%5B%22cat%22%5D&stdin=true",
        lab.address
    );
    let (mut socket, _) = tokio_tungstenite::client_async(url, tls).await.unwrap();
    socket.send(Message::Binary("abc".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary("\x01ABC".into()));
    socket.send(Message::Text(r#"{"resize":{"width":80,"height":24}}"#.into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Binary("\x0280x24".into()));
    socket.send(Message::Binary("".into())).await.unwrap();
    let Message::Text(last) = socket.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(serde_json::from_str::<ExecControl>(&last).unwrap(), ExecControl::Exit(3));
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn stopping_ends_streams_and_lets_requests_finish() {
    let lab = lab().await;
    let admin = lab.client(Role::Admin);
    let watch = admin.get(lab.url(routes::WATCH)).send().await.unwrap();
    let mut follow = watch.bytes_stream();
    follow.next().await.unwrap().unwrap();
    let backup = tokio::spawn(admin.get(lab.url(routes::BACKUP)).send());
    lab.runtime.begun.notified().await;
    let address = lab.address;
    let stopping = tokio::spawn(lab.server.shutdown());
    // The stream ends by itself, without an error.
    while let Some(piece) = follow.next().await {
        piece.unwrap();
    }
    lab.runtime.finish.notify_one();
    assert_eq!(backup.await.unwrap().unwrap().status(), StatusCode::OK);
    drop(admin);
    stopping.await.unwrap();
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_address_in_use_names_its_holder() {
    let lab = lab().await;
    let runtime = lab.runtime.clone();
    let render: smr_server::RenderMetrics = std::sync::Arc::new(String::new);
    let Err(error) = smr_server::start_telemetry(lab.address, render, runtime).await else {
        panic!()
    };
    let Error::InUse { holder, .. } = &error else { panic!("{error}") };
    assert!(holder.as_ref().unwrap().contains(&format!("process {}", std::process::id())));
    assert!(
        error.to_string().starts_with(&format!("address `{}` is in use by process", lab.address))
    );
}

#[tokio::test]
async fn telemetry_is_plain_and_says_how_the_node_is() {
    let lab = lab().await;
    let render: smr_server::RenderMetrics = std::sync::Arc::new(|| "smr_up 1\n".to_owned());
    let address = "127.0.0.1:0".parse().unwrap();
    let port = smr_server::start_telemetry(address, render, lab.runtime.clone()).await.unwrap();
    for (path, status, text) in [
        ("/metrics", 200, "smr_up 1"),
        ("/healthz", 200, "answers"),
        ("/readyz", 200, "\"ok\":true"),
        ("/x", 404, "not_found"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(port.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(text),
            "{answer}"
        );
    }
    port.shutdown().await;
}

#[test]
fn the_committed_api_description_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let made = smr_server::openapi();
    if std::env::var_os("SMR_REGENERATE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let _: Value = serde_json::from_str(&made).unwrap();
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "docs/openapi.json is stale; run the tests with SMR_REGENERATE=1");
}
