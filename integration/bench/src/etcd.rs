//! Members of etcd as child processes, and the two calls of its API that are needed.

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

/// How long a cluster may take until it accepts writes.
const START: Duration = Duration::from_secs(30);

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

/// `etcdserverpb.StatusRequest`.
#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

/// `etcdserverpb.StatusResponse`, the fields used here.
#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

/// `etcdserverpb.ResponseHeader`, the fields used here.
#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

/// Running members of etcd; they end when this is dropped.
#[derive(Debug)]
pub struct Etcd {
    children: Vec<Child>,
    channels: Vec<Channel>,
}

impl Etcd {
    /// Starts so many members with their data below `dir` and waits until each takes writes.
    pub async fn start(dir: &Path, members: usize) -> anyhow::Result<Self> {
        let ports = free_ports(2 * members)?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (clients, peers) = ports.split_at(members);
        let initial: Vec<String> =
            peers.iter().enumerate().map(|(i, port)| format!("m{i}={}", url(*port))).collect();
        let mut etcd = Self { children: Vec::new(), channels: Vec::new() };
        for (i, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let (client, peer) = (url(*client), url(*peer));
            let child = Command::new("etcd")
                .args(["--name", &format!("m{i}"), "--data-dir"])
                .arg(dir.join(format!("m{i}")))
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &initial.join(",")])
                .args(["--quota-backend-bytes", "8000000000"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("cannot run `etcd`; install the package etcd-server")?;
            etcd.children.push(child);
            etcd.channels.push(Channel::from_shared(client)?.connect_lazy());
        }
        let deadline = Instant::now() + START;
        for member in 0..members {
            let putter = etcd.putter(member);
            while let Err(error) = putter.put(b"warm".to_vec(), b"up".to_vec()).await {
                anyhow::ensure!(Instant::now() < deadline, "etcd does not take writes: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(etcd)
    }

    /// A handle for writers to the member with this number, from 0; clones share one connection.
    pub fn putter(&self, member: usize) -> Putter {
        Putter(Grpc::new(self.channels[member].clone()))
    }

    /// Number of the member that leads, from 0.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        for (number, channel) in self.channels.iter().enumerate() {
            let mut grpc = Grpc::new(channel.clone());
            grpc.ready().await?;
            let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Status");
            let codec: ProstCodec<StatusRequest, StatusResponse> = ProstCodec::default();
            let answer = grpc.unary(Request::new(StatusRequest {}), path, codec).await?;
            let status = answer.into_inner();
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(number);
            }
        }
        anyhow::bail!("no member of etcd says that it leads")
    }

    /// Pids of the members.
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
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

/// Different ports of this machine that nobody listens on.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    // All are held until all are known, so that none is given twice.
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
