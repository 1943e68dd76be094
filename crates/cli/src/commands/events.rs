//! `events`: following, and waiting for one.

mod follow;
mod holds;
mod of_nodes;

use smr_model::{Event, Kind, ObjectRef, ReplicaKey};
use smr_wire::EventQuery;

use self::follow::Follow;
use super::{DONE, Outcome, object_key};
use crate::{
    args::{EventOutput, EventsArgs},
    error::Error,
    settings::Settings,
};

/// `events`.
pub(crate) async fn run(settings: &Settings, args: EventsArgs) -> Outcome {
    let resource = match &args.resource {
        Some(resource) => Some(Target::new(settings, resource)?),
        None => None,
    };
    match &args.wait {
        Some(kind) => {
            let node = of_nodes::What::of(kind).filter(|_| resource.is_none());
            let wait = async {
                match node {
                    Some(what) => of_nodes::wait(settings, what, args.node.as_deref()).await,
                    None => wait(settings, &args, kind, resource.as_ref()).await,
                }
            };
            let Some(timeout) = args.timeout else { return wait.await };
            tokio::time::timeout(timeout.0, wait).await.unwrap_or_else(|_| {
                let what = match &args.resource {
                    Some(_) => format!("`{kind}` for the resource"),
                    None => format!("`{kind}`"),
                };
                Err(Error::WaitTimeout { what, seconds: timeout.0.as_secs(), missing: Vec::new() })
            })
        }
        None => show(settings, &args, resource.as_ref()).await,
    }
}

/// Whether events of this type tell that a node works.
pub(crate) fn is_start(kind: Option<&str>) -> bool {
    kind.and_then(of_nodes::What::of) == Some(of_nodes::What::Started)
}

/// The type of the event that tells of an end.
const DELETED: &str = "deleted";

/// The object or replica events are wanted of.
#[derive(Debug)]
pub(super) struct Target {
    kind: Kind,
    group: String,
    name: String,
    prefix: String,
}

impl Target {
    fn new(settings: &Settings, resource: &ObjectRef) -> Result<Self, Error> {
        let key = object_key(settings, resource)?;
        let name = resource.field.clone().unwrap_or(key.name);
        Ok(Self { kind: key.kind, group: key.group, name, prefix: key.prefix })
    }

    /// Whether it is about this object or replica, or about a replica of this object.
    fn is(&self, event: &Event, wanted: &str) -> bool {
        let object = &event.object;
        object.kind == self.kind
            && object.group == self.group
            && object.prefix == self.prefix
            && (object.name == self.name
                || (wanted != DELETED && self.kind == Kind::Containers && self.has(&object.name)))
    }

    /// Whether `generated` is the generated name of a replica of this object.
    fn has(&self, generated: &str) -> bool {
        let index = generated
            .strip_prefix(&self.group)
            .and_then(|rest| rest.strip_prefix('-')?.strip_prefix(&self.name)?.strip_prefix('-'));
        index.is_some_and(|index| {
            !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    /// Whether it is this replica, or a replica of this object.
    fn is_replica(&self, key: &ReplicaKey) -> bool {
        key.group == self.group && (key.generated_name() == self.name || key.name == self.name)
    }

    fn short(&self) -> String {
        format!("{}/{}/{}", self.kind, self.group, self.name)
    }
}

/// Waits for an event; returns at once if the state already holds.
async fn wait(
    settings: &Settings,
    args: &EventsArgs,
    kind: &str,
    target: Option<&Target>,
) -> Outcome {
    let client = settings.client()?;
    let mut from = args.from;
    if let Some(target) = target
        && from.is_none()
    {
        let (holds, revision) = holds::check(&client, target, kind).await?;
        if holds {
            return Ok(DONE);
        }
        from = Some(revision + 1);
    }
    let query = EventQuery {
        from,
        new: from.is_none(),
        resource: target.map(Target::short),
        ..EventQuery::default()
    };
    let mut events = Follow::new(client, settings.printer, query);
    loop {
        let event = events.next().await?;
        if event.kind == kind && target.is_none_or(|target| target.is(&event, kind)) {
            return Ok(DONE);
        }
    }
}

/// Prints events.
async fn show(settings: &Settings, args: &EventsArgs, target: Option<&Target>) -> Outcome {
    let client = settings.client()?;
    let query = EventQuery {
        from: args.from,
        new: args.from.is_none() && !args.past,
        resource: target.map(Target::short),
        ..EventQuery::default()
    };
    if args.past {
        for event in client.events(&query).await?.items {
            print(settings, args.output, &event)?;
        }
        return Ok(DONE);
    }
    let mut events = Follow::new(client, settings.printer, query);
    loop {
        let event = events.next().await?;
        print(settings, args.output, &event)?;
    }
}

fn print(settings: &Settings, output: EventOutput, event: &Event) -> Result<(), Error> {
    match output {
        EventOutput::Table => settings.printer.json_line("event: ", event),
        EventOutput::Json => settings.printer.json_line("", event),
        EventOutput::Wide => {
            let Event { time, kind, object, message, .. } = event;
            let text = format!("{time:.0}  {kind}  {object}  {message}");
            settings.printer.line(text.trim_end().replace(|c: char| c.is_control(), " "))
        }
    }
}
