//! Real handshakes over an in-memory pipe.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use smr_pki::{
    Alpn, Authority, Credentials, Identity, Role, SigningRequest, Subject, TlsMaterial,
    client_config, server_config,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{client, server};

use crate::support::{DAY, Streams, dial, now};

struct Cluster {
    authority: Authority,
    server: Arc<ServerConfig>,
}

impl Cluster {
    fn new() -> Self {
        let authority = Authority::create(DAY * 10, now()).unwrap();
        let server = server_config(&node(&authority)).unwrap();
        Self { authority, server }
    }

    fn user(&self, name: &str, role: Role) -> Credentials {
        self.authority.issue(&Subject::user(name, role).unwrap(), DAY, now()).unwrap()
    }
}

fn node(authority: &Authority) -> Credentials {
    let domains = ["node-1.example.com".to_owned()];
    let ips = ["192.0.2.1".parse().unwrap()];
    let subject = Subject::node("node-1", &domains, &ips).unwrap();
    authority.issue(&subject, DAY, now()).unwrap()
}

/// Shakes hands; the texts of the errors of server and client.
async fn connect(
    server: Arc<ServerConfig>,
    client: ClientConfig,
    name: &str,
) -> Result<Streams, (String, String)> {
    dial(server, client, name).await.map_err(|failure| {
        let text = |err: Option<std::io::Error>| err.map(|e| e.to_string()).unwrap_or_default();
        (text(failure.server), text(failure.client))
    })
}

fn peer(stream: &server::TlsStream<DuplexStream>) -> Identity {
    Identity::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap()
}

#[tokio::test]
async fn a_viewer_is_recognised_and_http2_is_offered() {
    let cluster = Cluster::new();
    let viewer = cluster.user("kim", Role::Viewer);
    for name in ["localhost", "node.private", "node-1.example.com", "192.0.2.1", "127.0.0.1", "::1"]
    {
        let client = client_config(&viewer, Alpn::Http).unwrap();
        let (server, client) = connect(cluster.server.clone(), client, name).await.unwrap();
        let identity = peer(&server);
        assert_eq!((identity.name.as_str(), identity.role), ("kim", Role::Viewer));
        assert_eq!(identity, *viewer.identity());
        assert_eq!(identity.serial.len(), 32);
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(client.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn without_a_certificate_there_is_no_connection() {
    let cluster = Cluster::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(&cluster.authority.certificate_pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (server, _) = connect(cluster.server, client, "localhost").await.unwrap_err();
    assert_eq!(server, "peer sent no certificates");
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused_by_both_sides() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let stranger = theirs.user("kim", Role::Admin);
    let client = client_config(&stranger, Alpn::Http).unwrap();
    let (_, error) = connect(ours.server.clone(), client, "localhost").await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    // A stranger that trusts our server still gets nothing from it.
    let mixed = format!(
        "{}{}{}",
        smr_pki::ExposeSecret::expose_secret(&stranger.key().to_pem()),
        stranger.certificate_pem(),
        ours.authority.certificate_pem()
    );
    let mixed = Credentials::from_bundle(&mixed, "the test").unwrap();
    assert_eq!(
        mixed.check("the test", now()).unwrap_err().to_string(),
        "the certificate in the test was not signed by this cluster's authority"
    );
    let client = client_config(&mixed, Alpn::Http).unwrap();
    let (error, _) = connect(ours.server, client, "localhost").await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn expired_certificates_are_refused() {
    let past = now().checked_sub(DAY * 3).unwrap();
    let authority = Authority::create(DAY * 30, past).unwrap();
    let server = server_config(&node(&authority)).unwrap();
    let subject = Subject::user("kim", Role::Admin).unwrap();
    let expired = authority.issue(&subject, DAY, past).unwrap();
    let message = expired.check("`/home/kim/x`", now()).unwrap_err().to_string();
    assert!(message.starts_with("the certificate in `/home/kim/x` expired at 20"), "{message}");
    let client = client_config(&expired, Alpn::Http).unwrap();
    let (error, _) = connect(server, client, "localhost").await.unwrap_err();
    assert!(error.contains("certificate expired"), "{error}");
}

#[tokio::test]
async fn a_client_refuses_a_server_under_another_name_and_users_as_servers() {
    let cluster = Cluster::new();
    let admin = cluster.user("kim", Role::Admin);
    let client = client_config(&admin, Alpn::Http).unwrap();
    let (_, error) =
        connect(cluster.server.clone(), client, "other.example.com").await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
    let pretender = server_config(&cluster.user("localhost", Role::Admin)).unwrap();
    let client = client_config(&admin, Alpn::Http).unwrap();
    connect(pretender, client, "localhost").await.unwrap_err();
}

#[tokio::test]
async fn a_renewed_certificate_serves_new_connections_while_old_ones_go_on() {
    let cluster = Cluster::new();
    let first = node(&cluster.authority);
    let material = TlsMaterial::new(&first).unwrap();
    let server = material.server_config().unwrap();
    let admin = cluster.user("kim", Role::Admin);
    let config = || client_config(&admin, Alpn::Http1).unwrap();
    let serial = |stream: &client::TlsStream<DuplexStream>| {
        Identity::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap().serial
    };
    let (mut old_server, mut old_client) =
        connect(server.clone(), config(), "localhost").await.unwrap();
    assert_eq!(serial(&old_client), first.identity().serial);

    let second = node(&cluster.authority);
    material.reload(&second).unwrap();
    let (_, new_client) = connect(server.clone(), config(), "localhost").await.unwrap();
    assert_eq!(serial(&new_client), second.identity().serial);
    assert_eq!(new_client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));

    old_client.write_all(b"still here").await.unwrap();
    old_client.flush().await.unwrap();
    let mut text = [0; 10];
    old_server.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"still here");

    // The node as a client presents the renewed certificate too.
    let client = material.client_config(Alpn::Http).unwrap();
    let (accepted, _) = connect(server, client, "localhost").await.unwrap();
    assert_eq!(peer(&accepted).serial, second.identity().serial);
    assert_eq!(peer(&accepted).role, Role::Node);
}

#[tokio::test]
async fn a_signing_request_decides_nothing_but_the_key() {
    let cluster = Cluster::new();
    let request = SigningRequest::generate().unwrap();
    let subject = Subject::user("kim", Role::Viewer).unwrap();
    let signed = cluster.authority.sign_request(request.pem(), &subject, DAY, now()).unwrap();
    let viewer = request.complete(&signed, &cluster.authority.certificate_pem()).unwrap();
    let client = client_config(&viewer, Alpn::Http).unwrap();
    let (server, _) = connect(cluster.server, client, "localhost").await.unwrap();
    assert_eq!(peer(&server).role, Role::Viewer);

    // A request that asks to be an authority named root gets what the signer says.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["evil.example.com".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "root");
    params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "admin");
    let evil = params.serialize_request(&key).unwrap().pem().unwrap();
    let signed = cluster.authority.sign_request(&evil, &subject, DAY, now()).unwrap();
    let der = certificate(&signed);
    let identity = Identity::from_der(&der).unwrap();
    assert_eq!((identity.name.as_str(), identity.role), ("kim", Role::Viewer));
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!parsed.is_ca());
    assert!(parsed.subject_alternative_name().unwrap().is_none());

    let other = SigningRequest::generate().unwrap();
    let error = other.complete(&signed, &cluster.authority.certificate_pem()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the private key in the answer to the signing request does not belong to its certificate"
    );
    let error = cluster.authority.sign_request("nonsense", &subject, DAY, now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate signing request of `kim` is damaged or not signed by its own key"
    );
}

fn certificate(pem: &str) -> rustls::pki_types::CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
