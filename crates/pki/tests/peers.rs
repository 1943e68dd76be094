//! Nodes among themselves: who is let in, who is believed, and what is said to the others.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::{error::Error, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::{ClientConfig, ServerConfig};
use smr_pki::{
    Alpn, Authority, Credentials, ExpectedPeer, ExpiredPeers, Identity, JoinToken, NodeKey,
    PeerIdentity, RevocationList, Role, Subject, TlsMaterial, client_config, explain_handshake,
    join_client_config, request_key_id, server_config,
};

use crate::support::{DAY, Failure, client_of, dial, now, server_of};

/// What nobody's certificate says; nodes are not known by their names.
const ADDRESS: &str = "203.0.113.9";

struct Cluster {
    authority: Authority,
}

impl Cluster {
    fn new() -> Self {
        Self { authority: Authority::create(DAY * 1000, ago(DAY * 100)).unwrap() }
    }

    fn member(&self, id: u64) -> Credentials {
        self.member_at(id, now())
    }

    fn member_at(&self, id: u64, at: Timestamp) -> Credentials {
        let subject = Subject::member(&format!("node-{id}"), id, &[], &[]).unwrap();
        self.authority.issue(&subject, DAY, at).unwrap()
    }

    fn user(&self, role: Role) -> Credentials {
        self.authority.issue(&Subject::user("kim", role).unwrap(), DAY, now()).unwrap()
    }

    fn token(&self) -> JoinToken {
        let apis = ["192.0.2.1".to_owned()];
        JoinToken::issue(&self.authority, &apis, Duration::from_hours(1), now()).unwrap()
    }
}

fn ago(time: Duration) -> Timestamp {
    now().checked_sub(time).unwrap()
}

fn material(credentials: &Credentials) -> TlsMaterial {
    TlsMaterial::new(credentials).unwrap()
}

fn serving(credentials: &Credentials, expired: ExpiredPeers) -> Arc<ServerConfig> {
    material(credentials).peer_server_config(expired).unwrap()
}

fn dialling(credentials: &Credentials, expected: ExpectedPeer) -> ClientConfig {
    material(credentials).peer_client_config(expected).unwrap()
}

fn explained(error: Option<std::io::Error>) -> String {
    let error = error.expect("this side failed");
    explain_handshake(&error).unwrap_or_else(|| panic!("no explanation of: {error}"))
}

#[tokio::test]
async fn nodes_know_each_other_by_their_ids_and_speak_http2() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.member(1), cluster.member(2));
    for expected in [ExpectedPeer::Node(1), ExpectedPeer::Any] {
        let server = serving(&one, ExpiredPeers::Refuse);
        let streams = dial(server, dialling(&two, expected), ADDRESS).await.unwrap();
        assert_eq!(server_of(&streams), *one.identity());
        assert_eq!((server_of(&streams).node_id, client_of(&streams).node_id), (Some(1), Some(2)));
        let tls = streams.1.get_ref().1;
        assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(tls.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(streams.0.get_ref().1.server_name(), None);
    }
}

#[tokio::test]
async fn another_node_at_the_address_is_named() {
    let cluster = Cluster::new();
    let server = serving(&cluster.member(3), ExpiredPeers::Refuse);
    let client = dialling(&cluster.member(1), ExpectedPeer::Node(2));
    let Failure { server, client } = dial(server, client, ADDRESS).await.unwrap_err();
    assert_eq!(explained(client), "expected node 2, but node 3 (`node-3`) answers there");
    assert_eq!(
        explained(server),
        "the other side does not take our certificate for what is done at this address"
    );
}

#[tokio::test]
async fn nobody_but_members_gets_in_between_nodes() {
    let cluster = Cluster::new();
    let node = Subject::node("old", &[], &[]).unwrap();
    let old = cluster.authority.issue(&node, DAY, now()).unwrap();
    let token = cluster.token();
    let not_a_node = |name: &str, role: &str| {
        format!("`{name}` has the role `{role}`, only nodes of the cluster may talk here")
    };
    let refused = [
        (
            old,
            "the certificate of node `old` carries no node id; let it join the cluster again"
                .to_owned(),
        ),
        (cluster.user(Role::Admin), not_a_node("kim", "admin")),
        (token.credentials().clone(), not_a_node(&format!("join-{}", token.id()), "join")),
        (
            Cluster::new().member(2),
            "the certificate of the other side was not signed by an authority of this cluster"
                .to_owned(),
        ),
    ];
    for expired in [ExpiredPeers::Refuse, ExpiredPeers::Admit] {
        for (credentials, reason) in &refused {
            let trusting = credentials.clone().with_authorities(cluster.authority.trust());
            let client = dialling(&trusting, ExpectedPeer::Any);
            let server = serving(&cluster.member(1), expired);
            let failure = dial(server, client, ADDRESS).await.unwrap_err();
            assert_eq!(explained(failure.server), *reason);
        }
    }
    // Nor does a user pass for a node as a server: only nodes' certificates are for servers.
    let server = serving(&cluster.user(Role::Admin), ExpiredPeers::Refuse);
    let client = dialling(&cluster.member(1), ExpectedPeer::Any);
    assert!(dial(server, client, ADDRESS).await.unwrap_err().client.is_some());
}

#[tokio::test]
async fn revoked_certificates_are_refused_by_both_sides_and_on_open_connections() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.member(1), cluster.member(2));
    let list = RevocationList::new();
    let one_tls = material(&one).with_revocation(list.clone());
    let server = one_tls.peer_server_config(ExpiredPeers::Admit).unwrap();
    let api = one_tls.server_config().unwrap();
    let open = dial(server.clone(), dialling(&two, ExpectedPeer::Any), ADDRESS).await.unwrap();
    assert!(!one_tls.revocation().is_revoked(&client_of(&open).serial));

    list.revoke(&two.identity().serial);
    assert!(one_tls.revocation().is_revoked(&client_of(&open).serial));
    for (server, client) in [
        (server, dialling(&two, ExpectedPeer::Any)),
        (api, client_config(&two, Alpn::Http).unwrap()),
    ] {
        let Failure { server, client } = dial(server, client, "127.0.0.1").await.unwrap_err();
        assert_eq!(explained(server), "the certificate of the other side was revoked");
        assert_eq!(
            explained(client),
            "the other side says that our certificate was revoked: this node, user or join token \
             was removed from the cluster"
        );
    }
    // As a server.
    let two_serves = material(&two).server_config().unwrap();
    let failure = dial(two_serves, one_tls.client_config(Alpn::Http).unwrap(), "localhost")
        .await
        .unwrap_err();
    assert_eq!(explained(failure.client), "the certificate of the other side was revoked");
    let two_serves = serving(&two, ExpiredPeers::Refuse);
    let client = one_tls.peer_client_config(ExpectedPeer::Node(2)).unwrap();
    let failure = dial(two_serves, client, ADDRESS).await.unwrap_err();
    assert_eq!(explained(failure.client), "the certificate of the other side was revoked");

    // A list from the store takes the place of what was there.
    list.replace([]);
    let server = one_tls.peer_server_config(ExpiredPeers::Refuse).unwrap();
    dial(server, dialling(&two, ExpectedPeer::Any), ADDRESS).await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_away_for_long_is_let_in_only_where_it_can_enrol() {
    let cluster = Cluster::new();
    let expired = cluster.member_at(2, ago(DAY * 3));
    let one = cluster.member(1);
    let client = || dialling(&expired, ExpectedPeer::Node(1));
    let failure = dial(serving(&one, ExpiredPeers::Refuse), client(), ADDRESS).await.unwrap_err();
    let reason = explained(failure.server);
    let end = expired.validity().not_after;
    assert!(
        reason.starts_with(&format!("the certificate of the other side expired at {end}, and")),
        "{reason}"
    );

    let admitting = || serving(&one, ExpiredPeers::Admit);
    let streams = dial(admitting(), client(), ADDRESS).await.unwrap();
    let der = &streams.0.get_ref().1.peer_certificates().unwrap()[0];
    let peer = PeerIdentity::from_der(der, now()).unwrap();
    assert_eq!((peer.expired, peer.identity), (true, expired.identity().clone()));
    let fresh = dial(admitting(), dialling(&cluster.member(3), ExpectedPeer::Any), ADDRESS).await;
    let fresh = fresh.unwrap();
    let der = &fresh.0.get_ref().1.peer_certificates().unwrap()[0];
    assert!(!PeerIdentity::from_der(der, now()).unwrap().expired);

    // Expired and otherwise wrong is wrong.
    let kim = Subject::user("kim", Role::Admin).unwrap();
    let user = cluster.authority.issue(&kim, DAY, ago(DAY * 3)).unwrap();
    let stranger =
        Cluster::new().member_at(2, ago(DAY * 3)).with_authorities(cluster.authority.trust());
    for credentials in [user, stranger] {
        let client = dialling(&credentials, ExpectedPeer::Any);
        dial(admitting(), client, ADDRESS).await.unwrap_err();
    }
    let list = RevocationList::new();
    list.revoke(&expired.identity().serial);
    let server = material(&one).with_revocation(list);
    let server = server.peer_server_config(ExpiredPeers::Admit).unwrap();
    dial(server, client(), ADDRESS).await.unwrap_err();
    // The usual API knows no such exception, and no server may be expired.
    let api = server_config(&one).unwrap();
    dial(api, client_config(&expired, Alpn::Http).unwrap(), "localhost").await.unwrap_err();
    let server = serving(&expired, ExpiredPeers::Admit);
    dial(server, dialling(&one, ExpectedPeer::Any), ADDRESS).await.unwrap_err();
}

#[tokio::test]
async fn a_node_enrols_again_with_the_key_it_is_known_by() {
    let cluster = Cluster::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pki/node.key");
    let key = NodeKey::load_or_create(&path).unwrap();
    let member = Subject::member("node-2", 2, &[], &[]).unwrap();
    let wish = Subject::member("node-1", 1, &["evil.example.com".to_owned()], &[]).unwrap();
    let request = key.request(&wish).unwrap();
    assert_eq!(request_key_id(&request).unwrap(), key.id());

    let issued = cluster.authority.sign_node(&request, &member, DAY, now()).unwrap();
    let Identity { name, role, node_id, key_id, .. } = issued.identity.clone();
    assert_eq!((name.as_str(), role, node_id, key_id), ("node-2", Role::Node, Some(2), key.id()));
    let credentials = key.complete(&issued.pem, &cluster.authority.certificate_pem()).unwrap();
    assert_eq!(*credentials.identity(), issued.identity);
    let (_, parsed) = x509_parser::pem::parse_x509_pem(issued.pem.as_bytes()).unwrap();
    let parsed = parsed.parse_x509().unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let text = format!("{:?}", names.value.general_names);
    assert!(text.contains("smr://node/2") && !text.contains("evil"), "{text}");

    // After a crash it is the same key, and the certificate that comes back is for that one.
    let again = NodeKey::load_or_create(&path).unwrap();
    assert_eq!((again.id(), NodeKey::of(&credentials).id()), (key.id(), key.id()));
    let renewed =
        cluster.authority.sign_node(&again.request(&member).unwrap(), &member, DAY, now());
    assert_ne!(renewed.unwrap().identity.serial, issued.identity.serial);
    let other = NodeKey::load_or_create(&dir.path().join("other.key")).unwrap();
    let error = other.complete(&issued.pem, &cluster.authority.certificate_pem()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the private key in the answer to the signing request does not belong to its certificate"
    );

    let server = serving(&cluster.member(1), ExpiredPeers::Refuse);
    let streams = dial(server, dialling(&credentials, ExpectedPeer::Node(1)), ADDRESS).await;
    assert_eq!(client_of(&streams.unwrap()).node_id, Some(2));
}

#[test]
fn only_members_are_signed_and_only_what_is_signed_by_its_key() {
    let cluster = Cluster::new();
    let dir = tempfile::tempdir().unwrap();
    let key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let node = Subject::node("node-2", &[], &[]).unwrap();
    let request = key.request(&node).unwrap();
    let refused = |request: &str, subject: &Subject| {
        cluster.authority.sign_node(request, subject, DAY, now()).unwrap_err().to_string()
    };
    for subject in [node, Subject::user("kim", Role::Admin).unwrap()] {
        assert_eq!(
            refused(&request, &subject),
            format!("`{}` cannot get a member's certificate without a node id", subject.name())
        );
    }
    let member = Subject::member("node-2", 2, &[], &[]).unwrap();
    let damaged = "the certificate signing request of `node-2` is damaged or not signed by its own \
                   key";
    assert_eq!(refused("nonsense", &member), damaged);
    // Another key's signature under the request.
    let other = NodeKey::load_or_create(&dir.path().join("other.key")).unwrap();
    let der = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    let (mine, theirs) = (der(&request), der(&other.request(&member).unwrap()));
    let mut forged = mine.clone();
    let end = forged.len() - 40;
    forged[end..].copy_from_slice(&theirs[theirs.len() - 40..]);
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(&forged);
    let forged =
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n");
    assert_eq!(refused(&forged, &member), damaged);
    assert!(request_key_id(&forged).is_err());
}

#[tokio::test]
async fn a_joiner_finds_the_cluster_of_its_token_and_no_other() {
    let cluster = Cluster::new();
    let token = JoinToken::parse(&cluster.token().to_string(), now()).unwrap();
    let one = cluster.member(1);
    let client = || join_client_config(&token).unwrap();
    let streams = dial(server_config(&one).unwrap(), client(), ADDRESS).await.unwrap();
    let joiner = client_of(&streams);
    assert_eq!((joiner.role, joiner.token_id()), (Role::Join, Some(token.id())));
    assert_eq!(joiner.serial, token.credentials().identity().serial);
    assert_eq!(server_of(&streams).node_id, Some(1));

    let other = server_config(&Cluster::new().member(1)).unwrap();
    let failure = dial(other, client(), ADDRESS).await.unwrap_err();
    assert_eq!(
        explained(failure.client),
        "the certificate of the other side was not signed by an authority of this cluster"
    );
    let pretender = server_config(&cluster.user(Role::Admin)).unwrap();
    dial(pretender, client(), ADDRESS).await.unwrap_err();
    // A token that was taken back.
    let list = RevocationList::new();
    list.revoke(&token.credentials().identity().serial);
    let server = material(&one).with_revocation(list).server_config().unwrap();
    dial(server, client(), ADDRESS).await.unwrap_err();
}

#[tokio::test]
async fn clocks_that_differ_are_both_named() {
    let cluster = Cluster::new();
    let ahead = now().checked_add(DAY).unwrap();
    let future = cluster.member_at(2, ahead);
    let start = future.validity().not_before;
    assert_eq!(start, ahead.checked_sub(Duration::from_mins(5)).unwrap().round_to_second());
    let reason = future.check("`node.pem`", now()).unwrap_err().to_string();
    let begins = format!(
        "the certificate in `node.pem` is not valid before {start}, and this machine's clock says"
    );
    assert!(reason.starts_with(&begins), "{reason}");

    let one = cluster.member(1);
    for expired in [ExpiredPeers::Refuse, ExpiredPeers::Admit] {
        let client = dialling(&future, ExpectedPeer::Node(1));
        let Failure { server, client } =
            dial(serving(&one, expired), client, ADDRESS).await.unwrap_err();
        let reason = explained(server);
        let begins = format!(
            "the certificate of the other side is not valid before {start}, and this machine's \
             clock says "
        );
        assert!(reason.starts_with(&begins), "{reason}");
        assert_eq!(
            explained(client),
            "the other side says that our certificate has expired or is not valid yet; compare \
             the clocks of both machines"
        );
    }
}

trait RoundToSecond {
    fn round_to_second(self) -> Self;
}

impl RoundToSecond for Timestamp {
    /// Certificates have no fractions.
    fn round_to_second(self) -> Self {
        Self::from_second(self.as_second()).unwrap()
    }
}

#[test]
fn an_alert_is_explained_from_its_text_too_and_other_errors_are_not() {
    let http2 = std::io::Error::other("connection error: received fatal alert: CertificateRevoked");
    assert!(explain_handshake(&http2).unwrap().contains("was revoked"));
    for text in ["connection refused", "received fatal alert: ", "received fatal alert: Strange"] {
        let error: Box<dyn Error> = text.into();
        assert_eq!(explain_handshake(&*error), None, "{text}");
    }
}
