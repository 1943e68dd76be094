//! What happens to our containers, as the engine tells it.

use std::collections::{HashMap, HashSet};

use bollard::{
    models::{EventMessage, EventMessageTypeEnum},
    query_parameters::EventsOptionsBuilder,
};
use futures_util::{StreamExt, stream::BoxStream};
use jiff::Timestamp;

use super::{
    DockerEngine,
    convert::time,
    failure::{Task, classify},
};
use crate::{
    error::Error,
    ownership::{Owner, Ownership},
    types::{EngineEvent, EngineEventKind, Health},
};

const ACTIONS: [&str; 10] = [
    "create",
    "start",
    "die",
    "oom",
    "destroy",
    "pause",
    "unpause",
    "health_status",
    "connect",
    "disconnect",
];

impl DockerEngine {
    pub(super) async fn open_events(
        &self,
        since: Option<Timestamp>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, Error>>, Error> {
        let task = Task::engine("tell events");
        // The request goes out with the first poll, and the engine answers with the first event.
        // Asking for events since a moment before closes the gap, by the engine's own clock.
        let since = match since {
            Some(since) => Some(since),
            None => {
                let info = self
                    .connection
                    .call(&task, self.connection.limits.read, |api| async move {
                        api.docker.info().await
                    })
                    .await?;
                time(info.system_time.as_deref())
            }
        };
        let mut filter = Filter {
            owner: self.owner.clone(),
            ours: self.summaries().await?.into_iter().filter_map(|s| s.id).collect(),
        };
        let filters = HashMap::from([
            ("type", vec!["container".to_owned(), "network".to_owned()]),
            ("event", ACTIONS.map(str::to_owned).to_vec()),
        ]);
        let mut options = EventsOptionsBuilder::new().filters(&filters);
        if let Some(since) = since {
            let (seconds, nanos) = (since.as_second(), since.subsec_nanosecond());
            options = options.since(&format!("{seconds}.{nanos:09}"));
        }
        let api = self.connection.api().await?;
        let messages = api.docker.events(Some(options.build()));
        let endpoint = self.connection.endpoint.clone();
        let events = messages.filter_map(move |message| {
            let event = match message {
                Ok(message) => filter.event(message).map(Ok),
                Err(error) => Some(Err(classify(&endpoint, &task, error))),
            };
            std::future::ready(event)
        });
        // Nothing useful comes after an error.
        let until_error = events.scan(false, |failed, item| {
            let previous = std::mem::replace(failed, item.is_err());
            std::future::ready((!previous).then_some(item))
        });
        Ok(until_error.fuse().boxed())
    }
}

/// Lets through what concerns our containers. Events of containers carry their labels, events of
/// networks only the container's id.
struct Filter {
    owner: Owner,
    ours: HashSet<String>,
}

impl Filter {
    fn event(&mut self, message: EventMessage) -> Option<EngineEvent> {
        let actor = message.actor?;
        let attributes = super::convert::sorted(actor.attributes);
        let action = message.action?;
        let nanos = message.time_nano.map(i128::from);
        let time = nanos
            .and_then(|nanos| Timestamp::from_nanosecond(nanos).ok())
            .or_else(|| Timestamp::from_second(message.time?).ok())?;
        let text = |key: &str| attributes.get(key).cloned().unwrap_or_default();
        match message.typ? {
            EventMessageTypeEnum::CONTAINER if self.owner.owns(&attributes) => {
                let id = actor.id?;
                let kind = match action.as_str() {
                    "create" => EngineEventKind::Created,
                    "start" => EngineEventKind::Started,
                    "die" => EngineEventKind::Died(text("exitCode").parse().unwrap_or(-1)),
                    "oom" => EngineEventKind::OutOfMemory,
                    "destroy" => EngineEventKind::Removed,
                    "pause" => EngineEventKind::Paused,
                    "unpause" => EngineEventKind::Unpaused,
                    health if health.starts_with("health_status") => {
                        EngineEventKind::Health(match health.rsplit(": ").next() {
                            Some("healthy") => Health::Healthy,
                            Some("unhealthy") => Health::Unhealthy,
                            _ => Health::Starting,
                        })
                    }
                    _ => return None,
                };
                match kind {
                    EngineEventKind::Removed => self.ours.remove(&id),
                    _ => self.ours.insert(id.clone()),
                };
                let ownership = Ownership::from_labels(&attributes);
                // The label `name` hides the attribute of that name; both say the same for
                // main containers, and the role completes it.
                let name = match &ownership {
                    Some(own) if own.role == crate::Role::Init => own.replica.init_name(),
                    _ => text("name"),
                };
                Some(EngineEvent { time, container_id: id, name, ownership, kind })
            }
            EventMessageTypeEnum::NETWORK => {
                let id = text("container");
                if !self.ours.contains(&id) {
                    return None;
                }
                let kind = match action.as_str() {
                    "connect" => EngineEventKind::Connected(text("name")),
                    "disconnect" => EngineEventKind::Disconnected(text("name")),
                    _ => return None,
                };
                let name = String::new();
                Some(EngineEvent { time, container_id: id, name, ownership: None, kind })
            }
            _ => None,
        }
    }
}
