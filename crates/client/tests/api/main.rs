//! The client against a small server that answers what it is told to.
#![allow(clippy::unwrap_used, reason = "in tests a panic with its place is what is wanted")]

mod fake;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use smr_client::{Client, Error, ExecOutput, LogSource, Options};
use smr_model::{Kind, ObjectKey};
use smr_wire::{
    ApplyQuery, Code, EventQuery, ExecControl, ExecQuery, LogQuery, ReplicaQuery, StreamItem,
};
use tokio_tungstenite::tungstenite::Message;

use self::fake::{Fake, World, ok, stream};

#[tokio::test]
async fn a_list_is_asked_for_and_read() {
    let world = World::new();
    let fake = Fake::start(&world, |request| {
        assert_eq!(request.line, "GET /api/v1/replicas?group=a%26b HTTP/1.1");
        ok(r#"{"revision":7,"items":[]}"#)
    })
    .await;
    let query = ReplicaQuery { group: Some("a&b".into()), name: None };
    let list = world.client(fake.port).replicas(&query).await.unwrap();
    assert_eq!((list.revision, list.items.len()), (7, 0));
}

#[tokio::test]
async fn an_apply_sends_the_documents_and_a_refusal_keeps_its_details() {
    let world = World::new();
    let fake = Fake::start(&world, |request| {
        assert_eq!(request.line, "POST /api/v1/apply?source=web.yaml&dry_run=true HTTP/1.1");
        assert_eq!(request.body, "kind: nonsense");
        fake::answer(
            422,
            r#"{"error":{"code":"invalid","message":"1 mistake","details":[{"line":1,"message":"unknown kind"}]}}"#,
        )
    })
    .await;
    let query =
        ApplyQuery { source: Some("web.yaml".into()), dry_run: true, ..ApplyQuery::default() };
    let err = world.client(fake.port).apply(&query, "kind: nonsense".into()).await.unwrap_err();
    let Error::Api(err) = err else { panic!("{err:?}") };
    assert_eq!((err.code, err.details[0].line), (Code::Invalid, 1));
}

#[tokio::test]
async fn what_is_no_control_api_is_said_to_be_none() {
    let world = World::new();
    let fake = Fake::start(&world, |request| {
        if request.line.contains("version") {
            ok("<html>")
        } else {
            fake::answer(502, "bad gateway\n")
        }
    })
    .await;
    let client = world.client(fake.port);
    let err = client.version().await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "`/api/v1/version` did not answer as a control API does: unexpected body, \
         expected value at line 1 column 1"
    );
    let err = client.nodes().await.unwrap_err();
    assert_eq!(
        err.to_string(),
        "`/api/v1/nodes` did not answer as a control API does: status 502, `bad gateway`"
    );
    assert!(!err.is_unreachable());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let world = World::new();
    let port = fake::unused_port();
    let err = world.client(port).nodes().await.unwrap_err();
    assert!(matches!(err, Error::Unreachable { .. }), "{err:?}");
    assert_eq!(err.to_string(), format!("cannot reach the cluster at `https://localhost:{port}`"));
    let cause = std::error::Error::source(&err).unwrap().to_string();
    assert!(cause.contains("onnection refused"), "{cause}");
}

#[tokio::test]
async fn certificates_of_another_cluster_are_a_matter_of_tls_in_both_directions() {
    let (ours, theirs) = (World::new(), World::new());
    let fake = Fake::start(&theirs, |_| ok("{}")).await;
    let err = ours.client(fake.port).connect().await.unwrap_err();
    assert!(matches!(err, Error::Tls { .. }), "{err:?}");
    assert!(err.is_unreachable());
    // A client that trusts the server but shows a certificate of somebody else.
    let err = theirs.client_with_certificate_of(&ours, fake.port).connect().await.unwrap_err();
    assert!(err.is_unreachable(), "{err:?}");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let world = World::new();
    let fake = Fake::start(&world, |_| fake::never()).await;
    let options = Options { answer: Duration::from_millis(100), ..Options::default() };
    let err = world.client_with(fake.port, options).nodes().await.unwrap_err();
    assert!(matches!(err, Error::Timeout { .. }), "{err:?}");
}

#[tokio::test]
async fn events_come_as_they_happen_and_a_cut_is_noticed() {
    let world = World::new();
    let fake = Fake::start(&world, |request| {
        assert_eq!(request.line, "GET /api/v1/events?from=3&follow=true HTTP/1.1");
        stream(&["{\"progress\":3}\n{\"prog", "ress\":4}\n"], true)
    })
    .await;
    let query = EventQuery { from: Some(3), ..EventQuery::default() };
    let mut events = world.client(fake.port).follow_events(&query).await.unwrap();
    for revision in [3, 4] {
        let item = events.next().await.unwrap().unwrap();
        assert_eq!(item, StreamItem::Progress(revision));
    }
    let err = events.next().await.unwrap().unwrap_err();
    assert!(matches!(err, Error::Lost { .. }), "{err:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn logs_are_taken_apart() {
    let world = World::new();
    let fake = Fake::start(&world, |request| {
        assert_eq!(request.line, "GET /api/v1/replicas/a/a-b-1/logs?tail=5 HTTP/1.1");
        stream(&["\u{1}\0\0\0\0\0\0\u{2}hi\u{2}\0\0\0\0\0\0\u{1}", "!"], false)
    })
    .await;
    let query = LogQuery { tail: Some(5), ..LogQuery::default() };
    let log = world.client(fake.port).logs("a", "a-b-1", &query).await.unwrap();
    let chunks: Vec<_> = log.map(|chunk| chunk.unwrap()).collect().await;
    assert_eq!(chunks.len(), 2);
    assert_eq!((chunks[0].source, &chunks[0].bytes[..]), (LogSource::Stdout, &b"hi"[..]));
    assert_eq!((chunks[1].source, &chunks[1].bytes[..]), (LogSource::Stderr, &b"!"[..]));
}

#[tokio::test]
async fn a_missing_object_is_not_found() {
    let world = World::new();
    let fake = Fake::start(&world, |_| {
        fake::answer(404, r#"{"error":{"code":"not_found","message":"no such object"}}"#)
    })
    .await;
    let key = ObjectKey::new(Kind::Secret, "a", "b");
    let err = world.client(fake.port).object(&key, false).await.unwrap_err();
    assert_eq!(err.code(), Some(Code::NotFound));
}

#[tokio::test]
async fn a_command_gets_input_and_its_exit_code_comes_back() {
    let world = World::new();
    let fake = Fake::start_websocket(&world, |mut socket| async move {
        let input = socket.next().await.unwrap().unwrap();
        let resize = socket.next().await.unwrap().unwrap();
        assert_eq!(resize, Message::text(r#"{"resize":{"width":80,"height":24}}"#));
        let end = socket.next().await.unwrap().unwrap();
        assert_eq!(end, Message::binary(Bytes::new()));
        let echo = [&[1], &input.into_data()[..]].concat();
        socket.send(Message::binary(echo)).await.unwrap();
        socket.send(Message::binary(vec![2, b'!'])).await.unwrap();
        let exit = serde_json::to_string(&ExecControl::Exit(42)).unwrap();
        socket.send(Message::text(exit)).await.unwrap();
    })
    .await;
    let query = ExecQuery { command: "[\"cat\"]".into(), stdin: true, ..ExecQuery::default() };
    let exec = world.client(fake.port).exec("a", "a-b-1", &query).await.unwrap();
    let (mut input, output) = exec.split();
    input.write(Bytes::from_static(b"hello")).await.unwrap();
    input.resize(80, 24).await.unwrap();
    input.end().await.unwrap();
    let output: Vec<_> = output.map(|item| item.unwrap()).collect().await;
    assert_eq!(
        output,
        [
            ExecOutput::Bytes(LogSource::Stdout, Bytes::from_static(b"hello")),
            ExecOutput::Bytes(LogSource::Stderr, Bytes::from_static(b"!")),
            ExecOutput::Exit(42)
        ]
    );
}

#[tokio::test]
async fn a_command_that_is_refused_says_why() {
    let world = World::new();
    let fake = Fake::start(&world, |request| {
        assert!(request.line.starts_with("GET /api/v1/replicas/a/a-b-1/exec?command=%5B%5D"));
        fake::answer(
            403,
            r#"{"error":{"code":"forbidden","message":"viewers cannot run commands"}}"#,
        )
    })
    .await;
    let query = ExecQuery { command: "[]".into(), ..ExecQuery::default() };
    let err = world.client(fake.port).exec("a", "a-b-1", &query).await.err().unwrap();
    assert_eq!(err.to_string(), "viewers cannot run commands");
    assert_eq!(err.code(), Some(Code::Forbidden));
}

#[test]
fn a_client_is_cheap_to_share() {
    fn shared<T: Clone + Send + Sync>() {}
    shared::<Client>();
}
