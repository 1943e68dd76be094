//! Measures one message and its answer between two nodes on loopback:
//! `cargo run --release -p smr-peer --example round_trip`.

#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use smr_peer::{
    Caller, Deadlines, EnrolAnswer, EnrolRequest, Limits, Listener, ListenerConfig, Membership,
    Peers, PeersConfig, Ping, Pong, ProbeResult, Service, ServiceError,
};
use smr_pki::{Authority, Subject, TlsMaterial};
use smr_store::{Member, Rpc, RpcKind, Transport as _};

const ROUNDS: u32 = 20_000;

struct Echo;

#[async_trait]
impl Service for Echo {
    fn membership(&self, _: &Caller) -> Membership {
        Membership::Member
    }

    async fn raft(&self, _: u64, rpc: Rpc) -> Result<Vec<u8>, ServiceError> {
        Ok(vec![0; rpc.body.len().min(64)])
    }

    async fn ping(&self, _: u64, _: Ping) -> Pong {
        Pong::default()
    }

    async fn probe(&self, _: u64, target: u64) -> ProbeResult {
        ProbeResult { reachable: false, message: format!("node {target}?"), micros: 0 }
    }

    async fn enrol(&self, _: &Caller, _: EnrolRequest) -> Result<EnrolAnswer, ServiceError> {
        Err(ServiceError("not here".to_owned()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let day = Duration::from_hours(24);
    let authority = Authority::create(day, Timestamp::now())?;
    let peers = |id: u64| {
        let subject = Subject::member(&format!("node-{id}"), id, &[], &[])?;
        let material = TlsMaterial::new(&authority.issue(&subject, day, Timestamp::now())?)?;
        let (client, server) = smr_peer::tls(&material)?;
        let (cluster, deadlines) = ("cluster".to_owned(), Deadlines::default());
        let peers = Peers::new(PeersConfig { cluster, id, tls: client, deadlines });
        Ok::<_, smr_pki::PkiError>((peers, server))
    };
    let (far, tls) = peers(2)?;
    let addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    let config = ListenerConfig { addresses, tls, limits: Limits::default(), api: None };
    let listener = Listener::start(config, far, Arc::new(Echo))?;
    let target = Member { id: 2, address: listener.addresses()[0].to_string() };
    let (near, _) = peers(1)?;
    for size in [64_usize, 4 << 10, 64 << 10, 1 << 20] {
        let rounds = if size > 10_000 { ROUNDS / 20 } else { ROUNDS };
        let (near, target) = (near.clone(), target.clone());
        // In a task, as the callers of a node are.
        let times = tokio::spawn(async move {
            let mut times = Vec::new();
            for _ in 0..rounds {
                let rpc = Rpc { kind: RpcKind::AppendEntries, body: vec![7; size] };
                let started = Instant::now();
                near.call(target.clone(), rpc).await?;
                times.push(started.elapsed());
            }
            times.sort_unstable();
            Ok::<_, smr_store::TransportError>(times)
        });
        let times = times.await??;
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        println!("{size:>8} bytes: median {:?}, 99 % {:?}", at(0.5), at(0.99));
    }
    Ok(())
}
