//! Networks and volumes: what objects say exists, what nobody wants any more is removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use smr_engine::{ContainerEngine, Ensured, Error, ErrorClass, NetworkRequest, VolumeRequest};
use smr_model::{Definition, Kind, ObjectKey, Spec};
use tokio::sync::{mpsc::UnboundedSender, watch};
use tokio_util::sync::CancellationToken;

use crate::{driver::Message, seen::chain};

/// What should exist on the engine. A new value is a new look at everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    /// By the object that asks for it.
    pub(crate) networks: BTreeMap<ObjectKey, NetworkRequest>,
    /// By the object that asks for it.
    pub(crate) volumes: BTreeMap<ObjectKey, VolumeRequest>,
    /// Names of networks and volumes whose objects cannot be read: not to be made, not to be
    /// removed.
    pub(crate) left_alone: BTreeSet<String>,
    /// Counts the times the engine came back; everything is looked at again then.
    pub(crate) engine_epoch: u64,
    /// Whether the engine answers.
    pub(crate) engine_up: bool,
}

/// What became of each object: there, or why not.
pub(crate) type Ready = BTreeMap<ObjectKey, Result<(), String>>;

/// Engine name of a volume object.
pub(crate) fn volume_name(key: &ObjectKey) -> String {
    format!("{}-{}", key.group, key.name)
}

impl Desired {
    /// The networks and volumes of `definitions`, and of objects that cannot be read.
    pub(crate) fn of<'a>(
        definitions: impl Iterator<Item = &'a Definition>,
        unreadable: &BTreeSet<ObjectKey>,
    ) -> Self {
        let mut desired = Self::default();
        for key in unreadable {
            match key.kind {
                Kind::Network => drop(desired.left_alone.insert(key.name.clone())),
                Kind::Volume => drop(desired.left_alone.insert(volume_name(key))),
                _ => {}
            }
        }
        for definition in definitions {
            let key = definition.key();
            match &definition.spec {
                Spec::Network(spec) => {
                    let request = NetworkRequest {
                        name: key.name.clone(),
                        driver: spec.driver.clone(),
                        subnet: spec.ipv4_address_pool.clone(),
                        options: spec.options.clone(),
                        internal: spec.internal,
                        labels: definition.meta.labels.clone(),
                    };
                    desired.networks.insert(key, request);
                }
                Spec::Volume(spec) => {
                    let request = VolumeRequest {
                        name: volume_name(&key),
                        driver: spec.driver.clone(),
                        options: spec.driver_opts.clone(),
                        labels: definition.meta.labels.clone(),
                    };
                    desired.volumes.insert(key, request);
                }
                _ => {}
            }
        }
        desired
    }
}

const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Brings the engine to what is desired, again whenever that changes, and with growing delays
/// while something stands in the way (a network cannot go while containers are on it).
pub(crate) async fn run(
    engine: Arc<dyn ContainerEngine>,
    mut desired: watch::Receiver<Desired>,
    messages: UnboundedSender<Message>,
    stop: CancellationToken,
) {
    let mut delay = FIRST_RETRY;
    let mut again = false;
    loop {
        if again {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = desired.changed() => match changed {
                    Ok(()) => delay = FIRST_RETRY,
                    Err(_) => return,
                },
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(LAST_RETRY),
            }
        } else {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = desired.changed() => match changed {
                    Ok(()) => delay = FIRST_RETRY,
                    Err(_) => return,
                },
            }
        }
        let wanted = desired.borrow_and_update().clone();
        if !wanted.engine_up {
            again = false;
            continue;
        }
        let mut ready = Ready::new();
        again = ensure(engine.as_ref(), &wanted, &mut ready).await;
        again |= remove_others(engine.as_ref(), &wanted).await;
        let _ = messages.send(Message::Infrastructure(ready));
    }
}

/// Whether something has to be tried again.
async fn ensure(engine: &dyn ContainerEngine, wanted: &Desired, ready: &mut Ready) -> bool {
    let mut again = false;
    for (key, request) in &wanted.networks {
        let mut outcome = engine.ensure_network(request).await;
        if let Ok(found) = &outcome
            && let Ensured::Differs(differences) = &found.ensured
        {
            let message = differences.join("; ");
            if found.ours && engine.remove_network(&request.name).await.is_ok() {
                outcome = engine.ensure_network(request).await;
            } else {
                tracing::warn!(network = %request.name, differs = %message,
                    "network differs from its definition and cannot be replaced while it is used");
            }
        }
        again |= outcome.is_err();
        ready.insert(key.clone(), told(key, outcome.map(|found| found.ensured)));
    }
    for (key, request) in &wanted.volumes {
        let outcome = engine.ensure_volume(request).await;
        if let Ok(found) = &outcome
            && let Ensured::Differs(differences) = &found.ensured
        {
            tracing::warn!(volume = %request.name, differs = %differences.join("; "),
                "volume differs from its definition and is left as it is, since it holds data");
        }
        again |= outcome.is_err();
        ready.insert(key.clone(), told(key, outcome.map(|found| found.ensured)));
    }
    again
}

fn told(key: &ObjectKey, outcome: Result<Ensured, Error>) -> Result<(), String> {
    match outcome {
        Ok(ensured) => {
            if ensured == Ensured::Created {
                tracing::info!(object = %key, "created {key} on the engine");
            }
            Ok(())
        }
        Err(error) => {
            let message = chain(&error);
            tracing::warn!(object = %key, error = %message, "cannot create {key} on the engine");
            Err(message)
        }
    }
}

/// Removes networks and volumes of ours that no object asks for.
async fn remove_others(engine: &dyn ContainerEngine, wanted: &Desired) -> bool {
    let mut again = false;
    match engine.list_networks().await {
        Ok(networks) => {
            for network in networks {
                if wanted.networks.values().all(|request| request.name != network.name)
                    && !wanted.left_alone.contains(&network.name)
                {
                    let outcome = engine.remove_network(&network.name).await;
                    again |= removed("network", &network.name, outcome);
                }
            }
        }
        Err(_) => again = true,
    }
    match engine.list_volumes().await {
        Ok(volumes) => {
            for volume in volumes {
                if wanted.volumes.values().all(|request| request.name != volume.name)
                    && !wanted.left_alone.contains(&volume.name)
                {
                    let outcome = engine.remove_volume(&volume.name).await;
                    again |= removed("volume", &volume.name, outcome);
                }
            }
        }
        Err(_) => again = true,
    }
    again
}

fn removed(what: &str, name: &str, outcome: Result<(), Error>) -> bool {
    match outcome {
        Ok(()) => {
            tracing::info!(name, "removed {what} `{name}`");
            false
        }
        // Its containers are on their way out, or somebody else uses it: later.
        Err(error) if error.class() == ErrorClass::Conflict => true,
        Err(error) => {
            tracing::warn!(name, error = %chain(&error), "cannot remove {what} `{name}`");
            error.class() == ErrorClass::Unavailable
        }
    }
}
