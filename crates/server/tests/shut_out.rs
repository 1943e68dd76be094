//! Certificates that are revoked or end while their holders are connected, and strangers that take
//! places.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use futures_util::StreamExt as _;
use smr_client::{Client, Error, ExecOutput};
use smr_pki::{Alpn, Role, client_config};
use smr_wire::{
    ApiError, Code, EventQuery, ExecQuery, LogQuery, RevokeRequest, WatchQuery, routes,
};
use support::{Lab, lab, lab_with, user};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Longest time after which a stream of somebody who is shut out has ended.
const SOON: Duration = Duration::from_secs(2);

/// Waits for the end of a stream, which must be an error of the API.
async fn last<T>(stream: impl futures_util::Stream<Item = Result<T, Error>> + Unpin) -> ApiError {
    last_within(SOON, stream).await
}

async fn last_within<T>(
    time: Duration,
    mut stream: impl futures_util::Stream<Item = Result<T, Error>> + Unpin,
) -> ApiError {
    let ended = async {
        loop {
            match stream.next().await.expect("an error comes before the end") {
                Ok(_) => {}
                Err(Error::Api(error)) => return *error,
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(time, ended).await.expect("the stream ends")
}

async fn shut_out(lab: &Lab, client: &Client, serial: &str) {
    let mut watch = client.watch(&WatchQuery::default()).await.unwrap();
    watch.next().await.unwrap().unwrap();
    let events = client.follow_events(&EventQuery::default()).await.unwrap();
    let follow = LogQuery { follow: true, ..LogQuery::default() };
    let logs = client.logs("g", "g-web-1", &follow).await.unwrap();
    let query = ExecQuery { command: r#"["cat"]"#.to_owned(), stdin: true, ..ExecQuery::default() };
    let (mut input, mut output) = client.exec("g", "g-web-1", &query).await.unwrap().split();
    input.write("abc".into()).await.unwrap();
    assert!(matches!(output.next().await, Some(Ok(ExecOutput::Bytes(..)))));
    // This connection is kept for the next request.
    client.version().await.unwrap();

    let admin = lab.api(Role::Admin);
    let request = RevokeRequest { reason: "lost".to_owned() };
    assert_eq!(admin.revoke(serial, &request).await.unwrap().revoked.len(), 1);
    lab.follow_revocations();
    let Error::Api(refused) = client.version().await.unwrap_err() else {
        panic!("the connection is open still")
    };
    assert_eq!(refused.code, Code::Unauthenticated);
    let message = format!("the certificate of `kim` with serial `{serial}` is revoked");
    assert_eq!(refused.message, message);
    let (watch, events, logs, output) =
        tokio::join!(last(watch), last(events), last(logs), last(output));
    for error in [watch, events, logs, output] {
        assert_eq!((error.code, &error.message), (Code::Unauthenticated, &message));
    }
}

#[tokio::test]
async fn who_is_revoked_is_shut_out_of_open_connections() {
    let lab = lab().await;
    let credentials = lab.user(Role::Operator);
    let client = lab.api_with(&credentials);
    shut_out(&lab, &client, &credentials.identity().serial).await;
    // Whoever connects anew is refused by TLS.
    assert!(lab.api_with(&credentials).version().await.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn a_certificate_that_ends_ends_its_streams() {
    let lab = lab().await;
    let client = lab.api_with(&user(&lab.authority, Role::Viewer, Duration::from_secs(3)));
    let watch = client.watch(&WatchQuery::default()).await.unwrap();
    client.version().await.unwrap();
    let error = last_within(Duration::from_secs(3) + SOON, watch).await;
    assert_eq!(error.code, Code::Unauthenticated);
    assert_eq!(error.message, "the certificate of `kim` expired meanwhile");
    assert_eq!(client.version().await.unwrap_err().code(), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn what_is_sent_slowly_is_not_done_for_who_was_revoked_meanwhile() {
    let lab = lab().await;
    let credentials = lab.user(Role::Admin);
    let tls = client_config(&credentials, Alpn::Http1).unwrap();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    // A connection that is open, and kept.
    client.get(lab.url(routes::CONNECT)).send().await.unwrap().text().await.unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), receiver))
    });
    let body = reqwest::Body::wrap_stream(pieces);
    let asked = tokio::spawn(client.post(lab.url(routes::APPLY)).body(body).send());
    sender.send("kind: configuration\nmeta: {group: g, name: a}\n").await.unwrap();
    // The second piece is taken when the first is on its way.
    sender.send("spec: {data: {k: v}}\n").await.unwrap();
    let before = lab.control.revision();
    lab.revoked.revoke(&credentials.identity().serial);
    drop(sender);
    assert_eq!(asked.await.unwrap().unwrap().status(), 401);
    assert_eq!(lab.control.revision(), before);
}

#[tokio::test]
async fn strangers_of_one_address_do_not_take_the_places_of_others() {
    let lab = lab_with(|config| {
        config.handshakes = 4;
        config.handshakes_per_address = 2;
        config.handshake_timeout = Duration::from_mins(5);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(lab.address).await.unwrap());
    }
    // Two have begun and six wait: there is no room for more of them.
    let mut one_more = TcpStream::connect(lab.address).await.unwrap();
    let closed = one_more.read(&mut [0]).await;
    assert!(closed.is_err() || closed.unwrap() == 0);
    let tls = client_config(&lab.user(Role::Viewer), Alpn::Http1).unwrap();
    let elsewhere = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .local_address("127.0.0.2".parse::<std::net::IpAddr>().unwrap());
    let elsewhere = elsewhere.build().unwrap();
    let answered = elsewhere.get(lab.url(routes::CONNECT)).send().await.unwrap();
    assert_eq!(answered.status(), 200);
    // Who waited gets in when the others give up.
    let tls = client_config(&lab.user(Role::Viewer), Alpn::Http1).unwrap();
    let here = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    drop(silent);
    let answered = async {
        loop {
            if let Ok(answer) = here.get(lab.url(routes::CONNECT)).send().await {
                return answer;
            }
        }
    };
    let answered = tokio::time::timeout(Duration::from_secs(20), answered).await.unwrap();
    assert_eq!(answered.status(), 200);
}
