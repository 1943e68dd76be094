//! A server over real TLS and a real store, with a node that only pretends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "every test file uses its part")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;
use smr_client::Client;
use smr_control::{Control, MemberFacts, Options, Registration, Report};
use smr_model::{ReplicaKey, ReplicaState, ReplicaStatus};
use smr_pki::{
    Alpn, Authority, AuthoritySet, Credentials, DataKey, ExposeSecret as _, RevocationList, Role,
    Subject, TlsMaterial, client_config,
};
use smr_server::{ExecInput, ExecOutput, ExecSession, LogChunk, Runtime, Server, ServerConfig};
use smr_store::Store;
use smr_wire::{ApiError, ExecQuery, Health, LogQuery, Version};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Lab {
    pub(crate) control: Control,
    pub(crate) authority: Authority,
    pub(crate) runtime: Arc<Pretend>,
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) revoked: RevocationList,
    pub(crate) dir: TempDir,
}

/// A node without containers.
#[derive(Default)]
pub(crate) struct Pretend {
    /// Told when a backup began.
    pub(crate) begun: Notify,
    /// Lets the backup end.
    pub(crate) finish: Notify,
    /// Whom the lead was handed to.
    pub(crate) transfers: Mutex<Vec<Option<u64>>>,
}

pub(crate) async fn lab() -> Lab {
    lab_with(|_| ()).await
}

/// The first node of a cluster with one replica.
pub(crate) async fn lab_with(change: impl FnOnce(&mut ServerConfig)) -> Lab {
    let lab = lab_over(true, change).await;
    let report = Report { put: vec![status()], ..Report::default() };
    lab.control.report(report).await.unwrap();
    let authorities = AuthoritySet::new(lab.authority.clone());
    assert!(lab.control.found_authorities(&authorities).await.unwrap());
    let facts = MemberFacts {
        name: "node-1".to_owned(),
        peer: "192.0.2.1:9212".to_owned(),
        api: lab.url(""),
        key_id: "founder".to_owned(),
        epoch: 1,
        instance: "first".to_owned(),
    };
    let founded = lab.control.register_founder(&facts, Timestamp::now()).await.unwrap();
    assert!(matches!(founded, Registration::Registered(_)));
    lab
}

/// A node with nothing in its store; without `bootstrap` one that waits for a leader to say what
/// there is.
pub(crate) async fn lab_over(bootstrap: bool, change: impl FnOnce(&mut ServerConfig)) -> Lab {
    let dir = TempDir::new().unwrap();
    let mut options = smr_store::Options::new(dir.path().join("data"));
    options.bootstrap = bootstrap;
    let store = Store::open(options).await.unwrap();
    let options = Options { node_id: 1, node_name: "node-1".to_owned() };
    let control = Control::new(store, DataKey::from_bytes(&[7; 32]), options);
    let authority = Authority::create(DAY * 3650, Timestamp::now()).unwrap();
    let node = Subject::node("node-1", &[], &[]).unwrap();
    let credentials = authority.issue(&node, DAY, Timestamp::now()).unwrap();
    let revoked = RevocationList::new();
    let mut config = ServerConfig::new(vec!["127.0.0.1:0".parse().unwrap()]);
    config.revoked = revoked.clone();
    change(&mut config);
    let runtime = Arc::new(Pretend::default());
    let tls = TlsMaterial::new(&credentials).unwrap().with_revocation(revoked.clone());
    let tls = tls.server_config().unwrap();
    let server = Server::start(config, tls, control.clone(), runtime.clone()).await.unwrap();
    let address = server.addresses()[0];
    Lab { control, authority, runtime, server, address, revoked, dir }
}

impl Lab {
    pub(crate) fn user(&self, role: Role) -> Credentials {
        user(&self.authority, role, DAY)
    }

    pub(crate) fn client(&self, role: Role) -> reqwest::Client {
        client(&self.user(role))
    }

    /// The client of this project.
    pub(crate) fn api(&self, role: Role) -> Client {
        self.api_with(&self.user(role))
    }

    pub(crate) fn api_with(&self, credentials: &Credentials) -> Client {
        Client::with_credentials(&self.url(""), credentials, smr_client::Options::default())
            .unwrap()
    }

    /// What a node does when the keyspace says that certificates are revoked.
    pub(crate) fn follow_revocations(&self) {
        self.revoked.replace(self.control.revoked_serials().unwrap());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

pub(crate) fn user(authority: &Authority, role: Role, life: Duration) -> Credentials {
    let subject = match role {
        Role::Node => Subject::node("node-2", &[], &[]).unwrap(),
        Role::Join => Subject::joiner("none").unwrap(),
        role => Subject::user("kim", role).unwrap(),
    };
    authority.issue(&subject, life, Timestamp::now()).unwrap()
}

pub(crate) fn client(credentials: &Credentials) -> reqwest::Client {
    let tls = client_config(credentials, Alpn::Http).unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap()
}

/// A client that trusts the server but shows no certificate.
pub(crate) fn client_without_certificate(lab: &Lab) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = lab.authority.certificate_pem();
    let root = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([root]).build().unwrap()
}

pub(crate) fn bundle(credentials: &Credentials) -> String {
    credentials.bundle().expose_secret().to_owned()
}

fn status() -> ReplicaStatus {
    serde_json::from_value(serde_json::json!({
        "key": {"group": "g", "name": "web", "index": 1},
        "node": "node-1", "nodeId": 1, "state": ReplicaState::Running,
        "since": "2026-01-01T00:00:00Z", "ready": true, "generation": 1,
    }))
    .unwrap()
}

#[async_trait]
impl Runtime for Pretend {
    async fn settled(&self, _: u64) {}

    async fn logs(
        &self,
        replica: &ReplicaKey,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogChunk, ApiError>>, ApiError> {
        let chunk = |stderr, text: String| Ok(LogChunk { stderr, data: text.into() });
        let past =
            [chunk(false, format!("{}\n", replica.generated_name())), chunk(true, "!\n".into())];
        let past = stream::iter(past);
        if query.follow {
            return Ok(past.chain(stream::pending()).boxed());
        }
        Ok(past.boxed())
    }

    async fn debug_log(
        &self,
        _: &ReplicaKey,
        _: &LogQuery,
    ) -> Result<BoxStream<'static, Bytes>, ApiError> {
        Ok(stream::iter([Bytes::from_static(b"started\n")]).boxed())
    }

    /// Says back what it is told, upper case, until the end of the input; then exits with 3.
    async fn exec(&self, _: &ReplicaKey, _: &ExecQuery) -> Result<ExecSession, ApiError> {
        let (input, received) = mpsc::channel(8);
        let output = stream::unfold(Some(received), |received| async move {
            let mut received = received?;
            match received.recv().await {
                Some(ExecInput::Data(data)) => {
                    let data = data.to_ascii_uppercase().into();
                    Some((ExecOutput::Stdout(data), Some(received)))
                }
                Some(ExecInput::Resize(size)) => {
                    let text = format!("{}x{}", size.width, size.height);
                    Some((ExecOutput::Stderr(text.into()), Some(received)))
                }
                Some(ExecInput::Eof) | None => Some((ExecOutput::Exit(3), None)),
            }
        });
        Ok(ExecSession { input, output: output.boxed() })
    }

    async fn transfer(&self, to: Option<u64>) -> Result<(), ApiError> {
        self.transfers.lock().unwrap().push(to);
        Ok(())
    }

    async fn health(&self) -> Health {
        Health { ok: true, ..Health::default() }
    }

    fn version(&self) -> Version {
        Version { version: "0.1.0".into(), node: "node-1".into(), engine: String::new() }
    }

    async fn backup(&self, _: Option<&str>) -> Result<tokio::fs::File, ApiError> {
        self.begun.notify_one();
        self.finish.notified().await;
        let file = tempfile::tempfile().unwrap();
        Ok(tokio::fs::File::from_std(file))
    }
}
