//! Versioned, checksummed stream of the whole stored keyspace.
//!
//! Layout: magic (8 bytes), version (u32), header length (u32), header checksum (u32), header (opaque
//! to this crate), then blocks of length (u32), checksum (u32), payload; a block of length 0 ends
//! the stream and is followed by the number of entries (u64) and the checksum over it (u32). A
//! payload is entries of key length, value length (u32 each), key, value. Numbers are little-endian.

use std::io::{self, Read, Write};

/// Version written by [`SnapshotWriter`]; [`SnapshotReader`] reads it and every older one.
pub const SNAPSHOT_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"smrsnap\n";
const BLOCK_BYTES: usize = 64 * 1024;
/// Largest header or block a reader accepts: no allocation from a damaged length goes beyond it.
const MAX_BLOCK_BYTES: usize = 64 * 1024 * 1024;

/// Why a snapshot cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The stream under the snapshot failed.
    #[error("cannot read or write the snapshot")]
    Io {
        /// What the stream said.
        #[from]
        source: io::Error,
    },
    /// Does not begin like a snapshot.
    #[error("this is not a snapshot")]
    NotASnapshot,
    /// Written by a newer build.
    #[error("snapshot has format version `{found}`, this build reads up to `{supported}`")]
    Newer {
        /// Version found.
        found: u32,
        /// Newest version this build reads.
        supported: u32,
    },
    /// A checksum or length is wrong, or the stream ends too early.
    #[error("snapshot is damaged at offset `{offset}`")]
    Damaged {
        /// Offset in bytes of the damaged part.
        offset: u64,
    },
}

/// Writes a snapshot.
#[derive(Debug)]
pub struct SnapshotWriter<W> {
    sink: W,
    block: Vec<u8>,
    entries: u64,
}

impl<W: Write> SnapshotWriter<W> {
    /// Begins a snapshot with a header of the caller's.
    pub fn new(mut sink: W, header: &[u8]) -> io::Result<Self> {
        sink.write_all(MAGIC)?;
        sink.write_all(&SNAPSHOT_VERSION.to_le_bytes())?;
        sink.write_all(&length(header.len())?)?;
        sink.write_all(&crc32fast::hash(header).to_le_bytes())?;
        sink.write_all(header)?;
        Ok(Self { sink, block: Vec::with_capacity(BLOCK_BYTES), entries: 0 })
    }

    /// Adds one storage entry. Entries come in ascending order of their keys.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(&length(key.len())?);
        self.block.extend_from_slice(&length(value.len())?);
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.entries += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.flush_block()?;
        }
        Ok(())
    }

    /// Ends the snapshot and hands the stream back.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.flush_block()?;
        }
        let count = self.entries.to_le_bytes();
        self.sink.write_all(&0u32.to_le_bytes())?;
        self.sink.write_all(&count)?;
        self.sink.write_all(&crc32fast::hash(&count).to_le_bytes())?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn flush_block(&mut self) -> io::Result<()> {
        self.sink.write_all(&length(self.block.len())?)?;
        self.sink.write_all(&crc32fast::hash(&self.block).to_le_bytes())?;
        self.sink.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

/// Reads a snapshot entry by entry.
#[derive(Debug)]
pub struct SnapshotReader<R> {
    source: R,
    header: Vec<u8>,
    block: Vec<u8>,
    at: usize,
    offset: u64,
    entries: u64,
    ended: bool,
}

impl<R: Read> SnapshotReader<R> {
    /// Checks magic, version and header.
    pub fn new(source: R) -> Result<Self, SnapshotError> {
        let mut reader = Self {
            source,
            header: Vec::new(),
            block: Vec::new(),
            at: 0,
            offset: 0,
            entries: 0,
            ended: false,
        };
        let magic: [u8; 8] = reader.array().map_err(|error| match error {
            SnapshotError::Damaged { .. } => SnapshotError::NotASnapshot,
            other => other,
        })?;
        if &magic != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let found = reader.number()?;
        if found > SNAPSHOT_VERSION {
            return Err(SnapshotError::Newer { found, supported: SNAPSHOT_VERSION });
        }
        let length = reader.number()?;
        let checksum = reader.number()?;
        reader.header = reader.checked(length, checksum)?;
        Ok(reader)
    }

    /// The header given to [`SnapshotWriter::new`].
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The next storage entry, or `None` at the verified end of the snapshot.
    #[expect(clippy::type_complexity, reason = "a key and a value, nothing to name")]
    pub fn next_entry(&mut self) -> Result<Option<(&[u8], &[u8])>, SnapshotError> {
        if self.at == self.block.len() && !self.next_block()? {
            return Ok(None);
        }
        let start = self.at + 8;
        let field = |from: usize| {
            let bytes = self.block.get(from..from + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
        };
        let (Some(key), Some(value)) = (field(self.at), field(self.at + 4)) else {
            return Err(SnapshotError::Damaged { offset: self.offset });
        };
        let end = start.saturating_add(key).saturating_add(value);
        if end > self.block.len() {
            return Err(SnapshotError::Damaged { offset: self.offset });
        }
        self.at = end;
        self.entries += 1;
        Ok(Some((&self.block[start..start + key], &self.block[start + key..end])))
    }

    /// Loads the next block; `false` at the verified end.
    fn next_block(&mut self) -> Result<bool, SnapshotError> {
        if self.ended {
            return Ok(false);
        }
        let offset = self.offset;
        let length = self.number()?;
        if length == 0 {
            let count: [u8; 8] = self.array()?;
            let checksum = self.number()?;
            if crc32fast::hash(&count) != checksum || u64::from_le_bytes(count) != self.entries {
                return Err(SnapshotError::Damaged { offset });
            }
            self.ended = true;
            return Ok(false);
        }
        let checksum = self.number()?;
        self.block = self.checked(length, checksum)?;
        self.at = 0;
        Ok(true)
    }

    fn checked(&mut self, length: u32, checksum: u32) -> Result<Vec<u8>, SnapshotError> {
        let offset = self.offset;
        let length = length as usize;
        if length > MAX_BLOCK_BYTES {
            return Err(SnapshotError::Damaged { offset });
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        if crc32fast::hash(&bytes) == checksum {
            Ok(bytes)
        } else {
            Err(SnapshotError::Damaged { offset })
        }
    }

    fn number(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        self.source.read_exact(bytes).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::Damaged { offset: self.offset },
            _ => SnapshotError::Io { source },
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(bytes) {
        Ok(length) if bytes <= MAX_BLOCK_BYTES => Ok(length.to_le_bytes()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "entry is too large for a snapshot")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(entries: usize) -> Vec<u8> {
        let mut writer = SnapshotWriter::new(Vec::new(), b"head").unwrap();
        for i in 0..entries {
            writer.entry(format!("k{i:06}").as_bytes(), &vec![b'v'; i % 700]).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<usize, SnapshotError> {
        let mut reader = SnapshotReader::new(bytes)?;
        assert_eq!(reader.header(), b"head");
        let mut count = 0;
        while reader.next_entry()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_was_written_is_read() {
        for entries in [0, 1, 1000] {
            assert_eq!(read(&sample(entries)).unwrap(), entries);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = sample(20);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            if (8..12).contains(&at) {
                continue; // the version: tested below
            }
            assert!(
                SnapshotReader::new(&damaged[..]).is_err() || read(&damaged).is_err(),
                "offset {at}"
            );
            assert!(
                SnapshotReader::new(&bytes[..at]).is_err() || read(&bytes[..at]).is_err(),
                "cut {at}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = sample(1);
        bytes[8] = 7;
        let message = SnapshotReader::new(&bytes[..]).unwrap_err().to_string();
        assert_eq!(message, "snapshot has format version `7`, this build reads up to `1`");
    }
}
