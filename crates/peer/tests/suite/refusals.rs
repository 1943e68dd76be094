//! Who is not talked to, and how that is said.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use smr_peer::{
    Deadlines, EnrolRequest, Limits, Listener, ListenerConfig, Membership, PeerError, Refusal,
};
use smr_pki::{Role, Subject};
use smr_store::RpcKind;

use crate::fixture::{CLUSTER, Cluster, HOUR, Plan, call, knock, peers, ping};

#[tokio::test]
async fn a_user_is_refused_in_the_handshake() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let user = Subject::user("kim", Role::Admin).unwrap();
    let material = cluster.material(&user, Timestamp::now());
    let peers = peers(1, &material, CLUSTER, Deadlines::default());
    let error = knock(&peers, &node).await.unwrap_err();
    assert!(matches!(error, PeerError::Rejected { .. }), "{}", error.report());
}

#[tokio::test]
async fn a_user_that_passes_the_handshake_is_refused_with_a_sentence() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    // The TLS configuration of the control API lets everybody in.
    let server = cluster.member(2).server_config().unwrap();
    let config = ListenerConfig {
        addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        tls: Arc::new(move || server.clone()),
        limits: Limits::default(),
        api: None,
    };
    let listener = Listener::start(config, node.peers.clone(), node.service.clone()).unwrap();
    let user = Subject::user("kim", Role::Admin).unwrap();
    let material = cluster.material(&user, Timestamp::now());
    let peers = peers(1, &material, CLUSTER, Deadlines::default());
    let error = call(&peers, 2, listener.addresses()[0], RpcKind::Vote, "").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `2` refused: the certificate of `kim` has the role `admin`; only nodes talk to each \
         other here, use the control API"
    );
}

#[tokio::test]
async fn another_node_at_the_address_is_noticed() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = cluster.peers(1);
    let error = call(&peers, 3, node.address(), RpcKind::Vote, "").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("at `{}` answers node `2`, not node `3`; correct its address", node.address())
    );
}

#[tokio::test]
async fn a_node_of_another_authority_is_not_talked_to() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let node = theirs.node(2);
    let error = knock(&ours.peers(1), &node).await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{}", error.report());
}

#[tokio::test]
async fn a_sender_that_is_not_its_certificate_is_refused() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = peers(1, &cluster.member(4), CLUSTER, Deadlines::default());
    check(
        &knock(&peers, &node).await.unwrap_err(),
        Refusal::Node,
        "the certificate is of node `4`, the request says it is from node `1`",
    );
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = peers(1, &cluster.member(1), "beef", Deadlines::default());
    check(
        &knock(&peers, &node).await.unwrap_err(),
        Refusal::Cluster,
        "node `2` belongs to cluster `c0ffee`, not to `beef`; correct the address",
    );
}

#[tokio::test]
async fn who_is_revoked_hears_nothing_more_on_an_open_connection() {
    let cluster = Cluster::new();
    let subject = Subject::member("node-2", 2, &[], &[]).unwrap();
    let credentials = cluster.authority.issue(&subject, HOUR, Timestamp::now()).unwrap();
    let node = cluster.node(2);
    let material = cluster.member(2);
    material.reload(&credentials).unwrap();
    let (_, server) = smr_peer::tls(&material).unwrap();
    let config = ListenerConfig {
        addresses: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        tls: server,
        limits: Limits::default(),
        api: None,
    };
    let listener = Listener::start(config, node.peers.clone(), node.service.clone()).unwrap();
    let (address, peers) = (listener.addresses()[0], cluster.peers(1));
    peers.refuse(cluster.revoked.clone());
    call(&peers, 2, address, RpcKind::AppendEntries, "secret").await.unwrap();

    cluster.revoked.revoke(&credentials.identity().serial);
    let error = call(&peers, 2, address, RpcKind::AppendEntries, "secret").await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{}", error.report());
    assert!(error.report().contains("Revoked"), "{}", error.report());
    assert!(!peers.stats()[0].connected);
}

#[tokio::test]
async fn a_stranger_at_the_address_cannot_say_that_a_node_was_removed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stranger = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        // A fatal alert in the clear: certificate_revoked.
        stream.write_all(&[21, 3, 3, 0, 2, 2, 44]).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let peers = Cluster::new().peers(1);
    let error = call(&peers, 2, address, RpcKind::Vote, "").await.unwrap_err();
    assert!(matches!(error, PeerError::Unreachable { .. }), "{}", error.report());
    assert!(error.report().contains("CertificateRevoked"), "{}", error.report());
    assert!(peers.removal().borrow().is_none());
    stranger.await.unwrap();
}

#[tokio::test]
async fn strangers_of_one_address_take_no_places_of_others() {
    let cluster = Cluster::new();
    let limits = Limits { handshakes_per_address: 2, ..Limits::default() };
    let node = cluster
        .node_with(Plan { limits, ..Plan::new(2) }, |_, rpc| Box::pin(async move { Ok(rpc.body) }));
    let open = || tokio::net::TcpStream::connect(node.address());
    let mut idle = [open().await.unwrap(), open().await.unwrap()];
    // The first two wait to be spoken to, further ones are closed at once.
    let mut third = open().await.unwrap();
    let mut buffer = [0; 1];
    let closed = tokio::io::AsyncReadExt::read(&mut third, &mut buffer).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let waits = tokio::io::AsyncReadExt::read(&mut idle[0], &mut buffer);
    assert!(futures_util::FutureExt::now_or_never(waits).is_none());
    let own = tokio::net::TcpSocket::new_v4().unwrap();
    own.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut elsewhere = own.connect(node.address()).await.unwrap();
    // No TLS: it is let in far enough to be told so.
    tokio::io::AsyncWriteExt::write_all(&mut elsewhere, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let alert = tokio::io::AsyncReadExt::read(&mut elsewhere, &mut buffer).await;
    assert_eq!((alert.unwrap(), buffer), (1, [21]));
}

#[tokio::test]
async fn a_certificate_that_is_revoked_is_refused_in_the_handshake() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let material = cluster.member(1);
    let subject = Subject::member("node-1", 1, &[], &[]).unwrap();
    let credentials = cluster.authority.issue(&subject, HOUR, Timestamp::now()).unwrap();
    material.reload(&credentials).unwrap();
    cluster.revoked.revoke(&credentials.identity().serial);
    let peers = peers(1, &material, CLUSTER, Deadlines::default());
    let error = knock(&peers, &node).await.unwrap_err();
    assert!(matches!(error, PeerError::Rejected { alert, .. } if alert.is_revoked()), "{error}");
    // The next call is not refused by the other side again, it is told what happened.
    assert_eq!(knock(&peers, &node).await.unwrap_err().to_string(), error.to_string());

    // A new certificate counts at once.
    material.reload(&cluster.authority.issue(&subject, HOUR, Timestamp::now()).unwrap()).unwrap();
    peers.heard_from(2);
    knock(&peers, &node).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_revoked_is_refused_on_an_open_connection() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = cluster.peers(1);
    knock(&peers, &node).await.unwrap();
    *node.service.membership.lock().unwrap() = Membership::Revoked("ask for another".to_owned());
    check(&knock(&peers, &node).await.unwrap_err(), Refusal::Revoked, "ask for another");
    assert_eq!(*peers.removal().borrow(), None);
}

#[tokio::test]
async fn a_removed_node_learns_that_it_has_to_stop() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = cluster.peers(1);
    let mut removal = peers.removal();
    let text = "node `1` was removed on Monday; join again with an empty data directory";
    *node.service.membership.lock().unwrap() = Membership::Removed(text.to_owned());
    let error = knock(&peers, &node).await.unwrap_err();
    assert!(matches!(error, PeerError::Removed { target: 2, .. }));
    assert_eq!(error.to_string(), format!("node `2` says that this node was removed: {text}"));
    let told = removal.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!((told.by, told.text.as_str()), (2, text));
}

#[tokio::test]
async fn an_unknown_node_is_refused_and_may_try_again() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let peers = cluster.peers(1);
    *node.service.membership.lock().unwrap() = Membership::Unknown;
    let text = "node `2` does not know node `1` as a member";
    check(&knock(&peers, &node).await.unwrap_err(), Refusal::Unknown, text);
    *node.service.membership.lock().unwrap() = Membership::Member;
    knock(&peers, &node).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_good_for_a_new_one_only() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let material = cluster.member_since(1, Timestamp::now() - HOUR * 3);
    let peers = peers(1, &material, CLUSTER, Deadlines::default());
    let error = knock(&peers, &node).await.unwrap_err();
    assert!(matches!(error, PeerError::Refused { refusal: Refusal::Expired, .. }), "{error}");
    assert!(peers.ping(2, &ping()).await.is_err());
    let request = EnrolRequest { request: "again".to_owned() };
    assert_eq!(peers.enrol(2, &request).await.unwrap().certificate, "for node-1: again");

    // The connection that is open is still the one of the old certificate; the next one is not.
    let subject = Subject::member("node-1", 1, &[], &[]).unwrap();
    let renewed = cluster.authority.issue(&subject, HOUR, Timestamp::now()).unwrap();
    material.reload(&renewed).unwrap();
    knock(&peers, &node).await.unwrap_err();
    knock(&peers, &node).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let cluster = Cluster::new();
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let node = cluster
        .node_with(Plan { limits, ..Plan::new(2) }, |_, rpc| Box::pin(async move { Ok(rpc.body) }));
    let peers = cluster.peers(1);
    let large = call(&peers, 2, node.address(), RpcKind::Propose, vec![0; 1001]).await;
    let text = "the message is larger than 1000 bytes";
    check(&large.unwrap_err(), Refusal::Message, text);
    call(&peers, 2, node.address(), RpcKind::Propose, vec![0; 1000]).await.unwrap();
}

/// What no node of this version sends: a newer version, an unknown path, garbage.
#[tokio::test]
async fn a_newer_version_and_unknown_paths_are_refused() {
    let cluster = Cluster::new();
    let node = cluster.node(2);
    let (tls, _) = smr_peer::tls(&cluster.member(1)).unwrap();
    let mut config = tls(2).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(node.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TokioIo::new(connector.connect(name, stream).await.unwrap());
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let ask = |version: &'static str, path: &'static str| {
        let mut sender = sender.clone();
        async move {
            let request = Request::post(format!("https://node{path}"))
                .header("smr-protocol", version)
                .header("smr-cluster", CLUSTER)
                .header("smr-node", "1")
                .header("smr-target", "2")
                .body(Empty::<bytes::Bytes>::new())
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            let status = response.status().as_u16();
            let text = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(text.to_vec()).unwrap())
        }
    };
    assert_eq!(ask("1.7", "/peer/v1/alive").await, (200, String::new()));
    for version in ["2.0", "0.9", "", "new"] {
        let (status, text) = ask(version, "/peer/v1/alive").await;
        assert_eq!(status, 505);
        assert_eq!(
            text,
            format!(
                "node `2` speaks version 1.0 of the protocol between nodes, and does not \
                 understand version `{version}`; upgrade the older node"
            )
        );
    }
    for path in ["/", "/peer/v1/raft/nonsense", "/peer/v2/ping", "/apis"] {
        let text = format!("there is no `{path}` between nodes; upgrade the older node");
        assert_eq!(ask("1.0", path).await, (404, text));
    }
    assert_eq!(ask("1.0", "/peer/v1/ping").await.0, 400);
    assert_eq!(ask("1.0", "/peer/v1/probe/x").await.0, 400);
    assert_eq!(ask("1.0", "/api/v1/ps").await, (404, "this node has no control API".to_owned()));
}

#[track_caller]
fn check(error: &PeerError, expected: Refusal, expected_text: &str) {
    let PeerError::Refused { refusal, text, .. } = error else {
        panic!("not refused, but: {}", error.report());
    };
    assert_eq!((*refusal, text.as_str()), (expected, expected_text));
}
