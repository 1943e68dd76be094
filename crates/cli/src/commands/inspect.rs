//! `get` and `inspect`.

use std::fmt::Display;

use serde::Serialize;
use smr_client::Client;
use smr_model::{Kind, ObjectKey};
use smr_wire::Object;

use super::{DONE, Outcome, object_key, replica::with_replica, replica_name};
use crate::{
    args::{Data, GetArgs, InspectArgs},
    error::Error,
    settings::Settings,
};

/// The stored definition.
pub(crate) async fn get(settings: &Settings, args: GetArgs) -> Outcome {
    let key = object_key(settings, &args.resource.resource)?;
    let client = settings.client()?;
    let object = fetch(&client, &key, args.reveal).await?;
    let printed = print(settings, args.output, &key, &object.definition)?;
    settings.note_stale(&client, None);
    Ok(printed)
}

/// Status, definition and events of a replica; the whole object for everything else.
pub(crate) async fn inspect(settings: &Settings, args: InspectArgs) -> Outcome {
    let client = settings.client()?;
    let printed = show(settings, &client, args).await?;
    settings.note_stale(&client, None);
    Ok(printed)
}

async fn show(settings: &Settings, client: &Client, args: InspectArgs) -> Outcome {
    let key = object_key(settings, &args.resource)?;
    if key.kind == Kind::Containers {
        let (group, name) = replica_name(settings, &args.resource)?;
        match client.replica(&group, &name).await.map_err(Error::from) {
            Ok(replica) => return print(settings, args.output, &key, &replica),
            Err(err) if err.is_not_found() => {}
            Err(err) => return Err(err),
        }
    }
    let missing = match fetch(client, &key, args.reveal).await {
        Err(err @ Error::ResourceNotFound { .. }) if key.kind == Kind::Containers => err,
        object => return print(settings, args.output, &key, &object?),
    };
    let asked = with_replica(settings, &args.resource, async |client, group, name| {
        client.replica(group, name).await
    });
    match asked.await {
        Ok(replica) => print(settings, args.output, &replica.status.key, &replica),
        Err(err) if err.is_not_found() => Err(missing),
        Err(err) => Err(err),
    }
}

/// An object, with the seed's words when there is none.
pub(crate) async fn fetch(client: &Client, key: &ObjectKey, reveal: bool) -> Result<Object, Error> {
    client.object(key, reveal).await.map_err(Error::from).map_err(|err| match err.is_not_found() {
        true => Error::ResourceNotFound {
            resource: key.to_string(),
            hint: Some(format!("`smrctl list {}` shows those there are", key.kind)),
        },
        false => err,
    })
}

fn print(settings: &Settings, data: Data, key: &impl Display, value: &impl Serialize) -> Outcome {
    match data {
        Data::Json => settings.printer.json(value)?,
        Data::Yaml => settings.printer.yaml(value)?,
        Data::Name => settings.printer.line(key)?,
    }
    Ok(DONE)
}
