//! Members of our store as processes that talk as nodes do: HTTP/2 over mutual TLS.
//!
//! A member is this very program, run again with [`CHILD`]. Clients write by a message of kind
//! `Propose` whose body is ours; the member makes a write of it, as a node does with what its users ask.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use jiff::Timestamp;
use smr_peer::{
    Caller, Deadlines, EnrolAnswer, EnrolRequest, Limits, Listener, ListenerConfig, Membership,
    Peers, PeersConfig, Ping, Pong, ProbeResult, Service, ServiceError,
};
use smr_pki::{Authority, Credentials, Subject, TlsMaterial};
use smr_store::{Member, Options, Rpc, RpcKind, Store, Transport};

use crate::etcd::free_ports;

/// First argument of a process that is a member.
pub const CHILD: &str = "--member";

/// Id of the process with the clients; no member has it.
const CLIENTS: u64 = 99;

const CLUSTER: &str = "bench";

/// What a member says once it is one of the voters, or leads them.
const READY: &str = "ready";

/// How long members may take to become a cluster.
const START: Duration = Duration::from_secs(30);

/// How long the certificates live.
const LIFETIME: Duration = Duration::from_hours(24);

/// Running members; they end when this is dropped.
pub struct Members {
    children: Vec<Child>,
    members: Vec<Member>,
    peers: Peers,
}

impl Members {
    /// Starts so many members with their data below `dir` and waits until all are voters.
    pub async fn start(dir: &Path, count: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let authority = Authority::create(LIFETIME, Timestamp::now())?;
        let ids: Vec<u64> = (1..=count as u64).collect();
        for id in ids.iter().copied().chain([CLIENTS]) {
            let subject = Subject::member(&format!("n{id}"), id, &[], &[])?;
            authority.issue(&subject, LIFETIME, Timestamp::now())?.save(&bundle(dir, id))?;
        }
        let addresses: Vec<String> =
            free_ports(count)?.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut children = Vec::new();
        for id in &ids {
            let child = Command::new(std::env::current_exe()?)
                .arg(CHILD)
                .arg(id.to_string())
                .arg(dir)
                .arg(addresses.join(","))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            children.push(child);
        }
        let members = ids
            .iter()
            .zip(addresses)
            .map(|(id, address)| Member { id: *id, address })
            .collect::<Vec<_>>();
        let (peers, _) = own_peers(dir, CLIENTS)?;
        let mut all = Self { children, members, peers };
        let founder = all.children[0].stdout.take().context("the founder's output")?;
        let said = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(founder).read_line(&mut line).map(|_| line)
        });
        let said =
            tokio::time::timeout(START, said).await.context("members form no cluster")???;
        ensure!(said.trim() == READY, "the founder ended or said `{}`", said.trim());
        Ok(all)
    }

    /// A handle for writers to the member with this number, from 0; clones share one connection.
    pub fn putter(&self, member: usize) -> Putter {
        Putter { peers: self.peers.clone(), member: self.members[member].clone() }
    }

    /// Number of the member that leads, from 0.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        for (number, member) in self.members.iter().enumerate() {
            let rpc = Rpc { kind: RpcKind::Propose, body: Vec::new() };
            if self.peers.call(member.clone(), rpc).await? == [1] {
                return Ok(number);
            }
        }
        bail!("no member says that it leads")
    }

    /// Pids of the members.
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Writes keys through one member.
#[derive(Clone)]
pub struct Putter {
    peers: Peers,
    member: Member,
}

impl Putter {
    /// Writes one key and waits for the acknowledgement.
    pub async fn put(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        let mut body = Vec::with_capacity(key.len() + 1 + value.len());
        body.extend_from_slice(key.as_bytes());
        body.push(0);
        body.extend_from_slice(value);
        let rpc = Rpc { kind: RpcKind::Propose, body };
        self.peers.call(self.member.clone(), rpc).await?;
        Ok(())
    }
}

/// What the process does that is a member: serves until its standard input ends. `arguments` are an id, the
/// common directory, and the addresses of all members by id.
pub async fn child(arguments: &[String]) -> anyhow::Result<()> {
    let [id, dir, addresses] = arguments else {
        bail!("`{CHILD}` takes an id, a directory and addresses");
    };
    let (id, dir): (u64, PathBuf) = (id.parse()?, dir.into());
    let members: Vec<Member> = (1..)
        .zip(addresses.split(','))
        .map(|(id, address)| Member { id, address: address.to_owned() })
        .collect();
    let own = members.iter().find(|member| member.id == id).context("an address for this id")?;
    let (peers, material) = own_peers(&dir, id)?;
    let mut options = Options::new(dir.join(format!("m{id}")));
    options.node_id = id;
    options.address = own.address.clone();
    options.bootstrap = id == 1;
    options.transport = Arc::new(peers.clone());
    let store = Store::open(options).await?;
    let (_, tls) = smr_peer::tls(&material)?;
    let listen = ListenerConfig {
        addresses: vec![own.address.parse::<SocketAddr>()?],
        tls,
        limits: Limits::default(),
        api: None,
    };
    let service = Arc::new(BenchService { store: store.clone(), peers: peers.clone() });
    let listener = Listener::start(listen, peers, service)?;
    if id == 1 {
        form(&store, &members).await?;
        writeln!(std::io::stdout(), "{READY}")?;
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    listener.shutdown(Duration::ZERO).await;
    store.shutdown().await;
    Ok(())
}

/// Makes all members voters of the founder's cluster.
async fn form(store: &Store, members: &[Member]) -> anyhow::Result<()> {
    let deadline = Instant::now() + START;
    let mut leadership = store.leadership();
    tokio::time::timeout(START, leadership.wait_for(|now| now.ready)).await??;
    for member in members.iter().filter(|member| member.id != 1) {
        while let Err(error) = store.add_learner(member.clone()).await {
            ensure!(Instant::now() < deadline, "member {} does not come: {error}", member.id);
        }
    }
    let voters: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
    store.set_voters(voters).await?;
    Ok(())
}

fn bundle(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("n{id}.pem"))
}

fn own_peers(dir: &Path, id: u64) -> anyhow::Result<(Peers, TlsMaterial)> {
    let credentials = Credentials::load(&bundle(dir, id))?.context("no certificate")?;
    let material = TlsMaterial::new(&credentials)?;
    let (tls, _) = smr_peer::tls(&material)?;
    let config =
        PeersConfig { cluster: CLUSTER.to_owned(), id, tls, deadlines: Deadlines::default() };
    Ok((Peers::new(config), material))
}

/// What a member answers: the store's messages as a node does, and the clients.
struct BenchService {
    store: Store,
    peers: Peers,
}

#[async_trait]
impl Service for BenchService {
    fn membership(&self, _: &Caller) -> Membership {
        Membership::Member
    }

    async fn raft(&self, from: u64, rpc: Rpc) -> Result<Vec<u8>, ServiceError> {
        if from != CLIENTS {
            return Ok(self.store.handle(rpc).await?);
        }
        let Some(end) = rpc.body.iter().position(|byte| *byte == 0) else {
            return Ok(vec![u8::from(self.store.is_leader())]);
        };
        let key = String::from_utf8_lossy(&rpc.body[..end]).into_owned();
        self.store.put(key, &rpc.body[end + 1..]).await?;
        Ok(Vec::new())
    }

    async fn ping(&self, _: u64, _: Ping) -> Pong {
        Pong::default()
    }

    async fn probe(&self, _: u64, target: u64) -> ProbeResult {
        self.peers.reach(target).await
    }

    async fn enrol(&self, _: &Caller, _: EnrolRequest) -> Result<EnrolAnswer, ServiceError> {
        Err(ServiceError("no certificates are made here".to_owned()))
    }
}
