//! Reads the log files back after a start.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use super::{
    frame::{
        FRAME_HEADER_BYTES, HEADER_BYTES, HeaderFault, Record, WAL_VERSION, find_frame, open_frame,
        read_header, records,
    },
    index::{Index, Place},
    segment::{Segment, list_segments},
};
use crate::OpenError;

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

pub(crate) fn recover(dir: &Path) -> Result<Recovered, OpenError> {
    let io_error = |file: &Path| {
        let file = file.to_owned();
        move |source: io::Error| OpenError::Io { file, source }
    };
    let files = list_segments(dir).map_err(io_error(dir))?;
    let mut recovered = Recovered { index: Index::default(), closed: Vec::new(), current: None };
    let count = files.len();
    let first = files.first().map_or(0, |(sequence, _)| *sequence);
    for (position, (sequence, path)) in files.into_iter().enumerate() {
        let expected = first + position as u64;
        if sequence != expected {
            let file = super::segment::segment_path(dir, expected);
            return Err(OpenError::Damaged { file, offset: 0, what: "log file is missing" });
        }
        let bytes = fs::read(&path).map_err(io_error(&path))?;
        let (header, end, max_index) = read_segment(&path, sequence, &bytes, &mut recovered.index)?;
        if position + 1 < count {
            recovered.closed.push(Closed { sequence, max_index });
        } else {
            let file: File =
                OpenOptions::new().read(true).write(true).open(&path).map_err(io_error(&path))?;
            // What was read may be in the page cache only; from here on it counts as durable.
            file.sync_data().map_err(io_error(&path))?;
            let size = bytes.len() as u64;
            recovered.current =
                Some((Segment { file, header, offset: end as u64, size }, max_index));
        }
    }
    Ok(recovered)
}

/// Replays one file; returns header, end of the last whole frame, newest entry.
fn read_segment(
    path: &Path,
    sequence: u64,
    bytes: &[u8],
    index: &mut Index,
) -> Result<(super::frame::Header, usize, Option<u64>), OpenError> {
    let damaged = |offset: usize, what| OpenError::Damaged {
        file: path.to_owned(),
        offset: offset as u64,
        what,
    };
    let header = read_header(bytes).map_err(|fault| match fault {
        HeaderFault::Newer(found) => {
            OpenError::NewerFormat { file: path.to_owned(), found, supported: WAL_VERSION }
        }
        HeaderFault::Damaged => damaged(0, "file header does not match its checksum"),
    })?;
    if header.sequence != sequence {
        return Err(damaged(16, "file was renamed"));
    }
    let mut at = HEADER_BYTES as usize;
    let mut max_index = None;
    while let Some(payload) = open_frame(bytes, header.salt, at) {
        let start = at + FRAME_HEADER_BYTES;
        let records = records(payload).ok_or_else(|| damaged(start, "record of unknown form"))?;
        for (body, record) in records {
            match record {
                Record::Entry(id, entry) => {
                    let follows = index.last().is_none_or(|last| id.index == last.index + 1);
                    if !follows && index.first_index().is_some() {
                        return Err(damaged(
                            start + body,
                            "log entries are missing before this one",
                        ));
                    }
                    index.insert_stored(
                        id,
                        Place {
                            sequence,
                            offset: (start + body) as u64,
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
        at = start + payload.len();
    }
    if find_frame(bytes, header.salt, at).is_some() {
        return Err(damaged(at, "checksum does not match and later records are whole"));
    }
    Ok((header, at, max_index))
}
