//! Reads the log files back after a start.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use super::{
    frame::{
        FRAME_HEADER_BYTES, FRAME_MAGIC, HEADER_BYTES, Header, HeaderFault, Record, WAL_VERSION,
        frame_checksum, frame_head, read_header, records,
    },
    index::{Index, Place},
    segment::{Segment, list_segments},
};
use crate::{OpenError, dir::sync_dir};

/// A file that is not appended to any more.
#[derive(Debug, Clone)]
pub(crate) struct Closed {
    pub(crate) sequence: u64,
    /// Newest entry in it.
    pub(crate) max_index: Option<u64>,
}

/// What the files hold.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) closed: Vec<Closed>,
    /// The file to go on with, and the newest entry in it.
    pub(crate) current: Option<(Segment, Option<u64>)>,
}

/// Reads the log back. With `repair` what was read is made durable first and there is a file to go on
/// with; otherwise nothing is changed.
pub(crate) fn recover(dir: &Path, repair: bool) -> Result<Recovered, OpenError> {
    let io_error = |file: &Path| {
        let file = file.to_owned();
        move |source: io::Error| OpenError::Io { file, source }
    };
    let files = list_segments(dir).map_err(io_error(dir))?;
    let mut recovered = Recovered { index: Index::default(), closed: Vec::new(), current: None };
    let count = files.len();
    let first = files.first().map_or(0, |(sequence, _)| *sequence);
    let mut before: Option<Replayed> = None;
    for (position, (sequence, path)) in files.into_iter().enumerate() {
        let expected = first + position as u64;
        if sequence != expected {
            let file = super::segment::segment_path(dir, expected);
            return Err(OpenError::Damaged { file, offset: 0, what: "log file is missing" });
        }
        let reader = LogReader::open(&path).map_err(io_error(&path))?;
        let replayed = read_segment(&path, sequence, &reader, &mut recovered.index)?;
        if let Some(before) = &before {
            let end = replayed.header.previous_end;
            if end < before.entries_end || end > before.end {
                let file = super::segment::segment_path(dir, sequence - 1);
                return Err(OpenError::Damaged {
                    file,
                    offset: before.end,
                    what: "records are missing that the next log file continues",
                });
            }
        }
        let Replayed { header, end, max_index, .. } = replayed;
        if position + 1 < count {
            recovered.closed.push(Closed { sequence, max_index });
        } else if repair {
            let file: File =
                OpenOptions::new().read(true).write(true).open(&path).map_err(io_error(&path))?;
            // What was read may be in the page cache only, and even be marked as written there after
            // a sync that failed. Written again and synced, it is what it will count as: durable.
            rewrite(&file, replayed.last_frame, end).map_err(io_error(&path))?;
            let size = reader.size;
            recovered.current = Some((Segment { file, header, offset: end, size }, max_index));
        }
        before = Some(replayed);
    }
    let start = recovered.index.purged.map_or(0, |id| id.index + 1);
    if recovered.index.first_index().is_some_and(|found| found != start) {
        let file = super::segment::segment_path(dir, first);
        let what = "log entries before the first one here are missing";
        return Err(OpenError::Damaged { file, offset: 0, what });
    }
    // The same for names: a start that was cut short may have left a rename unsynced.
    if repair {
        sync_dir(dir).map_err(io_error(dir))?;
    }
    Ok(recovered)
}

/// Writes the bytes of the last frame once more and syncs.
fn rewrite(file: &File, start: u64, end: u64) -> io::Result<()> {
    let mut bytes = vec![0; (end - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    file.write_all_at(&bytes, start)?;
    file.sync_data()
}

/// What one file was found to be.
struct Replayed {
    header: Header,
    /// Start of the last whole frame.
    last_frame: u64,
    /// End of the last whole frame with records in it.
    entries_end: u64,
    /// End of the last whole frame.
    end: u64,
    /// Newest entry.
    max_index: Option<u64>,
}

/// Replays one file.
fn read_segment(
    path: &Path,
    sequence: u64,
    reader: &LogReader,
    index: &mut Index,
) -> Result<Replayed, OpenError> {
    let damaged = |offset: u64, what| OpenError::Damaged { file: path.to_owned(), offset, what };
    let failed = |source| OpenError::Io { file: path.to_owned(), source };
    let mut buffer = Vec::new();
    reader.read(0, HEADER_BYTES as usize, &mut buffer).map_err(failed)?;
    let header = read_header(&buffer).map_err(|fault| match fault {
        HeaderFault::Newer(found) => {
            OpenError::NewerFormat { file: path.to_owned(), found, supported: WAL_VERSION }
        }
        HeaderFault::Damaged => damaged(0, "file header does not match its checksum"),
    })?;
    if header.sequence != sequence {
        return Err(damaged(16, "file was renamed"));
    }
    let mut at = HEADER_BYTES;
    let (mut last_frame, mut entries_end) = (at, at);
    let mut max_index = None;
    while reader.frame(header.salt, at, &mut buffer).map_err(failed)? {
        let start = at + FRAME_HEADER_BYTES as u64;
        let records = records(&buffer).ok_or_else(|| damaged(start, "record of unknown form"))?;
        for (body, record) in records {
            match record {
                Record::Entry(id, entry) => {
                    let follows = index.last().is_none_or(|last| id.index == last.index + 1);
                    if !follows && index.first_index().is_some() {
                        let offset = start + body as u64;
                        return Err(damaged(offset, "log entries are missing before this one"));
                    }
                    index.insert_stored(
                        id,
                        Place {
                            sequence,
                            offset: start + body as u64,
                            length: entry.len() as u32,
                            checksum: crc32fast::hash(entry),
                        },
                    );
                    max_index = max_index.max(Some(id.index));
                }
                Record::Vote(vote) => index.vote = Some(vote),
                Record::Truncate(from) => index.truncate(from),
                Record::Purge(id) => index.purge(id),
                Record::Committed(id) => index.committed = index.committed.max(Some(id)),
            }
        }
        last_frame = at;
        at = start + buffer.len() as u64;
        if !buffer.is_empty() {
            entries_end = at;
        }
    }
    if reader.has_frame_after(header.salt, at).map_err(failed)? {
        return Err(damaged(at, "checksum does not match and later records are whole"));
    }
    if at == HEADER_BYTES {
        // A file gets its name only after its first frame is durable.
        return Err(damaged(at, "checksum of the first record does not match"));
    }
    Ok(Replayed { header, last_frame, entries_end, end: at, max_index })
}

/// Reads a log file in small pieces: a start must not need the memory of whole files.
struct LogReader {
    file: File,
    size: u64,
}

/// Bytes looked at in one go while searching.
const SEARCH_BYTES: usize = 64 * 1024;

impl LogReader {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }

    /// Reads up to `length` bytes, fewer at the end of the file.
    fn read(&self, at: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        let left = self.size.saturating_sub(at);
        buffer.resize((length as u64).min(left) as usize, 0);
        self.file.read_exact_at(buffer, at)
    }

    /// Reads the payload of the frame at `at`; `false` if no whole one is there.
    fn frame(&self, salt: u64, at: u64, payload: &mut Vec<u8>) -> io::Result<bool> {
        self.read(at, FRAME_HEADER_BYTES, payload)?;
        let Some((length, checksum)) = frame_head(payload, salt, at) else { return Ok(false) };
        let start = at + FRAME_HEADER_BYTES as u64;
        if start + u64::from(length) > self.size {
            return Ok(false);
        }
        self.read(start, length as usize, payload)?;
        Ok(frame_checksum(salt, at, payload) == checksum)
    }

    /// Whether a whole frame begins at `from` or later.
    fn has_frame_after(&self, salt: u64, from: u64) -> io::Result<bool> {
        let (mut piece, mut payload) = (Vec::new(), Vec::new());
        let mut at = from;
        while at < self.size {
            self.read(at, SEARCH_BYTES, &mut piece)?;
            let starts = piece.windows(FRAME_MAGIC.len()).enumerate();
            for (offset, _) in starts.filter(|(_, bytes)| bytes == FRAME_MAGIC) {
                if self.frame(salt, at + offset as u64, &mut payload)? {
                    return Ok(true);
                }
            }
            // Pieces overlap, so that no magic is cut.
            at += (SEARCH_BYTES - FRAME_MAGIC.len() + 1) as u64;
        }
        Ok(false)
    }
}
