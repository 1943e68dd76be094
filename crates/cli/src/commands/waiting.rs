//! Waits with progress on standard error: redrawn on a terminal, else a line per change.

use std::{io::Write as _, time::Duration};

use crossterm::{
    QueueableCommand as _,
    cursor::{MoveToColumn, MoveUp},
    terminal::{Clear, ClearType},
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use smr_client::Client;
use smr_model::{Kind, ObjectKey};
use smr_wire::{StreamItem, WatchEvent, WatchQuery};
use tokio::time::Instant;

use super::{nodes::Evacuation, rollout};
use crate::{
    error::{Error, count},
    output::Printer,
    settings::{Settings, stderr_is_terminal},
    wait::{Gone, Progress, Ready, line},
};

/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);
/// How often rollouts are looked at; watches do not tell of them.
const ROLLOUTS: Duration = Duration::from_secs(1);
/// How often to ask whether a node is empty.
const EMPTY: Duration = Duration::from_millis(250);
/// Most replicas drawn at a time.
const MAX_LINES: usize = 20;

/// Waits until all are ready.
pub(super) async fn ready(
    settings: &Settings,
    client: &Client,
    mut ready: Ready,
    changed: &[(ObjectKey, u64)],
    timeout: Duration,
) -> Result<(), Error> {
    if ready.is_empty() {
        return Ok(());
    }
    let started = Timestamp::now();
    let mut screen = Screen::new(settings.printer);
    let rollouts = async {
        match rollouts(client, changed).await {
            Stopped::Failed(err) => Err(err),
            Stopped::Canary(key) => Ok(Waited::Canary(key)),
        }
    };
    let replicas = async {
        let mut watch = Watch::new(client, settings.printer);
        loop {
            match watch.next().await? {
                Seen::Again => ready.restart(),
                Seen::Change(event) => {
                    let change = ready.see(*event);
                    if let Some(replica) = change.filter(|_| !screen.redraws) {
                        screen.note(&line(&replica));
                    }
                }
                Seen::Nothing => {}
            }
            if screen.redraws {
                let (done, wanted) = ready.counts();
                let mut lines = ready.missing();
                lines.push(format!("{done} of {} ready", count(wanted, "replica")));
                screen.draw(&lines);
            }
            match ready.progress() {
                Progress::Waiting => {}
                Progress::Done(replicas) => return Ok(Waited::Ready(replicas)),
                Progress::Failed(failed) => return Err(Error::ReplicasFailed { failed }),
            }
        }
    };
    let both = async {
        tokio::select! {
            waited = replicas => waited,
            waited = rollouts => waited,
        }
    };
    let waited = tokio::time::timeout(timeout, both).await;
    screen.clear();
    let waited = waited.map_err(|_| Error::WaitTimeout {
        what: "ready".to_owned(),
        seconds: timeout.as_secs(),
        missing: ready.missing(),
    })??;
    let took = crate::output::age(started, Timestamp::now());
    settings.printer.note(match waited {
        Waited::Ready(replicas) => format!("{} ready after {took}", count(replicas, "replica")),
        Waited::Canary(key) => format!(
            "{key}: the canary replicas have it after {took}; `smrctl rollout promote {key}` goes \
             on, `smrctl rollout undo {key}` goes back"
        ),
    });
    Ok(())
}

/// How a wait ended well.
enum Waited {
    /// So many are ready.
    Ready(usize),
    /// The rollout of this object waits for a person's word.
    Canary(ObjectKey),
}

/// Why a rollout does not go on by itself.
enum Stopped {
    Failed(Error),
    Canary(ObjectKey),
}

/// Ends when a rollout to one of these generations, or to a later one, stops.
async fn rollouts(client: &Client, changed: &[(ObjectKey, u64)]) -> Stopped {
    loop {
        for (key, generation) in changed.iter().filter(|(key, _)| key.kind == Kind::Containers) {
            // Whether the cluster is there at all is the other's business.
            let Ok(view) = client.rollout(&key.group, &key.name).await else { continue };
            if let Some(err) = rollout::stopped(&view, *generation) {
                return Stopped::Failed(err);
            }
            if rollout::is_canary(&view, *generation) {
                return Stopped::Canary(key.clone());
            }
        }
        tokio::time::sleep(ROLLOUTS).await;
    }
}

/// Waits until all are gone.
pub(super) async fn gone(
    settings: &Settings,
    client: &Client,
    mut gone: Gone,
    timeout: Duration,
) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let mut screen = Screen::new(settings.printer);
    let waited = tokio::time::timeout(timeout, async {
        let mut watch = Watch::new(client, settings.printer);
        while !gone.is_done() {
            match watch.next().await? {
                Seen::Again => gone.restart(),
                Seen::Change(event) => gone.see(*event),
                Seen::Nothing => {}
            }
            if screen.redraws {
                screen.draw(&gone.missing());
            }
        }
        Ok::<_, Error>(())
    })
    .await;
    screen.clear();
    waited.map_err(|_| Error::WaitTimeout {
        what: "gone".to_owned(),
        seconds: timeout.as_secs(),
        missing: gone.missing(),
    })?
}

/// Waits until a node is empty.
pub(super) async fn evacuated(
    settings: &Settings,
    client: &Client,
    evacuation: &mut Evacuation,
    timeout: Duration,
) -> Result<(), Error> {
    let mut screen = Screen::new(settings.printer);
    let node = evacuation.node().to_string();
    // What is left behind by those that are elsewhere already is in no watch.
    let empty = async {
        loop {
            match client.node(&node).await {
                Ok(view) if view.replicas == 0 => return Ok(()),
                Err(err) if !err.is_unreachable() => return Err(err.into()),
                _ => tokio::time::sleep(EMPTY).await,
            }
        }
    };
    let progress = async {
        let mut watch = Watch::new(client, settings.printer);
        let mut told = (0, 0);
        loop {
            if let Seen::Change(event) = watch.next().await? {
                evacuation.see(*event);
            }
            let (gone, all) = evacuation.counts();
            let progress = format!("{gone} of {} moved", count(all, "replica"));
            if screen.redraws {
                let mut lines = evacuation.missing();
                lines.push(progress);
                screen.draw(&lines);
            } else if told != (gone, all) {
                told = (gone, all);
                screen.note(&progress);
            }
        }
    };
    let both = async {
        tokio::select! {
            waited = empty => waited,
            failed = progress => failed,
        }
    };
    let waited: Result<Result<(), Error>, _> = tokio::time::timeout(timeout, both).await;
    screen.clear();
    waited.map_err(|_| Error::WaitTimeout {
        what: "drained".to_owned(),
        seconds: timeout.as_secs(),
        missing: evacuation.missing(),
    })?
}

enum Seen {
    /// The stream begins again with the present state.
    Again,
    Change(Box<WatchEvent>),
    Nothing,
}

/// The watch stream, connected again when it breaks. The first connection must succeed.
struct Watch<'a> {
    client: &'a Client,
    printer: Printer,
    stream: Option<futures_util::stream::BoxStream<'static, Result<StreamItem, smr_client::Error>>>,
    before: bool,
}

impl<'a> Watch<'a> {
    fn new(client: &'a Client, printer: Printer) -> Self {
        Self { client, printer, stream: None, before: false }
    }

    async fn next(&mut self) -> Result<Seen, Error> {
        let Some(stream) = &mut self.stream else {
            match self.client.watch(&WatchQuery::default()).await {
                Ok(stream) => self.stream = Some(stream),
                Err(err) if self.before && err.is_unreachable() => {
                    tokio::time::sleep_until(Instant::now() + RECONNECT).await;
                    return Ok(Seen::Nothing);
                }
                Err(err) => return Err(err.into()),
            }
            self.before = true;
            return Ok(Seen::Again);
        };
        match stream.next().await {
            Some(Ok(StreamItem::Watch(event))) => Ok(Seen::Change(event)),
            Some(Ok(_)) => Ok(Seen::Nothing),
            Some(Err(err)) if !err.is_unreachable() => Err(err.into()),
            Some(Err(_)) | None => {
                self.printer.note("note: the connection was lost, connecting again");
                self.stream = None;
                Ok(Seen::Nothing)
            }
        }
    }
}

/// Lines that are drawn over one another.
struct Screen {
    printer: Printer,
    redraws: bool,
    drawn: u16,
}

impl Screen {
    fn new(printer: Printer) -> Self {
        Self { printer, redraws: stderr_is_terminal(), drawn: 0 }
    }

    fn note(&self, line: &str) {
        self.printer.note(line.replace('\n', " "));
    }

    fn draw(&mut self, lines: &[String]) {
        // Terminals that were not told their size say that they have none.
        let width = crossterm::terminal::size().map_or(0, |(columns, _)| usize::from(columns));
        let width = if width == 0 { 80 } else { width };
        let skipped = lines.len().saturating_sub(MAX_LINES);
        let mut text = Vec::new();
        self.queue_clear(&mut text);
        for line in &lines[skipped..] {
            let line: String =
                line.chars().filter(|c| !c.is_control()).take(width.saturating_sub(1)).collect();
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        self.printer.error_bytes(&text);
        self.drawn = (lines.len() - skipped) as u16;
    }

    fn clear(&mut self) {
        let mut text = Vec::new();
        self.queue_clear(&mut text);
        self.printer.error_bytes(&text);
        self.drawn = 0;
    }

    fn queue_clear(&self, out: &mut Vec<u8>) {
        if self.drawn == 0 {
            return;
        }
        let queued = out
            .queue(MoveUp(self.drawn))
            .and_then(|out| out.queue(MoveToColumn(0)))
            .and_then(|out| out.queue(Clear(ClearType::FromCursorDown)))
            .and_then(|out| out.flush());
        debug_assert!(queued.is_ok(), "writing to memory");
    }
}
