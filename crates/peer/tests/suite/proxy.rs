//! Requests of users that another node answers.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, service::service_fn};
use hyper_util::rt::TokioIo;
use smr_peer::{Api, Body, BoxError, Caller, OnBehalfOf, Peers, Refusal, full};
use smr_pki::Role;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::fixture::{Cluster, Node, Plan};

fn kim() -> OnBehalfOf {
    OnBehalfOf { user: "kim".to_owned(), role: Role::Operator }
}

/// A node with an API that echoes: who asks, for what, and what is sent.
fn node(cluster: &Cluster) -> Node {
    let api = Api::new(tower::service_fn(echo));
    cluster.node_with(Plan { api: Some(api), ..Plan::new(2) }, |_, rpc| {
        Box::pin(async move { Ok(rpc.body) })
    })
}

async fn echo(mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let user = request.extensions().get::<OnBehalfOf>().unwrap().clone();
    let via = request.extensions().get::<Caller>().unwrap().id;
    assert!(!request.headers().keys().any(|name| name.as_str().starts_with("smr-")));
    if request.headers().contains_key(header::UPGRADE) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut bytes = [0; 5];
            if io.read_exact(&mut bytes).await.is_err() {
                return;
            }
            io.write_all(&bytes.to_ascii_uppercase()).await.unwrap();
            io.shutdown().await.unwrap();
        });
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "shout");
        return Ok(response.body(full("")).unwrap());
    }
    let about = format!(
        "{} {} via {via}: {} {}",
        user.role,
        user.user,
        request.method(),
        request.uri().path_and_query().unwrap()
    );
    let response = Response::builder().status(StatusCode::ACCEPTED).header("x-about", about);
    Ok(response.body(request.into_body()).unwrap())
}

fn ready(cluster: &Cluster, node: &Node) -> Peers {
    let peers = cluster.peers(1);
    peers.set_members([(2, node.address().to_string())].into());
    peers
}

#[tokio::test]
async fn both_bodies_are_streamed_and_the_user_is_named() {
    let cluster = Cluster::new();
    let node = node(&cluster);
    let peers = ready(&cluster, &node);
    let (pieces, source) = mpsc::channel::<&'static str>(1);
    let source = stream::unfold(source, |mut source| async move {
        let piece = source.recv().await?;
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(piece.as_bytes()))), source))
    });
    let request = Request::patch("/api/v1/things?x=1")
        .header(header::HOST, "example.com")
        .header("smr-role", "admin")
        .body(StreamBody::new(source).boxed_unsync())
        .unwrap();
    let response = peers.proxy(2, &kim(), request).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let about = response.headers()["x-about"].to_str().unwrap();
    assert_eq!(about, "operator kim via 1: PATCH /api/v1/things?x=1");
    // Each piece comes back before the next is sent.
    let mut body = response.into_body().into_data_stream();
    for piece in ["one", "two", "three"] {
        pieces.send(piece).await.unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), piece);
    }
    drop(pieces);
    while let Some(end) = body.next().await {
        assert!(end.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_api_that_is_not_there_is_a_refusal() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = ready(&cluster, &node);
    let request = Request::get("/api/v1/things").body(full("")).unwrap();
    let error = peers.proxy(2, &kim(), request).await.unwrap_err();
    assert!(matches!(error, smr_peer::PeerError::Refused { refusal: Refusal::Path, .. }));
}

fn upgrade_request() -> Request<Body> {
    Request::get("/api/v1/exec")
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "shout")
        .body(full(""))
        .unwrap()
}

#[tokio::test]
async fn a_connection_can_be_taken_over_by_the_caller() {
    let cluster = Cluster::new();
    let node = node(&cluster);
    let peers = ready(&cluster, &node);
    let mut response = peers.proxy(2, &kim(), upgrade_request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[header::UPGRADE], "shout");
    let mut io = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    io.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "HELLO");
}

#[tokio::test]
async fn a_connection_that_was_taken_over_is_cut_with_its_node() {
    let cluster = Cluster::new();
    let node = node(&cluster);
    let peers = ready(&cluster, &node);
    let mut response = peers.proxy(2, &kim(), upgrade_request()).await.unwrap();
    let mut io = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    node.listener.cut(1);
    // It waits for five bytes, so it answers nothing; without a cut this would never end.
    assert!(matches!(io.read(&mut [0; 5]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_connection_of_a_user_is_joined_with_the_other_nodes() {
    let cluster = Cluster::new();
    let node = node(&cluster);
    let peers = ready(&cluster, &node);
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = front.accept().await.unwrap();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let peers = peers.clone();
            let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
            async move { peers.proxy(2, &kim(), request).await }
        });
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await
            .unwrap();
    });
    let mut user = TcpStream::connect(address).await.unwrap();
    let request = "GET /api/v1/exec HTTP/1.1\r\nhost: front\r\nconnection: upgrade\r\n\
                   upgrade: shout\r\n\r\nhello";
    user.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    user.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nHELLO"), "{answer}");
}
