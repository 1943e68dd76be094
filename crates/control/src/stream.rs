//! What event streams and watches share: changes one after the other, and signs of life between.

use std::{collections::VecDeque, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use smr_state::{KeyRange, Revision};
use smr_store::{Store, Watch, WatchBatch};
use smr_wire::StreamItem;

use crate::Error;

/// A stream without anything to say says so this often.
const PROGRESS: Duration = Duration::from_secs(15);

/// A stream of a front: never fails, but may end with [`StreamItem::Error`].
pub(crate) type Items = BoxStream<'static, StreamItem>;

struct State<F> {
    watch: Watch,
    store: Store,
    ready: VecDeque<StreamItem>,
    translate: F,
    ended: bool,
}

/// First `past`, then what `translate` makes of every change of `range` from revision `from` on.
pub(crate) fn follow<F>(
    store: &Store,
    past: Vec<StreamItem>,
    range: KeyRange,
    from: Revision,
    translate: F,
) -> Result<Items, Error>
where
    F: FnMut(WatchBatch) -> Result<Vec<StreamItem>, Error> + Send + 'static,
{
    let state = State {
        watch: store.watch(range, Some(from))?,
        store: store.clone(),
        ready: past.into(),
        translate,
        ended: false,
    };
    Ok(stream::unfold(state, next).boxed())
}

async fn next<F>(mut state: State<F>) -> Option<(StreamItem, State<F>)>
where
    F: FnMut(WatchBatch) -> Result<Vec<StreamItem>, Error> + Send + 'static,
{
    loop {
        if let Some(item) = state.ready.pop_front() {
            return Some((item, state));
        }
        if state.ended {
            return None;
        }
        // Whatever happened up to here has been delivered if nothing comes in the time below.
        let quiet_since = state.store.revision();
        match tokio::time::timeout(PROGRESS, state.watch.next()).await {
            Err(_) => return Some((StreamItem::Progress(quiet_since), state)),
            Ok(None) => return None,
            Ok(Some(batch)) => match batch.map_err(Error::from).and_then(&mut state.translate) {
                Ok(items) => state.ready.extend(items),
                Err(error) => {
                    state.ended = true;
                    state.ready.push_back(StreamItem::Error(error.into()));
                }
            },
        }
    }
}
