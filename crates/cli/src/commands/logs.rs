//! `logs`, `debug`, `restart`.

use futures_util::StreamExt as _;
use jiff::Timestamp;
use smr_client::LogSource;
use smr_model::ObjectRef;
use smr_wire::LogQuery;

use super::{DONE, Outcome, replica::with_replica};
use crate::{
    args::{DebugArgs, LogsArgs, Part},
    settings::Settings,
};

/// Prints a container's log; what it wrote to standard error goes there.
pub(crate) async fn logs(settings: &Settings, args: LogsArgs) -> Outcome {
    let query = LogQuery {
        container: part(args.container),
        follow: args.follow,
        tail: args.tail,
        since: args.since.map(|since| since.seconds(Timestamp::now())),
        timestamps: args.timestamps,
    };
    let mut log = with_replica(settings, &args.replica.replica, async |client, group, replica| {
        client.logs(group, replica, &query).await
    })
    .await?;
    while let Some(chunk) = log.next().await {
        let chunk = chunk?;
        match chunk.source {
            LogSource::Stdout => settings.printer.bytes(&chunk.bytes)?,
            LogSource::Stderr => settings.printer.error_bytes(&chunk.bytes),
        }
    }
    Ok(DONE)
}

/// Prints what the node did about a replica.
pub(crate) async fn debug(settings: &Settings, args: DebugArgs) -> Outcome {
    let query = LogQuery {
        container: part(args.container),
        follow: args.follow,
        tail: args.tail,
        ..LogQuery::default()
    };
    let mut log = with_replica(settings, &args.replica.replica, async |client, group, replica| {
        client.debug(group, replica, &query).await
    })
    .await?;
    while let Some(chunk) = log.next().await {
        settings.printer.bytes(&chunk?)?;
    }
    Ok(DONE)
}

/// Restarts replicas.
pub(crate) async fn restart(settings: &Settings, resource: &ObjectRef) -> Outcome {
    let (group, response) = with_replica(settings, resource, async |client, group, replica| {
        Ok((group.to_owned(), client.restart(group, replica).await?))
    })
    .await?;
    for replica in response.replicas {
        settings.printer.line(format_args!(
            "proposed for action: {}/event/containers/{group}/{replica}",
            smr_model::DEFAULT_PREFIX
        ))?;
    }
    Ok(DONE)
}

fn part(part: Part) -> Option<String> {
    match part {
        Part::Main => None,
        Part::Init => Some("init".to_owned()),
    }
}
