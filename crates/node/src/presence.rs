//! Keeps what the keyspace knows of this node true: version, addresses, engine.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use smr_agent::EngineStatus;
use smr_config::Config;
use smr_control::Control;
use smr_engine::{ContainerEngine, EngineInfo};
use smr_model::NodeStatus;
use tokio::sync::watch;

use crate::stop::Stop;

const RETRY: Duration = Duration::from_secs(1);

/// What everybody may know of the engine right now.
pub(crate) type EngineFacts = watch::Sender<EngineInfo>;

/// Stores the node's status now and whenever the engine comes or goes, until `stop`.
pub(crate) async fn run(
    config: Config,
    bound: Vec<SocketAddr>,
    control: Control,
    engine: Arc<dyn ContainerEngine>,
    mut status: watch::Receiver<EngineStatus>,
    facts: EngineFacts,
    mut stop: Stop,
) {
    let started_at = Timestamp::now();
    loop {
        let now = status.borrow_and_update().clone();
        if now == EngineStatus::Ready
            && let Ok(info) = engine.info().await
        {
            facts.send_replace(info);
        }
        let info = facts.borrow().clone();
        let node = NodeStatus {
            id: control.node_id(),
            name: control.node_name().to_owned(),
            addresses: bound.iter().map(SocketAddr::to_string).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: format!("{} {}", info.name, info.version).trim().to_owned(),
            engine_ready: now == EngineStatus::Ready,
            engine_message: match now {
                EngineStatus::Down(why) => why,
                EngineStatus::Ready => String::new(),
                EngineStatus::Unknown => "not asked yet".to_owned(),
            },
            os: info.os,
            kernel: info.kernel,
            arch: info.arch,
            cpus: info.cpus,
            memory: info.memory,
            reserved_cpu_millis: (config.node.reserved.cpu * 1000.0).round() as u64,
            reserved_memory: config.node.reserved.memory,
            driver: String::new(),
            peer: String::new(),
            labels: config.node.labels.clone(),
            started_at,
        };
        let stored = control.put_node(&node).await;
        if let Err(error) = &stored {
            tracing::warn!(%error, "the node's status cannot be stored, trying again");
        }
        tokio::select! {
            () = stop.stopped() => return,
            changed = status.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if stored.is_err() => {}
        }
    }
}
