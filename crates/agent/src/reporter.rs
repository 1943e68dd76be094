//! Stores statuses and events: what piles up while one transaction is under way goes into the next.

use std::{collections::BTreeMap, time::Duration};

use smr_control::{Control, Report};
use smr_model::{Event, ReplicaKey, ReplicaStatus};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Something to store about one replica.
pub(crate) struct News {
    /// Which.
    pub(crate) key: ReplicaKey,
    /// Its new status; `None` when it is gone.
    pub(crate) status: Option<Box<ReplicaStatus>>,
    /// What happened.
    pub(crate) events: Vec<Event>,
}

/// What the reporter is told.
pub(crate) enum Item {
    /// Something to store.
    News(News),
    /// Everything the keyspace said up to this revision has been taken in, and what follows from
    /// it for statuses was told before.
    TakenIn(u64),
}

/// Gathering a burst costs this much time and saves most of its transactions.
const LINGER: Duration = Duration::from_millis(15);
/// Statuses, and events, of one transaction: far below what one may carry, since one that is
/// refused for its size would be refused for ever.
const CHUNK: usize = 256;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Batch {
    statuses: BTreeMap<ReplicaKey, Option<Box<ReplicaStatus>>>,
    events: Vec<Event>,
    taken_in: u64,
}

impl Batch {
    fn add(&mut self, item: Item) {
        match item {
            Item::News(news) => {
                self.events.extend(news.events);
                self.statuses.insert(news.key, news.status);
            }
            Item::TakenIn(revision) => self.taken_in = self.taken_in.max(revision),
        }
    }

    /// Takes out what goes into the next transaction; nothing when all is taken.
    fn next(&mut self) -> Option<Report> {
        let mut report = Report::default();
        report.events.extend(self.events.drain(..self.events.len().min(CHUNK)));
        while report.put.len() + report.remove.len() < CHUNK
            && let Some((key, status)) = self.statuses.pop_first()
        {
            match status {
                Some(status) => report.put.push(*status),
                None => report.remove.push(key),
            }
        }
        (!report.is_empty()).then_some(report)
    }
}

/// The task that stores news.
pub(crate) struct Reporter;

impl Reporter {
    /// Starts the task. It ends when the sender is dropped and everything is stored. `settled`
    /// is the revision whose consequences are stored.
    pub(crate) fn start(
        control: Control,
        settled: watch::Sender<u64>,
    ) -> (JoinHandle<()>, mpsc::UnboundedSender<Item>) {
        let (sender, mut inbox) = mpsc::unbounded_channel::<Item>();
        let task = tokio::spawn(async move {
            while let Some(first) = inbox.recv().await {
                let mut batch = Batch::default();
                batch.add(first);
                if !inbox.is_closed() {
                    tokio::time::sleep(LINGER).await;
                }
                while let Ok(news) = inbox.try_recv() {
                    batch.add(news);
                }
                if store(&control, &mut batch, &mut inbox).await && batch.taken_in > 0 {
                    settled.send_if_modified(|revision| {
                        let newer = batch.taken_in > *revision;
                        *revision = batch.taken_in.max(*revision);
                        newer
                    });
                }
            }
        });
        (task, sender)
    }
}

/// Stores the batch, however long it takes; gives up, and says so, only when the node is being
/// stopped.
async fn store(
    control: &Control,
    batch: &mut Batch,
    inbox: &mut mpsc::UnboundedReceiver<Item>,
) -> bool {
    while let Some(report) = batch.next() {
        let mut delay = FIRST_RETRY;
        loop {
            match control.report(report.clone()).await {
                Ok(_) => break,
                Err(error) if inbox.is_closed() => {
                    tracing::warn!(%error, "the last statuses could not be stored");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(%error, "statuses cannot be stored, trying again");
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(LAST_RETRY);
                }
            }
        }
        // What came meanwhile may replace what is not stored yet.
        while let Ok(news) = inbox.try_recv() {
            batch.add(news);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use smr_model::{Kind, ObjectKey};

    use super::*;

    fn news(index: u32, status: bool, kind: &str) -> Item {
        let key = ReplicaKey::new("g", "web", index);
        let now = Timestamp::UNIX_EPOCH;
        let event = Event {
            revision: 0,
            kind: kind.to_owned(),
            object: ObjectKey::new(Kind::Containers, "g", key.generated_name()),
            time: now,
            node: String::new(),
            message: String::new(),
        };
        let fresh = status.then(|| Box::new(ReplicaStatus::new(key.clone(), "n", 1, now)));
        Item::News(News { key, status: fresh, events: vec![event] })
    }

    #[test]
    fn a_large_batch_is_split_and_nothing_is_lost() {
        let mut batch = Batch::default();
        for index in 0..1000 {
            batch.add(news(index, index % 3 != 0, &index.to_string()));
        }
        let mut seen = (0, 0, Vec::new());
        while let Some(report) = batch.next() {
            assert!(report.put.len() + report.remove.len() <= CHUNK);
            assert!(report.events.len() <= CHUNK);
            seen.0 += report.put.len();
            seen.1 += report.remove.len();
            seen.2.extend(report.events.into_iter().map(|event| event.kind));
        }
        assert_eq!((seen.0, seen.1), (666, 334));
        let order: Vec<String> = (0..1000).map(|index| index.to_string()).collect();
        assert_eq!(seen.2, order);
    }

    #[test]
    fn the_last_news_of_a_replica_counts_and_every_event() {
        let mut batch = Batch::default();
        batch.add(news(1, true, "running"));
        batch.add(news(1, false, "deleted"));
        let report = batch.next().unwrap();
        assert_eq!((report.put.len(), report.remove.len(), report.events.len()), (0, 1, 2));
        assert!(batch.next().is_none());
    }
}
