//! A single etcd member as a child process, and the one call of its API that is needed.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::{Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

/// `etcdserverpb.PutRequest`, the fields used here.
#[derive(Clone, PartialEq, Message)]
pub struct PutRequest {
    /// Key to write.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// New value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`; its content is not looked at.
#[derive(Clone, PartialEq, Message)]
pub struct PutResponse {}

/// A running etcd; it ends when this is dropped.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    channel: Channel,
}

impl Etcd {
    /// Starts one member with its data in `dir` and waits until it takes writes.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        let (client, peer) = (free_port()?, free_port()?);
        let client_url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let child = Command::new("etcd")
            .args(["--name", "bench", "--data-dir"])
            .arg(dir)
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("bench={peer_url}")])
            .args(["--quota-backend-bytes", "8000000000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run `etcd`; install the package etcd-server")?;
        let channel = Channel::from_shared(client_url)?.connect_lazy();
        let etcd = Self { child, channel };
        let deadline = Instant::now() + Duration::from_secs(30);
        let putter = etcd.putter();
        while let Err(error) = putter.put(b"warm".to_vec(), b"up".to_vec()).await {
            anyhow::ensure!(Instant::now() < deadline, "etcd does not take writes: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(etcd)
    }

    /// A handle for writers; clones share one connection.
    pub fn putter(&self) -> Putter {
        Putter(Grpc::new(self.channel.clone()))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes keys to etcd.
#[derive(Debug, Clone)]
pub struct Putter(Grpc<Channel>);

impl Putter {
    /// Writes one key and waits for the acknowledgement.
    pub async fn put(&self, key: Vec<u8>, value: Vec<u8>) -> anyhow::Result<()> {
        let mut grpc = self.0.clone();
        grpc.ready().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
        let codec: ProstCodec<PutRequest, PutResponse> = ProstCodec::default();
        grpc.unary(Request::new(PutRequest { key, value }), path, codec).await?;
        Ok(())
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
