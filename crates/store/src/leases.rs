//! Ends leases whose time is over: the only clock that acts on the keyspace.
//!
//! Every member runs this, only the leader proposes. A new leader gives every lease its full time
//! again, so a change of leader never ends one early.

use std::{collections::HashMap, sync::Arc, time::Duration};

use openraft::{BasicNode, metrics::RaftServerMetrics};
use smr_state::{Command, LeaseId, leases};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};

use crate::{applied::Applied, proposer::Proposal};

/// Runs until the store stops.
pub(crate) async fn run(
    mut metrics: watch::Receiver<RaftServerMetrics<u64, BasicNode>>,
    applied: Arc<Applied>,
    changed: Arc<Notify>,
    proposals: mpsc::WeakSender<Proposal>,
) {
    let mut deadlines: HashMap<LeaseId, (u64, Instant)> = HashMap::new();
    let mut was_leader = false;
    loop {
        let leads = {
            let metrics = metrics.borrow_and_update();
            metrics.current_leader == Some(metrics.id)
        };
        if !leads || !was_leader {
            deadlines.clear();
        }
        was_leader = leads;
        if leads {
            let Ok(living) = applied.read(|view| leases(view)) else { return };
            let now = Instant::now();
            deadlines.retain(|id, _| living.binary_search_by_key(id, |lease| lease.id).is_ok());
            for lease in living {
                let deadline = now + Duration::from_secs(lease.ttl_seconds);
                let known = deadlines.entry(lease.id).or_insert((lease.renewals, deadline));
                if known.0 != lease.renewals {
                    *known = (lease.renewals, deadline);
                }
            }
            for (id, (renewals, deadline)) in &mut deadlines {
                if *deadline <= now {
                    let Some(proposals) = proposals.upgrade() else { return };
                    let command = Command::ExpireLease { id: *id, renewals: *renewals };
                    // The outcome shows in the keyspace; a refused attempt is repeated.
                    let _ = proposals.send(Proposal::here(command).0).await;
                    *deadline = now + Duration::from_secs(1);
                }
            }
        }
        let earliest = deadlines.values().map(|(_, deadline)| *deadline).min();
        let expiry = async {
            match earliest {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed.notified() => {}
            () = expiry => {}
            moved = metrics.changed() => if moved.is_err() { return },
        }
    }
}
