//! The write-ahead log: checksummed, preallocated files, one `fdatasync` per append batch.
//!
//! Start reading at [`frame`] for the bytes, [`writer`] for the durability, [`recover`] for reading back.
//!
//! The crate `raft-log` was looked at first. It appends to files that grow, so that every sync also
//! commits file metadata, and a full disk is met only when the append is under way; here a write is
//! refused before it enters consensus when its room is not allocated yet.

pub(crate) mod frame;
mod index;
mod recover;
mod segment;
mod spare;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::VecDeque,
    fs, io,
    ops::RangeBounds,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering, mpsc},
    thread::JoinHandle,
};

use frame::{
    FRAME_HEADER_BYTES, HEADER_BYTES, Header, Record, decode_entry, encode_entry, push_record,
};
use index::{Found, Index};
use segment::segment_path;
use spare::{Job, Spare};
use tokio::sync::watch;
use writer::{Counters, Done, Request, Writer, push_state, salt};

use crate::{
    NodeId, OpenError,
    batch::{Entry, LogId, Vote},
    dir::is_full,
};

/// What the log thread and its callers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    index: Mutex<Index>,
    /// Why the log stopped.
    failure: Mutex<Option<(io::ErrorKind, String)>>,
    counters: Counters,
    /// Told whenever entries became durable, and when none will any more.
    synced: watch::Sender<()>,
    closed: AtomicBool,
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    shared: Arc<Shared>,
    spare: Arc<Spare>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Why writes cannot be taken.
#[derive(Debug)]
pub(crate) struct NoRoom;

impl Wal {
    /// Reads the log back and starts its threads.
    pub(crate) fn open(dir: &Path, segment_bytes: u64) -> Result<Self, OpenError> {
        let failed = |source: io::Error| {
            let file = dir.to_owned();
            if is_full(&source) {
                OpenError::DiskFull { dir: file, source }
            } else {
                OpenError::Io { file, source }
            }
        };
        let recovered = recover::recover(dir, true)?;
        segment::remove_spares(dir).map_err(failed)?;
        let (segment, max_index) = match recovered.current {
            Some(current) => current,
            None => {
                let header = Header { sequence: 1, salt: salt(), previous_end: 0 };
                let mut first = vec![0; FRAME_HEADER_BYTES];
                push_state(&mut first, &recovered.index);
                frame::seal_frame(&mut first, header.salt, HEADER_BYTES);
                let path = segment::spare_path(dir, 0);
                let file = segment::allocate_spare(path, segment_bytes).map_err(failed)?;
                let started = segment::start_segment(dir, file, segment_bytes, header, &first);
                (started.map_err(failed)?, None)
            }
        };
        let shared = Arc::new(Shared { index: Mutex::new(recovered.index), ..Shared::default() });
        shared.counters.room.store(segment.size - segment.offset, Ordering::Release);
        let (spare, jobs, spare_thread) =
            Spare::start(dir.to_owned(), segment_bytes).map_err(failed)?;
        let writer = Writer {
            dir: dir.to_owned(),
            segment_bytes,
            shared: Arc::clone(&shared),
            segment,
            max_index,
            closed: VecDeque::from(recovered.closed),
            spare: Arc::clone(&spare),
            jobs: jobs.clone(),
            marked: None,
            broken: false,
        };
        let (requests, inbox) = mpsc::channel();
        let log_thread = std::thread::Builder::new()
            .name("smr-wal".into())
            .spawn(move || writer.run(inbox))
            .map_err(failed)?;
        let _ = jobs.send(Job::Prepare);
        Ok(Self {
            dir: dir.to_owned(),
            shared,
            spare,
            requests: Mutex::new(Some(requests)),
            jobs: Mutex::new(Some(jobs)),
            threads: Mutex::new(vec![log_thread, spare_thread]),
        })
    }

    /// Appends entries; `done` is called from the log thread once they are durable.
    pub(crate) fn append(&self, entries: impl IntoIterator<Item = Entry>, done: Done) {
        let mut records = Vec::new();
        let mut places = Vec::new();
        {
            let mut index = self.shared.index();
            // The newest commit point rides along; it never needs a sync of its own.
            if let Some(id) = index.committed {
                push_record(&mut records, &Record::Committed(id));
            }
            for entry in entries {
                let body = encode_entry(&entry);
                let at = push_record(&mut records, &Record::Entry(entry.log_id, &body));
                places.push((entry.log_id, at, body.len() as u32, crc32fast::hash(&body)));
                index.insert(entry, body.len());
            }
        }
        self.send(Request { records, entries: places, purge: None, done });
    }

    /// Waits until the entry `upto` and all before it are durable; entries that are not (any more) in
    /// the log count as such.
    pub(crate) async fn wait_durable(&self, upto: u64) -> io::Result<()> {
        let mut synced = self.shared.synced.subscribe();
        loop {
            if self.shared.index().is_durable(upto) {
                return Ok(());
            }
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if self.shared.closed.load(Ordering::Acquire) || synced.changed().await.is_err() {
                return Err(io::Error::other("the log is closed"));
            }
        }
    }

    /// Forgets that this node was confirmed as the leader of its term. What it proposed as such may
    /// have reached others without having become durable here, so after a start it needs a new term.
    pub(crate) fn resign(&self, node_id: NodeId) {
        if let Some(vote) = &mut self.shared.index().vote
            && vote.leader_id().node_id == node_id
        {
            vote.committed = false;
        }
    }

    /// Makes the vote durable.
    pub(crate) fn save_vote(&self, vote: Vote, done: Done) {
        self.shared.index().vote = Some(vote);
        self.send_record(&Record::Vote(vote), None, done);
    }

    /// Makes the removal of entries from `from` on durable.
    pub(crate) fn truncate(&self, from: u64, done: Done) {
        self.shared.index().truncate(from);
        self.send_record(&Record::Truncate(from), None, done);
    }

    /// Gives up entries up to `upto`; their files go once this is durable.
    pub(crate) fn purge(&self, upto: LogId, done: Done) {
        self.shared.index().purge(upto);
        self.send_record(&Record::Purge(upto), Some(upto.index), done);
    }

    /// Remembers the commit point; it becomes durable with the next append.
    pub(crate) fn set_committed(&self, committed: Option<LogId>) {
        self.shared.index().committed = committed;
    }

    pub(crate) fn committed(&self) -> Option<LogId> {
        self.shared.index().committed
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.shared.index().vote
    }

    /// Purge point and last entry.
    pub(crate) fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        let index = self.shared.index();
        (index.purged, index.last())
    }

    /// Entries of a range, from memory or from the files.
    pub(crate) fn entries(&self, range: impl RangeBounds<u64>) -> io::Result<Vec<Entry>> {
        let found = self.shared.index().range(range);
        read_entries(&self.dir, found)
    }

    /// Whether the directory holds no log at all.
    pub(crate) fn is_missing(dir: &Path) -> io::Result<bool> {
        segment::list_segments(dir).map(|files| files.is_empty())
    }

    /// Checks that `bytes` of entries fit into space that is allocated already.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.shared.counters.room.load(Ordering::Acquire) > bytes || self.spare.is_ready()
    }

    /// Tries to allocate room; blocks for as long as writing one file takes.
    pub(crate) fn make_room(&self) -> Result<(), NoRoom> {
        let seen = self.spare.attempts();
        if let Some(jobs) = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            let _ = jobs.send(Job::Prepare);
            return self.spare.wait(seen).map_err(|_| NoRoom);
        }
        Err(NoRoom)
    }

    /// `fdatasync` calls, entries and bytes appended since the log was opened.
    pub(crate) fn counters(&self) -> (u64, u64, u64) {
        let counters = &self.shared.counters;
        (
            counters.syncs.load(Ordering::Relaxed),
            counters.appended.load(Ordering::Relaxed),
            counters.bytes.load(Ordering::Relaxed),
        )
    }

    /// Why the log stopped, if it did.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(|(kind, text)| io::Error::new(*kind, text.clone()))
    }

    /// Finishes what was handed over and stops the threads.
    pub(crate) fn close(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Held while joining, so that whoever closes second waits as well.
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
        self.shared.closed.store(true, Ordering::Release);
        self.shared.synced.send_replace(());
    }

    fn send_record(&self, record: &Record<'_>, purge: Option<u64>, done: Done) {
        let mut records = Vec::new();
        push_record(&mut records, record);
        self.send(Request { records, entries: Vec::new(), purge, done });
    }

    fn send(&self, request: Request) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = match requests.as_ref() {
            Some(sender) => sender.send(request).err().map(|unsent| unsent.0),
            None => Some(request),
        };
        drop(requests);
        if let Some(request) = closed {
            (request.done)(Err(io::Error::other("the log is closed")));
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}

/// A log that is only read, while no store has it open.
#[derive(Debug)]
pub(crate) struct ClosedLog {
    dir: PathBuf,
    pub(crate) index: Index,
}

impl ClosedLog {
    /// Reads the log and changes nothing.
    pub(crate) fn read(dir: &Path) -> Result<Self, OpenError> {
        let index = recover::recover(dir, false)?.index;
        Ok(Self { dir: dir.to_owned(), index })
    }

    /// Entries of a range.
    pub(crate) fn entries(&self, range: impl RangeBounds<u64>) -> io::Result<Vec<Entry>> {
        read_entries(&self.dir, self.index.range(range))
    }
}

fn read_entries(dir: &Path, found: Vec<Found>) -> io::Result<Vec<Entry>> {
    let mut open: Option<(u64, fs::File)> = None;
    let mut entries = Vec::with_capacity(found.len());
    for item in found {
        entries.push(match item {
            Found::Cached(entry) => entry,
            Found::At(log_id, place) => {
                let file = match open.take() {
                    Some((sequence, file)) if sequence == place.sequence => file,
                    _ => fs::File::open(segment_path(dir, place.sequence))?,
                };
                let mut body = vec![0; place.length as usize];
                file.read_exact_at(&mut body, place.offset)?;
                open = Some((place.sequence, file));
                let whole = crc32fast::hash(&body) == place.checksum;
                whole.then(|| decode_entry(log_id, &body)).flatten().ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "`{}` is damaged at offset `{}`",
                            segment_path(dir, place.sequence).display(),
                            place.offset
                        ),
                    )
                })?
            }
        });
    }
    Ok(entries)
}
