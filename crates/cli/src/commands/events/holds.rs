//! Whether what is waited for is already so.

use smr_client::Client;
use smr_model::{Kind, ReplicaState, ReplicaStatus};
use smr_wire::{ObjectQuery, ReplicaQuery};

use super::{DELETED, Target};
use crate::error::Error;

/// Whether the state an event of type `kind` tells of already holds, and the revision at which
/// that was seen.
pub(super) async fn check(
    client: &Client,
    target: &Target,
    kind: &str,
) -> Result<(bool, u64), Error> {
    let query = ObjectQuery {
        kind: Some(target.kind.as_str().to_owned()),
        group: Some(target.group.clone()),
        prefix: Some(target.prefix.clone()),
        names: true,
        ..ObjectQuery::default()
    };
    let objects = client.objects(&query).await?;
    let object = objects.items.iter().any(|object| object.key.name == target.name);
    if target.kind != Kind::Containers {
        return Ok((kind == DELETED && !object, objects.revision));
    }
    let query = ReplicaQuery { group: Some(target.group.clone()), name: None };
    let replicas = client.replicas(&query).await?;
    let mut ours = replicas.items.iter().filter(|replica| target.is_replica(&replica.key));
    let holds = match kind {
        DELETED => !object && ours.next().is_none(),
        _ => ours.any(|replica| is_in(replica, kind)),
    };
    // The earlier of the two: what happened in between is seen again.
    Ok((holds, objects.revision.min(replicas.revision)))
}

/// Whether a replica is in a state, or has passed it and not lost it again.
fn is_in(replica: &ReplicaStatus, kind: &str) -> bool {
    match kind {
        "readiness_ready" => replica.ready && replica.state == ReplicaState::Running,
        _ => replica.state.as_str() == kind,
    }
}
