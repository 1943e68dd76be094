//! A stream of events that goes on by itself after the connection broke.

use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};
use smr_client::Client;
use smr_model::Event;
use smr_wire::{EventQuery, StreamItem};

use crate::{error::Error, output::Printer};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Events as they come.
pub(super) struct Follow {
    client: Client,
    printer: Printer,
    query: EventQuery,
    stream: Option<BoxStream<'static, Result<StreamItem, smr_client::Error>>>,
    place: Place,
    pause: Option<Duration>,
}

/// What was seen: everything before `revision`, and so many events at it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    revision: Option<u64>,
    seen: u64,
    skip: u64,
}

impl Place {
    /// Whether the event is new; takes note of it.
    fn take(&mut self, revision: u64) -> bool {
        if self.revision == Some(revision) && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.skip = 0;
        match self.revision {
            Some(at) if at == revision => self.seen += 1,
            Some(at) if at > revision => return false,
            _ => (self.revision, self.seen) = (Some(revision), 1),
        }
        true
    }

    /// The stream says that everything up to this was sent.
    fn progress(&mut self, revision: u64) {
        if self.revision.is_none_or(|at| at <= revision) {
            (self.revision, self.seen) = (Some(revision + 1), 0);
        }
        self.skip = 0;
    }

    /// Where to begin again.
    fn resume(&mut self) -> Option<u64> {
        self.skip = self.seen;
        self.revision
    }
}

impl Follow {
    pub(super) fn new(client: Client, printer: Printer, query: EventQuery) -> Self {
        Self { client, printer, query, stream: None, place: Place::default(), pause: None }
    }

    /// The next event. Fails when the first connection fails, or when the cluster refuses.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            match stream.next().await {
                Some(Ok(StreamItem::Event(event))) => {
                    if self.place.take(event.revision) {
                        return Ok(event);
                    }
                }
                Some(Ok(StreamItem::Progress(revision))) => self.place.progress(revision),
                Some(Ok(_)) => {}
                Some(Err(err)) if !err.is_unreachable() => return Err(err.into()),
                Some(Err(_)) | None => {
                    self.printer.note("note: the connection was lost, connecting again");
                    self.stream = None;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        if let Some(from) = self.place.resume() {
            self.query.from = Some(from);
            self.query.new = false;
        }
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
        }
        match self.client.follow_events(&self.query).await {
            Ok(stream) => {
                self.stream = Some(stream);
                self.pause = Some(FIRST_PAUSE);
                Ok(())
            }
            Err(err) => match self.pause {
                Some(pause) if err.is_unreachable() => {
                    self.pause = Some((pause * 2).min(LAST_PAUSE));
                    Ok(())
                }
                _ => Err(err.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_twice_and_nothing_is_left_out() {
        let mut place = Place::default();
        assert!(place.take(4) && place.take(7) && place.take(7));
        assert_eq!(place.resume(), Some(7));
        // Two of revision 7 come again, the third is new.
        assert!(!place.take(7) && !place.take(7) && place.take(7));
        assert!(place.take(8));
        place.progress(12);
        assert_eq!(place.resume(), Some(13));
        assert!(place.take(13));
    }

    #[test]
    fn what_is_repeated_ends_with_the_next_revision() {
        let mut place = Place::default();
        assert!(place.take(7) && place.take(7));
        place.resume();
        assert!(!place.take(7));
        assert!(place.take(9), "the cluster may have forgotten the second one");
        assert!(!place.take(8), "revisions do not go back");
    }
}
