//! The log thread: gathers what waits, writes one frame, syncs once, then answers all.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use super::{
    Shared,
    frame::{FRAME_HEADER_BYTES, HEADER_BYTES, Header, Record, push_record, seal_frame},
    index::Place,
    recover::Closed,
    segment::{Segment, start_segment},
    spare::{Job, Spare},
};
use crate::batch::LogId;

/// Frames are cut here, so that one frame always fits into a fresh file.
const FRAME_BYTES: usize = 1024 * 1024;

/// Called once the records are durable, or with the reason why they are not.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Records to append, in order.
pub(crate) struct Request {
    /// Encoded records.
    pub(crate) records: Vec<u8>,
    /// Entries among them: identity, offset of the body in `records`, length, checksum.
    pub(crate) entries: Vec<(LogId, usize, u32, u32)>,
    /// Entries up to this index need no file any more once this request is durable.
    pub(crate) purge: Option<u64>,
    pub(crate) done: Done,
}

/// Counters others read.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) syncs: AtomicU64,
    pub(crate) appended: AtomicU64,
    /// Bytes left in the current file.
    pub(crate) room: AtomicU64,
    /// Bytes of frames written.
    pub(crate) bytes: AtomicU64,
}

pub(crate) struct Writer {
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) segment: Segment,
    pub(crate) max_index: Option<u64>,
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) spare: Arc<Spare>,
    pub(crate) jobs: mpsc::Sender<Job>,
    /// Offset of the empty frame that says that everything before it is durable.
    pub(crate) marked: Option<u64>,
    /// Set once a write or sync failed: what is on disk is unknown then, nothing more is promised.
    pub(crate) broken: bool,
}

impl Writer {
    /// Serves requests until the sender is dropped.
    pub(crate) fn run(mut self, inbox: mpsc::Receiver<Request>) {
        let mut pending: Option<Request> = None;
        loop {
            let waiting = pending.take().or_else(|| inbox.try_recv().ok());
            let next = waiting.or_else(|| {
                self.mark();
                inbox.recv().ok()
            });
            let Some(first) = next else { break };
            let mut bytes = first.records.len();
            let mut group = vec![first];
            while bytes < FRAME_BYTES
                && let Ok(next) = inbox.try_recv()
            {
                if bytes + next.records.len() > FRAME_BYTES {
                    pending = Some(next);
                    break;
                }
                bytes += next.records.len();
                group.push(next);
            }
            self.append(group);
        }
        self.mark();
        if !self.broken
            && let Err(error) = self.segment.file.sync_data()
        {
            tracing::warn!(error = %error, dir = %self.dir.display(), "cannot sync the end of the log");
        }
    }

    /// Says behind the last frame that it is durable, so that later damage of it is not taken for a
    /// torn append. Costs no sync, is not part of the log, and the next frame overwrites it.
    fn mark(&mut self) {
        let at = self.segment.offset;
        let fits = at + FRAME_HEADER_BYTES as u64 <= self.segment.size;
        if self.broken || !fits || self.marked == Some(at) {
            return;
        }
        let mut frame = [0; FRAME_HEADER_BYTES];
        seal_frame(&mut frame, self.segment.header.salt, at);
        // Nothing depends on it; an unhealthy disk shows at the next append.
        if self.segment.file.write_all_at(&frame, at).is_ok() {
            self.marked = Some(at);
        }
    }

    fn append(&mut self, group: Vec<Request>) {
        let result = if self.broken {
            Err(io::Error::other("the log stopped after an earlier failure"))
        } else {
            self.write(&group)
        };
        if let Err(error) = &result {
            if !self.broken {
                tracing::error!(error = %error, dir = %self.dir.display(), "cannot append to the log, the store stops");
                let mut failure =
                    self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
                *failure = Some((error.kind(), error.to_string()));
            }
            self.broken = true;
        }
        self.shared.synced.send_replace(());
        let purge = group.iter().filter_map(|request| request.purge).max();
        for request in group {
            // `io::Error` is not `Clone`; kind and text are all that the callers use.
            let answer = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            (request.done)(answer);
        }
        if let (Ok(()), Some(upto)) = (result, purge) {
            self.retire(upto);
        }
    }

    /// One frame, one sync.
    fn write(&mut self, group: &[Request]) -> io::Result<()> {
        let payload: usize = group.iter().map(|request| request.records.len()).sum();
        let needed = (FRAME_HEADER_BYTES + payload) as u64;
        if self.segment.offset + needed > self.segment.size {
            self.next_segment(needed)?;
        }
        let mut frame = Vec::with_capacity(needed as usize);
        frame.resize(FRAME_HEADER_BYTES, 0);
        let offset = self.segment.offset;
        let mut placed = Vec::new();
        for request in group {
            let base = offset + frame.len() as u64;
            for &(id, at, length, checksum) in &request.entries {
                let sequence = self.segment.header.sequence;
                placed.push((id, Place { sequence, offset: base + at as u64, length, checksum }));
            }
            frame.extend_from_slice(&request.records);
        }
        seal_frame(&mut frame, self.segment.header.salt, offset);
        self.segment.file.write_all_at(&frame, offset)?;
        self.segment.file.sync_data()?;
        self.segment.offset += needed;

        let counters = &self.shared.counters;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.appended.fetch_add(placed.len() as u64, Ordering::Relaxed);
        counters.bytes.fetch_add(needed, Ordering::Relaxed);
        counters.room.store(self.segment.size - self.segment.offset, Ordering::Release);
        let mut index = self.shared.index();
        for (id, place) in placed {
            self.max_index = self.max_index.max(Some(id.index));
            index.placed(id, place);
        }
        Ok(())
    }

    /// Goes on in a fresh file, which begins with what must outlive the older files.
    fn next_segment(&mut self, needed: u64) -> io::Result<()> {
        let mut first = vec![0; FRAME_HEADER_BYTES];
        {
            let index = self.shared.index();
            push_state(&mut first, &index);
        }
        let header = Header {
            sequence: self.segment.header.sequence + 1,
            salt: salt(),
            previous_end: self.segment.offset,
        };
        seal_frame(&mut first, header.salt, HEADER_BYTES);
        // A single record may be larger than a usual file.
        let start = HEADER_BYTES + first.len() as u64;
        let usual = start + needed <= self.segment_bytes;
        let (file, size) = if usual {
            (self.spare.take()?, self.segment_bytes)
        } else {
            (self.spare.allocate(start + needed)?, start + needed)
        };
        let segment = start_segment(&self.dir, file, size, header, &first)?;
        self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.marked = None;
        let old = std::mem::replace(&mut self.segment, segment);
        self.closed
            .push_back(Closed { sequence: old.header.sequence, max_index: self.max_index.take() });
        let _ = self.jobs.send(Job::Prepare);
        Ok(())
    }

    /// Gives up the oldest files as long as everything in them is purged.
    fn retire(&mut self, upto: u64) {
        while self.closed.front().is_some_and(|file| file.max_index.is_none_or(|max| max <= upto)) {
            if let Some(file) = self.closed.pop_front() {
                let _ = self.jobs.send(Job::Retire(file.sequence));
            }
        }
    }
}

/// Vote, purge point and commit point as records. The commit point of a leader may be ahead of its own
/// files, because the others were faster: written as it is, a crash would leave a log that ends before
/// what it says is committed.
pub(crate) fn push_state(out: &mut Vec<u8>, index: &super::index::Index) {
    if let Some(vote) = index.vote {
        push_record(out, &Record::Vote(vote));
    }
    if let Some(id) = index.purged {
        push_record(out, &Record::Purge(id));
    }
    if let Some(id) = index.durable_commit() {
        push_record(out, &Record::Committed(id));
    }
}

/// A number that no earlier use of a file had.
pub(crate) fn salt() -> u64 {
    RandomState::new().build_hasher().finish()
}
