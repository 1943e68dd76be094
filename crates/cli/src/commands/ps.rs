//! `ps`, `containers`, `images`.

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use smr_client::Client;
use smr_model::{Kind, ReplicaStatus};
use smr_wire::{ReplicaQuery, StreamItem, WatchKind, WatchQuery};

use super::{DONE, Outcome};
use crate::{
    args::{Output, ReplicaView},
    error::Error,
    output::{image_table, reason_lines, replica_table, silent_engines, sort_replicas},
    settings::{Settings, stderr_is_terminal},
};

/// Most reasons shown below the table.
const MAX_REASONS: usize = 10;
/// Changes closer together than this are shown together.
const SETTLE: Duration = Duration::from_millis(100);
const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";

/// Shows replicas, once or whenever something changes.
pub(crate) async fn replicas(settings: &Settings, view: &ReplicaView) -> Outcome {
    let client = settings.client()?;
    let output = view.output.output;
    if !view.watch {
        show(settings, &client, output).await?;
        return Ok(DONE);
    }
    let query = WatchQuery { what: Some("replicas".to_owned()), ..WatchQuery::default() };
    let mut stream = client.watch(&query).await?;
    // What is there is listed; only what changes from then on is a reason to list again.
    while changed(&client, &mut stream).await? != WatchKind::Synced {}
    let redraw = settings.printer.is_terminal() && matches!(output, Output::Table | Output::Wide);
    loop {
        if redraw {
            settings.printer.text(CLEAR_SCREEN)?;
        }
        show(settings, &client, output).await?;
        if !redraw {
            settings.printer.line("")?;
        }
        // Ages grow even when nothing happens.
        let idle = if redraw { Duration::from_secs(1) } else { Duration::MAX };
        if let Ok(ended) = tokio::time::timeout(idle, changed(&client, &mut stream)).await {
            ended?;
            let settled = async {
                loop {
                    changed(&client, &mut stream).await?;
                }
            };
            if let Ok(ended) = tokio::time::timeout(SETTLE, settled).await {
                let ended: Result<(), Error> = ended;
                ended?;
            }
        }
    }
}

type Stream = futures_util::stream::BoxStream<'static, Result<StreamItem, smr_client::Error>>;

/// The next change.
async fn changed(client: &Client, stream: &mut Stream) -> Result<WatchKind, Error> {
    loop {
        match stream.next().await {
            Some(Ok(StreamItem::Watch(event))) => return Ok(event.kind),
            Some(Ok(_)) => {}
            Some(Err(err)) => return Err(err.into()),
            None => {
                let url = client.url().to_owned();
                let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into();
                return Err(smr_client::Error::Lost { url, source }.into());
            }
        }
    }
}

async fn show(settings: &Settings, client: &Client, output: Output) -> Result<(), Error> {
    let query = ReplicaQuery { group: settings.only_group.clone(), name: None };
    let mut list = client.replicas(&query).await?;
    sort_replicas(&mut list.items);
    print(settings, &list.items, output)?;
    settings.note_stale(client, Some(list.revision));
    Ok(())
}

fn print(settings: &Settings, list: &[ReplicaStatus], output: Output) -> Result<(), Error> {
    let printer = settings.printer;
    match output {
        Output::Table | Output::Wide => {
            let wide = output == Output::Wide;
            printer.table(&replica_table(list, wide, Timestamp::now()))?;
            for line in silent_engines(list) {
                printer.note(line);
            }
            // Scripts see the table only; people also see what is waited for.
            if !wide && printer.is_terminal() && stderr_is_terminal() {
                let reasons = reason_lines(list);
                for line in reasons.iter().take(MAX_REASONS) {
                    printer.note(line);
                }
                if reasons.len() > MAX_REASONS {
                    let more = reasons.len() - MAX_REASONS;
                    printer.note(format_args!("and {more} more: `smrctl ps --output wide`"));
                }
            }
            Ok(())
        }
        Output::Json => printer.json(&list),
        Output::Yaml => printer.yaml(&list),
        Output::Name => printer.lines(list.iter().map(|replica| &replica.key)),
    }
}

/// `images`.
pub(crate) async fn images(settings: &Settings, output: Output) -> Outcome {
    let client = settings.client()?;
    let images = client.images().await?;
    let mut list = images.items;
    if let Some(group) = &settings.only_group {
        let start = format!("{}/{group}/", Kind::Containers);
        list.retain(|image| image.container.starts_with(&start));
    }
    list.sort_by(|a, b| smr_model::natural_cmp(&a.container, &b.container));
    let printer = settings.printer;
    match output {
        Output::Table | Output::Wide => printer.table(&image_table(&list))?,
        Output::Json => printer.json(&list)?,
        Output::Yaml => printer.yaml(&list)?,
        Output::Name => {
            for image in &list {
                printer.line(&image.image)?;
            }
        }
    }
    settings.note_stale(&client, Some(images.revision));
    Ok(DONE)
}
