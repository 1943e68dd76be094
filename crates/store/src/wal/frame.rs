//! Frames and records: the bytes of a log file.
//!
//! A file is a header and then frames. A frame is what one append batch wrote and one `fdatasync`
//! made durable: magic, payload length, checksum of the head, checksum of the payload, payload. Both
//! checksums also cover the file's salt and the frame's offset, so bytes left from an earlier use of
//! the file, or bytes inside a value, never look like a frame.
//!
//! Frame `n + 1` is written only after frame `n` is durable. So a broken frame with no whole frame
//! after it is the torn end of an append that was never acknowledged, and a broken frame before a
//! whole one is damage. For the last frame an empty frame behind it says the same: the log thread
//! writes one whenever it has nothing to do (not synced; the next frame overwrites it) and, synced,
//! when the log is closed. And a file tells in its header where the frames of the one before it end.
//!
//! What cannot be told from a torn append: damage that takes both the last frame and the empty one
//! behind it, or damage of the last frame in a loss of power within the seconds the kernel took to
//! write the empty one. The applied state, where it got that far, still notices.

use openraft::{CommittedLeaderId, LeaderId};

use crate::batch::{Entry, LogId, Vote};

/// Version of the log format, kept in every file header.
pub(crate) const WAL_VERSION: u32 = 1;
/// Bytes of a file header.
pub(crate) const HEADER_BYTES: u64 = 64;
/// Bytes in front of a frame's payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 16;
/// Bytes in front of a record's body.
pub(crate) const RECORD_HEADER_BYTES: usize = 5;

const FILE_MAGIC: &[u8; 8] = b"smrwal\r\n";
/// First bytes of a frame.
pub(crate) const FRAME_MAGIC: &[u8; 4] = b"fRm\x02";

/// One thing the log remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A log entry: its identity and its encoded form.
    Entry(LogId, &'a [u8]),
    /// The vote.
    Vote(Vote),
    /// Entries from this index on are void.
    Truncate(u64),
    /// Entries up to this one are covered by a snapshot.
    Purge(LogId),
    /// Entries up to this one are committed.
    Committed(LogId),
}

/// Appends a record; returns the offset of its body behind the start of `out`.
pub(crate) fn push_record(out: &mut Vec<u8>, record: &Record<'_>) -> usize {
    let mut fixed = Vec::with_capacity(32);
    let (kind, body): (u8, &[u8]) = match record {
        Record::Entry(id, body) => {
            push_log_id(&mut fixed, id);
            (1, body)
        }
        Record::Vote(vote) => {
            fixed.extend_from_slice(&vote.leader_id.term.to_le_bytes());
            fixed.extend_from_slice(&vote.leader_id.node_id.to_le_bytes());
            fixed.push(u8::from(vote.committed));
            (2, &[])
        }
        Record::Truncate(index) => {
            fixed.extend_from_slice(&index.to_le_bytes());
            (3, &[])
        }
        Record::Purge(id) => {
            push_log_id(&mut fixed, id);
            (4, &[])
        }
        Record::Committed(id) => {
            push_log_id(&mut fixed, id);
            (5, &[])
        }
    };
    out.push(kind);
    out.extend_from_slice(&((fixed.len() + body.len()) as u32).to_le_bytes());
    out.extend_from_slice(&fixed);
    let at = out.len();
    out.extend_from_slice(body);
    at
}

/// Splits a frame's payload into records, each with the offset of its body.
pub(crate) fn records(payload: &[u8]) -> Option<Vec<(usize, Record<'_>)>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let kind = *payload.get(at)?;
        let length = read_u32(payload, at + 1)? as usize;
        let start = at + RECORD_HEADER_BYTES;
        let body = payload.get(start..start.checked_add(length)?)?;
        let record = match kind {
            1 => Record::Entry(read_log_id(body)?, &body[24..]),
            2 => {
                let leader_id = LeaderId::new(read_u64(body, 0)?, read_u64(body, 8)?);
                Record::Vote(Vote { leader_id, committed: *body.get(16)? != 0 })
            }
            3 => Record::Truncate(read_u64(body, 0)?),
            4 => Record::Purge(read_log_id(body)?),
            5 => Record::Committed(read_log_id(body)?),
            _ => return None,
        };
        let body_at = if kind == 1 { start + 24 } else { start };
        found.push((body_at, record));
        at = start + length;
    }
    Some(found)
}

/// Wraps a payload into a frame for `offset` of the file with `salt`. `frame` holds
/// [`FRAME_HEADER_BYTES`] of room followed by the payload.
pub(crate) fn seal_frame(frame: &mut [u8], salt: u64, offset: u64) {
    let (head, payload) = frame.split_at_mut(FRAME_HEADER_BYTES);
    let length = payload.len() as u32;
    head[..4].copy_from_slice(FRAME_MAGIC);
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..12].copy_from_slice(&checksum(salt, offset, length, &[]).to_le_bytes());
    head[12..].copy_from_slice(&frame_checksum(salt, offset, payload).to_le_bytes());
}

/// Payload length and checksum, if a frame of the file with `salt` has this head at `offset`.
pub(crate) fn frame_head(head: &[u8], salt: u64, offset: u64) -> Option<(u32, u32)> {
    let length = read_u32(head, 4)?;
    let whole =
        head.get(..4)? == FRAME_MAGIC && read_u32(head, 8)? == checksum(salt, offset, length, &[]);
    Some((length, read_u32(head, 12)?)).filter(|_| whole)
}

/// What a file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Place of the file in the sequence.
    pub(crate) sequence: u64,
    /// Random number of this use of the file.
    pub(crate) salt: u64,
    /// Where the frames of the file before this one end; 0 for the first file.
    pub(crate) previous_end: u64,
}

/// Why a header is not usable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Newer(u32),
    Damaged,
}

pub(crate) fn header_bytes(header: Header) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(FILE_MAGIC);
    bytes[8..12].copy_from_slice(&WAL_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.salt.to_le_bytes());
    bytes[32..40].copy_from_slice(&header.previous_end.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

pub(crate) fn read_header(file: &[u8]) -> Result<Header, HeaderFault> {
    let bytes = file.get(..HEADER_BYTES as usize).ok_or(HeaderFault::Damaged)?;
    if &bytes[..8] != FILE_MAGIC || read_u32(bytes, 60) != Some(crc32fast::hash(&bytes[..60])) {
        return Err(HeaderFault::Damaged);
    }
    let version = read_u32(bytes, 8).ok_or(HeaderFault::Damaged)?;
    if version > WAL_VERSION {
        return Err(HeaderFault::Newer(version));
    }
    let number = |at| read_u64(bytes, at).ok_or(HeaderFault::Damaged);
    Ok(Header { sequence: number(16)?, salt: number(24)?, previous_end: number(32)? })
}

/// Encodes the part of an entry that its identity does not say.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    postcard::to_stdvec(&entry.payload).expect("encoding into memory fails for no entry")
}

pub(crate) fn decode_entry(log_id: LogId, body: &[u8]) -> Option<Entry> {
    Some(Entry { log_id, payload: postcard::from_bytes(body).ok()? })
}

/// Checksum of the frame with this payload at `offset` of the file with `salt`.
pub(crate) fn frame_checksum(salt: u64, offset: u64, payload: &[u8]) -> u32 {
    checksum(salt, offset, payload.len() as u32, payload)
}

fn checksum(salt: u64, offset: u64, length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn push_log_id(out: &mut Vec<u8>, id: &LogId) {
    out.extend_from_slice(&id.leader_id.term.to_le_bytes());
    out.extend_from_slice(&id.leader_id.node_id.to_le_bytes());
    out.extend_from_slice(&id.index.to_le_bytes());
}

fn read_log_id(body: &[u8]) -> Option<LogId> {
    let leader = CommittedLeaderId::new(read_u64(body, 0)?, read_u64(body, 8)?);
    Some(LogId::new(leader, read_u64(body, 16)?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term, 3), index)
    }

    #[test]
    fn records_and_frames_round_trip() {
        let wanted = [
            Record::Entry(id(2, 7), b"body"),
            Record::Vote(Vote::new_committed(4, 9)),
            Record::Truncate(11),
            Record::Purge(id(1, 5)),
            Record::Committed(id(2, 6)),
        ];
        let mut file = vec![0; FRAME_HEADER_BYTES];
        let mut places = Vec::new();
        for record in &wanted {
            places.push(push_record(&mut file, record) - FRAME_HEADER_BYTES);
        }
        seal_frame(&mut file, 42, 0);
        let (length, checksum) = frame_head(&file, 42, 0).unwrap();
        assert_eq!(frame_head(&file, 43, 0), None, "head of another use");
        assert_eq!(frame_head(&file, 42, 1), None, "head of another place");
        let payload = &file[FRAME_HEADER_BYTES..];
        assert_eq!(length as usize, payload.len());
        assert_eq!(checksum, frame_checksum(42, 0, payload));
        assert_ne!(checksum, frame_checksum(43, 0, payload), "salt of another use");
        assert_ne!(checksum, frame_checksum(42, 1, payload), "another place");
        let found = records(payload).unwrap();
        assert_eq!(found.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(), wanted);
        assert_eq!(found[0].0, places[0]);
        assert_eq!(&payload[found[0].0..found[0].0 + 4], b"body");
    }

    #[test]
    fn headers_round_trip_and_newer_ones_are_named() {
        let header = Header { sequence: 3, salt: 99, previous_end: 640 };
        let mut bytes = header_bytes(header);
        assert_eq!(read_header(&bytes), Ok(header));
        bytes[17] ^= 1;
        assert_eq!(read_header(&bytes), Err(HeaderFault::Damaged));
        bytes[17] ^= 1;
        bytes[8] = 2;
        let sum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read_header(&bytes), Err(HeaderFault::Newer(2)));
    }
}
