//! Watches the engine: says when it comes and goes, and passes its events on.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use smr_engine::ContainerEngine;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::{driver::Message, seen::chain};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Keeps an event stream open. [`Message::EngineUp`] follows every opening: whatever happened
/// before is found by listing, whatever happens after comes as an event.
pub(crate) async fn run(
    engine: Arc<dyn ContainerEngine>,
    messages: UnboundedSender<Message>,
    stop: CancellationToken,
) {
    let mut delay = FIRST_RETRY;
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = engine.events(None) => opened,
        };
        let why = match opened {
            Err(error) => chain(&error),
            Ok(mut events) => {
                delay = FIRST_RETRY;
                let _ = messages.send(Message::EngineUp);
                loop {
                    let event = tokio::select! {
                        () = stop.cancelled() => return,
                        event = events.next() => event,
                    };
                    match event {
                        Some(Ok(event)) => {
                            let _ = messages.send(Message::Engine(Box::new(event)));
                        }
                        Some(Err(error)) => break chain(&error),
                        None => break "the engine closed its event stream".to_owned(),
                    }
                }
            }
        };
        let _ = messages.send(Message::EngineDown(why));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
        delay = (delay * 2).min(LAST_RETRY);
    }
}
